//! The supervisor's own metrics, through the project's exporter. Set from the board at each
//! scrape; nothing is installed globally.

use std::collections::BTreeMap;

use fairway_shared::id::WorkerSlot;
use fairway_shared::instance::WorkerState;
use fairway_shared::ipc::message::SnapshotSource;
use fairway_shared::metric::{self, Kind, Metric};
use metrics::{Key, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use super::crash::Cause;
use super::status::{Board, Record};

/// Metrics that come from here, even if a worker reports one of that name.
pub const OWN: [Metric; 8] = [
    metric::WORKER_RESTARTS,
    metric::WORKER_STATE,
    metric::WORKER_CRASHES,
    metric::SNAPSHOT_VERSION,
    metric::SNAPSHOT_REJECTED,
    metric::CONTROL_CONNECTED,
    metric::LAST_GOOD_IN_USE,
    metric::SLOTS_LENT,
];
/// Distinct reasons counted by themselves; a reason may quote the user's configuration.
const REASONS_MAX: usize = 16;
/// Label of the reasons after those.
const OTHER_REASONS: &str = "other";
const STATES: [(WorkerState, &str); 4] = [
    (WorkerState::Starting, "starting"),
    (WorkerState::Ready, "ready"),
    (WorkerState::Draining, "draining"),
    (WorkerState::Waiting, "waiting"),
];
static METADATA: Metadata<'static> = Metadata::new("fairway", Level::INFO, None);

/// The recorder and what it cannot be asked for again.
pub(super) struct OwnMetrics {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    rejected: BTreeMap<String, u64>,
    crashes: BTreeMap<(WorkerSlot, Cause), u64>,
}

impl OwnMetrics {
    /// All described, none set.
    pub(super) fn new() -> Self {
        let recorder = PrometheusBuilder::new().build_recorder();
        for Metric { name, kind, help } in OWN {
            match kind {
                Kind::Counter => recorder.describe_counter(name.into(), None, help.into()),
                Kind::Gauge => recorder.describe_gauge(name.into(), None, help.into()),
                Kind::Histogram(_) => recorder.describe_histogram(name.into(), None, help.into()),
            }
        }
        let handle = recorder.handle();
        Self { recorder, handle, rejected: BTreeMap::new(), crashes: BTreeMap::new() }
    }

    /// A worker refused a snapshot.
    pub(super) fn rejected(&mut self, reason: &str) {
        let is_known = self.rejected.contains_key(reason) || self.rejected.len() < REASONS_MAX;
        let label = if is_known { reason } else { OTHER_REASONS };
        *self.rejected.entry(label.to_owned()).or_default() += 1;
    }

    /// A worker ended without being asked to.
    pub(super) fn crashed(&mut self, slot: WorkerSlot, cause: Cause) {
        *self.crashes.entry((slot, cause)).or_default() += 1;
    }

    /// The exposition of this moment.
    pub(super) fn render(&self, board: &Board) -> String {
        let count =
            |is: fn(&Record) -> bool| board.records().iter().filter(|r| is(r)).count() as f64;
        for (slot, record) in board.records().iter().enumerate() {
            self.set_slot(&slot.to_string(), record);
        }
        for (reason, count) in &self.rejected {
            self.counter(metric::SNAPSHOT_REJECTED, &[("reason", reason)], *count);
        }
        for ((slot, cause), count) in &self.crashes {
            let labels = [("slot", &*slot.to_string()), ("cause", cause.name())];
            self.counter(metric::WORKER_CRASHES, &labels, *count);
        }
        self.gauge(metric::CONTROL_CONNECTED, &[], count(|record| record.is_connected));
        let is_last_good: fn(&Record) -> bool =
            |record| record.source == Some(SnapshotSource::LastGood);
        self.gauge(metric::LAST_GOOD_IN_USE, &[], count(is_last_good));
        self.gauge(metric::SLOTS_LENT, &[], board.lent_slots() as f64);
        self.handle.render()
    }

    fn set_slot(&self, slot: &str, record: &Record) {
        let restarts = record.starts.saturating_sub(1);
        self.counter(metric::WORKER_RESTARTS, &[("slot", slot)], restarts);
        self.gauge(metric::SNAPSHOT_VERSION, &[("slot", slot)], record.serving.0 as f64);
        for (state, name) in STATES {
            let value = f64::from(u8::from(record.state == state));
            self.gauge(metric::WORKER_STATE, &[("slot", slot), ("state", name)], value);
        }
    }

    fn counter(&self, metric: Metric, labels: &[(&'static str, &str)], value: u64) {
        self.recorder.register_counter(&key(metric, labels), &METADATA).absolute(value);
    }

    fn gauge(&self, metric: Metric, labels: &[(&'static str, &str)], value: f64) {
        self.recorder.register_gauge(&key(metric, labels), &METADATA).set(value);
    }
}

fn key(metric: Metric, labels: &[(&'static str, &str)]) -> Key {
    let labels = labels.iter().map(|(name, value)| Label::new(*name, (*value).to_owned()));
    Key::from_parts(metric.name, labels.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::slot::Slot;
    use crate::sys::process::Exit;
    use fairway_shared::id::SnapshotVersion;

    #[test]
    fn every_own_metric_is_rendered_with_its_labels_and_help() {
        let mut board = Board::new(Default::default(), &[None]);
        let mut metrics = OwnMetrics::new();
        board.started(0);
        board.ended(0, Exit::Code(1));
        board.started(0);
        board.moved(0, &Slot::Waiting { until_ms: 0, crashes: 1 });
        board.applied(0, SnapshotVersion(12), SnapshotSource::LastGood, vec![]);
        board.connected(0, true);
        board.lent(1);
        for number in 0..REASONS_MAX + 2 {
            metrics.rejected(&format!("reason {number}"));
        }
        metrics.crashed(WorkerSlot(0), Cause::Panic);
        let text = metrics.render(&board);
        for line in [
            "# HELP fairway_worker_restarts_total",
            "# TYPE fairway_worker_state gauge",
            "fairway_worker_restarts_total{slot=\"0\"} 1",
            "fairway_worker_state{slot=\"0\",state=\"waiting\"} 1",
            "fairway_worker_state{slot=\"0\",state=\"ready\"} 0",
            "fairway_snapshot_version{slot=\"0\"} 12",
            "fairway_snapshot_rejected_total{reason=\"reason 3\"} 1",
            "fairway_snapshot_rejected_total{reason=\"other\"} 2",
            "fairway_control_connected 1",
            "fairway_last_good_in_use 1",
            "fairway_slots_lent 1",
            "fairway_worker_crashes_total{slot=\"0\",cause=\"panic\"} 1",
        ] {
            assert!(text.lines().any(|found| found.starts_with(line)), "{line} in\n{text}");
        }
    }
}
