//! What the supervisor knows of its slots, and what follows from it: the status line, readiness,
//! the listeners. Pure; the loop tells it what happens.

use std::collections::BTreeMap;

use fairway_shared::id::SnapshotVersion;
use fairway_shared::instance::{
    ListenerStatus, SnapshotStatus, Source, SupervisorAddresses, SupervisorStatus, WorkerState,
    WorkerStatus,
};
use fairway_shared::ipc::message::{BoundListener, SnapshotSource};

use super::crash::Crash;
use super::event::Overview;
use super::slot::Slot;
use crate::sys::process::{Exit, Pid};

/// One slot, as people see it.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// The CPU it is pinned to.
    pub cpu: Option<u16>,
    /// Its state and process.
    pub state: WorkerState,
    /// Null while no process fills it.
    pub pid: Option<u32>,
    /// Processes started so far.
    pub starts: u64,
    /// Served now; 0 = none.
    pub serving: SnapshotVersion,
    /// The last version that a process of this slot served or refused, and where it was from.
    pub newest: SnapshotVersion,
    /// Where the served one came from.
    pub source: Option<SnapshotSource>,
    /// The version refused last, until control sends one that is not.
    pub refused: Option<(SnapshotVersion, String)>,
    /// Of the last snapshot served, kept over a restart: the sockets are held meanwhile.
    pub listeners: Vec<BoundListener>,
    /// The stream from control lives.
    pub is_connected: bool,
    /// How the last process ended.
    pub last_exit: Option<String>,
    /// The last end that nobody wanted.
    pub last_crash: Option<Crash>,
}

/// All slots.
#[derive(Debug)]
pub struct Board {
    addresses: SupervisorAddresses,
    records: Vec<Record>,
    /// Latched: once ready, a crash or a lost control changes nothing.
    was_ready: bool,
    is_draining: bool,
    /// Slots whose sockets a sibling accepts from.
    lent: usize,
}

impl Board {
    /// One record per slot, none started; `cpus` by slot.
    pub fn new(addresses: SupervisorAddresses, cpus: &[Option<u16>]) -> Self {
        let record = |cpu: &Option<u16>| Record {
            cpu: *cpu,
            state: WorkerState::Waiting,
            ..Record::default()
        };
        let records = cpus.iter().map(record).collect();
        Self { addresses, records, was_ready: false, is_draining: false, lent: 0 }
    }

    /// The slots' records, in order.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Slots whose sockets a sibling accepts from.
    pub fn lent_slots(&self) -> usize {
        self.lent
    }

    /// So many slots' sockets are accepted from by a sibling now.
    pub fn lent(&mut self, slots: usize) {
        self.lent = slots;
    }

    /// The slot's process was started.
    pub fn started(&mut self, index: usize) {
        self.with(index, |record| record.starts += 1);
    }

    /// The slot is in this state now.
    pub fn moved(&mut self, index: usize, slot: &Slot) {
        self.with(index, |record| {
            record.state = shown(slot);
            record.pid = slot.pid().map(|Pid(pid)| pid);
        });
    }

    /// The slot's process has ended.
    pub fn ended(&mut self, index: usize, exit: Exit) {
        self.with(index, |record| {
            record.serving = SnapshotVersion(0);
            record.source = None;
            record.is_connected = false;
            record.last_exit = Some(exit.to_string());
        });
    }

    /// The slot's process has ended, and nobody wanted it to.
    pub fn crashed(&mut self, index: usize, crash: Crash) {
        self.with(index, |record| record.last_crash = Some(crash));
    }

    /// The slot's process serves a snapshot.
    pub fn applied(
        &mut self,
        index: usize,
        version: SnapshotVersion,
        source: SnapshotSource,
        listeners: Vec<BoundListener>,
    ) {
        self.with(index, |record| {
            record.serving = version;
            record.newest = version;
            record.source = Some(source);
            record.listeners = listeners;
            if source == SnapshotSource::Control {
                record.refused = None;
            }
        });
        self.was_ready |= self.records.iter().all(|record| record.source.is_some());
    }

    /// The slot's process refused a snapshot.
    pub fn refused(&mut self, index: usize, version: SnapshotVersion, reason: String) {
        self.with(index, |record| record.refused = Some((version, reason)));
    }

    /// The stream from control came up or went down.
    pub fn connected(&mut self, index: usize, is_connected: bool) {
        self.with(index, |record| record.is_connected = is_connected);
    }

    /// The end has begun.
    pub fn draining(&mut self) {
        self.is_draining = true;
    }

    /// Everything.
    pub fn overview(&self) -> Overview {
        let problems = self.records.iter().flat_map(|record| &record.listeners);
        let mut problems: Vec<_> =
            problems.filter_map(|listener| listener.problem.clone()).collect();
        problems.sort_unstable();
        problems.dedup();
        Overview {
            status: self.status(),
            last_exits: self.records.iter().map(|record| record.last_exit.clone()).collect(),
            last_crashes: self.records.iter().map(|record| record.last_crash.clone()).collect(),
            problems,
            not_ready: self.not_ready(),
            is_draining: self.is_draining,
        }
    }

    /// The status line.
    pub fn status(&self) -> SupervisorStatus {
        let workers = self.records.iter().enumerate();
        SupervisorStatus {
            supervisor: self.addresses.clone(),
            workers: workers.map(|(index, record)| worker(index, record)).collect(),
            listeners: union(&self.records),
            snapshot: snapshot(&self.records),
            ready: self.not_ready().is_none(),
        }
    }

    fn not_ready(&self) -> Option<String> {
        if self.is_draining {
            return Some("draining".to_owned());
        }
        if self.was_ready {
            return None;
        }
        let missing = self.records.iter().position(|record| record.source.is_none())?;
        Some(format!("worker {missing} has not applied a snapshot yet"))
    }

    fn with(&mut self, index: usize, change: impl FnOnce(&mut Record)) {
        if let Some(record) = self.records.get_mut(index) {
            change(record);
        }
    }
}

fn shown(slot: &Slot) -> WorkerState {
    match slot {
        Slot::Starting { .. } => WorkerState::Starting,
        Slot::Serving { .. } => WorkerState::Ready,
        Slot::Ending { .. } | Slot::Draining { .. } => WorkerState::Draining,
        Slot::Waiting { .. } | Slot::Retired => WorkerState::Waiting,
    }
}

fn worker(index: usize, record: &Record) -> WorkerStatus {
    WorkerStatus {
        id: u16::try_from(index).unwrap_or(u16::MAX),
        pid: record.pid,
        cpu: record.cpu,
        state: record.state,
        restarts: record.starts.saturating_sub(1),
        snapshot: record.serving.0,
    }
}

fn snapshot(records: &[Record]) -> SnapshotStatus {
    let refused = |record: &Record| record.refused.as_ref().map(|(version, _)| *version);
    let versions =
        records.iter().map(|record| record.newest.max(refused(record).unwrap_or_default()));
    let newest = versions.max().unwrap_or_default();
    let mut reasons = records.iter().filter_map(|record| record.refused.as_ref());
    let reason = reasons.find(|(version, _)| *version == newest).map(|(_, reason)| reason.clone());
    let is_last_good = |record: &Record| record.source == Some(SnapshotSource::LastGood);
    SnapshotStatus {
        version: newest.0,
        accepted: newest.0 > 0 && reason.is_none(),
        reason,
        pinned: false,
        source: if records.iter().any(is_last_good) { Source::LastGood } else { Source::Control },
    }
}

/// What is served by any slot. Slots serve the same but for moments; where they differ, the one
/// that has an address speaks.
fn union(records: &[Record]) -> Vec<ListenerStatus> {
    let mut all = BTreeMap::new();
    for listener in records.iter().flat_map(|record| &record.listeners) {
        let address = listener.addresses.first().map(ToString::to_string).unwrap_or_default();
        let key = (listener.port, listener.gateways.clone());
        let known = all.entry(key).or_insert_with(|| ListenerStatus {
            port: listener.port,
            gateway_ports: listener.gateway_ports.clone(),
            address: String::new(),
            protocol: listener.protocol.clone(),
            gateways: listener.gateways.clone(),
        });
        if known.address.is_empty() {
            known.address = address;
        }
    }
    all.into_values().collect()
}

#[cfg(test)]
mod tests;
