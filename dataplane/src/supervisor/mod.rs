//! The supervisor: knows addresses and processes, no configuration, and parses nothing that
//! comes from a network client.
//!
//! One thread, one bounded channel of events. Each turn takes events, judges them with the pure
//! [`slot`], [`termination`] and [`status`], and carries out the effects. It has no async runtime,
//! never blocks on a worker or on the admin thread, and does not panic: nobody would restart it.

pub mod boot;
pub mod crash;
pub mod event;
pub mod figures;
pub mod inventory;
pub mod lending;
pub mod link;
pub mod listing;
mod own_metrics;
pub mod poison;
pub mod scrape;
pub mod slot;
pub mod status;
pub mod status_lines;
pub mod suspects;
pub mod termination;
mod turn;

use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use fairway_shared::instance::SupervisorAddresses;
use fairway_shared::ipc::message::WorkerSettings;

use crate::region::Region;
use crate::sys::process::WorkerCommand;
use crate::sys::signal::TermSignal;
use event::Event;
use slot::{Millis, Policy};
use status_lines::StatusLines;
use termination::Times;
use turn::Supervisor;

pub use own_metrics::OWN as OWN_METRICS;

/// Events taken before time is looked at again.
const EVENTS_PER_TURN: usize = 256;
/// A turn that begins this much later than planned means that the supervisor itself stood still
/// (stopped, starved, its host paused), so that nobody's silence counts.
const LATE_MS: u64 = 500;

/// What a supervisor is told at its start.
#[derive(Debug)]
pub struct Settings {
    /// Sent to each worker, with `slot` and `workers` filled in.
    pub worker: WorkerSettings,
    /// What is executed for a worker.
    pub command: WorkerCommand,
    /// One entry per slot: the CPU it is pinned to, if any.
    pub cpus: Vec<Option<u16>>,
    /// When workers are restarted and killed.
    pub policy: Policy,
    /// So many crashes while such a request was handled have it answered with 500 unseen; `None`
    /// = never.
    pub quarantine_after: Option<u32>,
    /// How long the end may take.
    pub times: Times,
    /// Where the admin thread answers; shown in the status line.
    pub addresses: SupervisorAddresses,
}

/// What the supervisor starts with beside its settings.
#[derive(Debug, Default)]
pub struct Holdings {
    /// Ports reserved for listeners.
    pub inventory: inventory::Inventory,
    /// What the workers count together in; without it each counts for itself.
    pub region: Option<Region>,
    /// A snapshot to roll back to is on disk.
    pub has_fallback: bool,
    /// Where status lines go.
    pub lines: Option<StatusLines>,
}

/// How a supervisor ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Every worker finished, or its deadline passed.
    Drained,
    /// A second signal; the workers were killed.
    Aborted(TermSignal),
}

/// Runs until the end. `sender` is the other end of `events`, for the workers' links. The calling
/// thread is the parent of the workers: they end with it.
pub fn run(
    settings: Settings,
    events: &Receiver<Event>,
    sender: Sender<Event>,
    holdings: Holdings,
) -> End {
    let clock = Clock(Instant::now());
    let mut supervisor = Supervisor::new(settings, sender, holdings);
    loop {
        let wake_ms = supervisor.next_wake_ms();
        let first = clock.receive(events, wake_ms);
        let now_ms = clock.now_ms();
        if wake_ms.is_some_and(|wake_ms| now_ms > wake_ms.saturating_add(LATE_MS)) {
            supervisor.resumed(now_ms);
        }
        for event in first.into_iter().chain(events.try_iter()).take(EVENTS_PER_TURN) {
            supervisor.take(event, now_ms);
        }
        supervisor.tick(now_ms);
        supervisor.publish_status();
        if let Some(end) = supervisor.end() {
            return end;
        }
    }
}

/// The supervisor's clock: milliseconds since it started.
struct Clock(Instant);

impl Clock {
    fn now_ms(&self) -> Millis {
        u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The next event, or none once `wake_ms` has come.
    fn receive(&self, events: &Receiver<Event>, wake_ms: Option<Millis>) -> Option<Event> {
        match wake_ms {
            Some(wake_ms) => events.recv_deadline(self.0 + Duration::from_millis(wake_ms)).ok(),
            None => events.recv().ok(),
        }
    }
}
