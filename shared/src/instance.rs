//! What a running instance says of itself, as JSON: `instance.json`, and the status lines that
//! control and supervisor write to the descriptor named by `--status-fd`, one whole object a line.

use serde::{Deserialize, Serialize};

/// `instance.json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    /// Last known values; `pid` is null while it is down.
    pub control: ControlStatus,
    /// Whose workers.
    pub supervisor: SupervisorAddresses,
    /// Every slot, always.
    pub workers: Vec<WorkerStatus>,
    /// What is served.
    pub listeners: Vec<ListenerStatus>,
    /// What is applied.
    pub snapshot: SnapshotStatus,
    /// As `/healthz/ready` answers.
    pub ready: bool,
}

/// Control's status line.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ControlStatus {
    /// Null while it is down.
    pub pid: Option<u32>,
    /// `address:port` of gRPC.
    pub grpc: String,
    /// Path of the unix socket.
    pub unix: String,
    /// `address:port` of the debug pages.
    pub debug: String,
    /// `address:port` of the metrics.
    pub monitoring: String,
    /// Workers are held at a version by `PinSnapshot`; in `instance.json` this is
    /// [`SnapshotStatus::pinned`] and left out here.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pinned: bool,
}

/// Where the supervisor answers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SupervisorAddresses {
    /// Null while it is down.
    pub pid: Option<u32>,
    /// `address:port` of the admin pages.
    pub admin: String,
    /// `address:port` of the health checks.
    pub status: String,
    /// `address:port` of the metrics.
    pub metrics: String,
    /// Rises with each binary upgrade.
    pub epoch: u32,
}

/// The supervisor's status line.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SupervisorStatus {
    /// Where it answers.
    pub supervisor: SupervisorAddresses,
    /// Every slot, always.
    pub workers: Vec<WorkerStatus>,
    /// What is served.
    pub listeners: Vec<ListenerStatus>,
    /// What is applied.
    pub snapshot: SnapshotStatus,
    /// As `/healthz/ready` answers.
    pub ready: bool,
}

/// State of a worker slot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkerState {
    /// A process runs and does not serve yet.
    #[default]
    Starting,
    /// It serves a snapshot.
    Ready,
    /// It finishes what runs.
    Draining,
    /// No process; a restart is scheduled.
    Waiting,
}

/// One worker slot.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkerStatus {
    /// The slot.
    pub id: u16,
    /// Null while no process fills it.
    pub pid: Option<u32>,
    /// The CPU it is pinned to, if pinning worked.
    pub cpu: Option<u16>,
    /// Its state.
    pub state: WorkerState,
    /// Processes started in the place of one that ended.
    pub restarts: u64,
    /// Version served; 0 = none yet.
    pub snapshot: u64,
}

/// One listener.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerStatus {
    /// Resolved port.
    pub port: u16,
    /// As the Gateways write it.
    pub gateway_ports: Vec<u16>,
    /// First local address.
    pub address: String,
    /// `HTTP`, …
    pub protocol: String,
    /// `namespace/name`.
    pub gateways: Vec<String>,
}

/// Where the served snapshot came from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// From control.
    #[default]
    Control,
    /// From the last-good file.
    LastGood,
}

/// What is applied.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SnapshotStatus {
    /// Newest that control published, as far as the data plane knows.
    pub version: u64,
    /// False while any worker has nacked the newest.
    pub accepted: bool,
    /// Why it was nacked.
    pub reason: Option<String>,
    /// Held by `PinSnapshot`.
    pub pinned: bool,
    /// Where it came from.
    pub source: Source,
}
