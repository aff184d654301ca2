//! The frames: one enum per direction of each connection.
//!
//! Supervisor and worker are always one build. Control and worker on the unix socket must be one
//! build too: [`schema_fingerprint`] opens that conversation.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use bincode::{Decode, Encode};
use sha2::{Digest, Sha256};

use super::edge::EdgeLimits;
use crate::id::{SnapshotVersion, WorkerSlot};
use crate::snapshot::cluster::Limits;

/// Version of the unix-socket conversation between control and worker.
pub const PROTOCOL_VERSION: u32 = 1;

/// SHA-256 over the definitions that both ends must share, byte for byte.
pub fn schema_fingerprint() -> [u8; 32] {
    let mut hash = Sha256::new();
    for source in [
        include_str!("message.rs"),
        include_str!("codec.rs"),
        include_str!("edge.rs"),
        include_str!("../id.rs"),
        include_str!("../snapshot/mod.rs"),
        include_str!("../snapshot/listener.rs"),
        include_str!("../snapshot/cluster.rs"),
        include_str!("../snapshot/encoded.rs"),
        include_str!("../snapshot/route.rs"),
        include_str!("../snapshot/settings.rs"),
        include_str!("../snapshot/tls.rs"),
    ] {
        hash.update(source.as_bytes());
        hash.update([0]);
    }
    hash.finalize().into()
}

/// Who a data plane is: what `ListDataplanes` shows and selectors are judged against.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
pub struct NodeIdentity {
    /// `router~<ip>~<pod>.<namespace>~<domain>` (Istio contract 8.2).
    pub id: String,
    /// Namespace of the gateway pod.
    pub namespace: String,
    /// Labels of the gateway pod.
    pub labels: BTreeMap<String, String>,
    /// `region/zone/subzone`; empty if unknown.
    pub locality: String,
    /// Version of the build.
    pub build: String,
}

/// Worker to control, on the unix socket.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum ToControl {
    /// First frame.
    Hello {
        /// [`PROTOCOL_VERSION`] of the worker.
        protocol: u32,
        /// [`schema_fingerprint`] of the worker.
        schema: [u8; 32],
        /// Whose worker.
        node: NodeIdentity,
        /// Which one.
        slot: WorkerSlot,
        /// Version the worker serves; 0 = none.
        serving: SnapshotVersion,
    },
    /// The snapshot of that version is served now.
    Ack {
        /// As received.
        version: SnapshotVersion,
    },
    /// The snapshot of that version was refused whole; the previous one stays.
    Nack {
        /// As received.
        version: SnapshotVersion,
        /// One line.
        reason: String,
    },
}

/// Control to worker, on the unix socket.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum FromControl {
    /// The handshake holds.
    Welcome,
    /// The handshake does not hold; control closes after this frame.
    Refused {
        /// One line, naming both sides' values.
        reason: String,
    },
    /// A whole snapshot. Brings one descriptor: a sealed memfd that holds it as
    /// [`encode_whole`](super::codec::encode_whole) writes it.
    Snapshot {
        /// Its version.
        version: SnapshotVersion,
        /// Length of the memfd's content in bytes.
        bytes: u64,
    },
}

/// All that a worker needs to know to start; sent first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
pub struct WorkerSettings {
    /// Which slot the process fills.
    pub slot: WorkerSlot,
    /// How many slots there are.
    pub workers: u16,
    /// Addresses that listeners without a `bind` of their own take.
    pub bind: Vec<IpAddr>,
    /// Resolved listener port → local port. Ports not named here stay as they are.
    pub port_map: BTreeMap<u16, u16>,
    /// Ports below 1024 that are not in `port_map` get this added.
    pub low_port_offset: u16,
    /// Unix socket of control, tried first if given.
    pub control_socket: Option<String>,
    /// `host:port` of control's gRPC.
    pub control_grpc: Option<String>,
    /// Whose worker.
    pub node: NodeIdentity,
    /// Where last-good lives: one file per data plane, shared by its workers.
    pub last_good: String,
    /// Value of the `server` response header; `None` = the upstream's passes.
    pub server_header: Option<String>,
    /// How long an old listener's connections may finish, in milliseconds.
    pub drain_ms: u32,
    /// Directory of the gateway's own identity: `cert-chain.pem`, `key.pem`, `root-cert.pem`.
    pub identity_dir: String,
    /// What session tickets derive from, the same for all workers.
    pub ticket_secret: TicketSeed,
    /// Most verbose level logged: `error`, `warn`, `info`, `debug`.
    pub log_level: String,
    /// Content hashes of snapshots that crashed their workers: not to be applied.
    pub condemned: Vec<[u8; 32]>,
    /// What the command line says of access logs.
    pub access_log: AccessLogFlag,
    /// `host:port` of a Zipkin collector, in place of the snapshot's collector.
    pub zipkin: Option<String>,
    /// DNS server for endpoints' names; `None` = the system's.
    pub dns_resolver: Option<SocketAddr>,
    /// What clients may take.
    pub edge: EdgeLimits,
}

/// Random bytes that only the gateway's own processes know.
#[derive(Clone, Default, PartialEq, Eq, Encode, Decode)]
pub struct TicketSeed(pub [u8; 32]);

impl fmt::Debug for TicketSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketSeed")
    }
}

impl WorkerSettings {
    /// The local port behind a resolved listener port.
    pub fn local_port(&self, resolved: u16) -> u16 {
        match self.port_map.get(&resolved) {
            Some(local) => *local,
            None if resolved < 1024 => resolved.saturating_add(self.low_port_offset),
            None => resolved,
        }
    }
}

/// `--access-log`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
pub enum AccessLogFlag {
    /// Not given: the snapshot decides.
    #[default]
    Unset,
    /// `off`: none.
    Off,
    /// A path; `-` has become `/dev/stdout`.
    File(String),
}

/// Supervisor to worker. `RegionShared`, `Configure`, `ListenerGranted` and `ListenerLent` bring one
/// descriptor each, the others none.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum ToWorker {
    /// Before the settings, if at all: the memory in which the workers of the pod count together.
    RegionShared,
    /// First frame that is always sent. Its descriptor is the memory of the process's black box.
    Configure(Box<WorkerSettings>),
    /// The slot's own listening socket for that address, already listening.
    ListenerGranted {
        /// As the worker asked for it.
        wanted: SocketAddr,
        /// As bound: differs where port 0 was asked for.
        bound: SocketAddr,
    },
    /// The address cannot be bound.
    ListenerRefused {
        /// As the worker asked for it.
        wanted: SocketAddr,
        /// One line: what, where, what to do.
        reason: String,
    },
    /// A report is wanted now; the worker answers with [`FromWorker::Report`] of the same nonce.
    ReportWanted {
        /// Chosen by the supervisor.
        nonce: u64,
    },
    /// Clusters and endpoints are wanted as they are now; the worker answers with
    /// [`FromWorker::Clusters`] of the same nonce.
    ClustersWanted {
        /// Chosen by the supervisor.
        nonce: u64,
    },
    /// Open access logs anew: they were rotated.
    ReopenLogs,
    /// Go on, and say with each answer that the connection closes: the end is near.
    Announce,
    /// Stop accepting, finish what runs, exit 0.
    Drain {
        /// From now, in milliseconds.
        deadline_ms: u32,
    },
    /// The socket of another slot, which has no worker: accept from it too. A worker without a
    /// listener there closes it.
    ListenerLent {
        /// Whose.
        owner: WorkerSlot,
        /// As that slot's worker asked for it.
        wanted: SocketAddr,
    },
    /// That slot serves again: accept from its sockets no more.
    ListenersReturned {
        /// Whose.
        owner: WorkerSlot,
    },
}

/// Worker to supervisor.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub enum FromWorker {
    /// The slot needs a socket for this address; asked again after a restart.
    ListenerWanted {
        /// Where to bind.
        wanted: SocketAddr,
    },
    /// The slot's socket for this address is no longer accepted from.
    ListenerReleased {
        /// As asked for.
        wanted: SocketAddr,
    },
    /// The worker serves this snapshot now, with all its listeners that can be bound.
    Applied {
        /// Its version.
        version: SnapshotVersion,
        /// Where it came from.
        source: SnapshotSource,
        /// Its listeners.
        listeners: Vec<BoundListener>,
    },
    /// The worker refused this snapshot and still serves the previous one.
    Refused {
        /// Its version.
        version: SnapshotVersion,
        /// One line.
        reason: String,
    },
    /// The connection to control came up or went down.
    ControlConnected(bool),
    /// Sign of life and figures; sent every [`REPORT_INTERVAL_MS`] and when asked for.
    Report {
        /// Of the request answered; 0 = unasked.
        nonce: u64,
        /// No further part of this report follows.
        is_last: bool,
        /// What changed since the report before.
        figures: Figures,
    },
    /// Clusters and their endpoints as this worker sees them.
    Clusters {
        /// Of the request answered.
        nonce: u64,
        /// No further part follows.
        is_last: bool,
        /// A long cluster comes in several parts, under the same name.
        clusters: Vec<ClusterState>,
    },
}

/// One cluster, for people.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ClusterState {
    /// Its key.
    pub name: String,
    /// Of the whole pod.
    pub limits: Limits,
    /// In no order.
    pub endpoints: Vec<EndpointState>,
}

/// One endpoint of a cluster, for people.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct EndpointState {
    /// Where it is.
    pub address: SocketAddr,
    /// Relative weight.
    pub weight: u32,
    /// `region/zone/subzone`; empty if unknown.
    pub locality: String,
    /// 0 comes first.
    pub priority: u32,
    /// It takes no requests for its failures.
    pub is_ejected: bool,
    /// Of this worker.
    pub counts: EndpointCounts,
}

/// What one worker has counted of an endpoint since it knows it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, Decode)]
pub struct EndpointCounts {
    /// Open now.
    pub connections: u64,
    /// Attempts to connect.
    pub connects: u64,
    /// Those that failed.
    pub connect_failures: u64,
    /// Requests that run now; connections of opaque bytes too.
    pub active: u64,
    /// Requests sent.
    pub requests: u64,
    /// Those answered, but not with 5xx.
    pub successes: u64,
    /// Those answered with 5xx, or not at all.
    pub errors: u64,
}

/// Interval of unasked reports, in milliseconds.
pub const REPORT_INTERVAL_MS: u64 = 500;

/// Where a snapshot came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum SnapshotSource {
    /// Received from control by this process.
    Control,
    /// Read from the last-good file.
    LastGood,
}

/// A listener as a worker serves it, for people.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct BoundListener {
    /// Resolved port.
    pub port: u16,
    /// The numbers as the Gateways write them.
    pub gateway_ports: Vec<u16>,
    /// Local addresses accepted from; empty if none could be bound.
    pub addresses: Vec<SocketAddr>,
    /// `HTTP`, …
    pub protocol: String,
    /// `namespace/name`.
    pub gateways: Vec<String>,
    /// Why an address could not be bound, one line.
    pub problem: Option<String>,
}

/// A worker's figures that changed. Values count from its start; each series is named once and
/// has a number from then on.
#[derive(Debug, Clone, Default, PartialEq, Encode, Decode)]
pub struct Figures {
    /// Series that are told for the first time.
    pub defined: Vec<Series>,
    /// Numbers of series, and their values.
    pub samples: Vec<(u32, SampleValue)>,
    /// Numbers of series that are over.
    pub retired: Vec<u32>,
}

/// A series and its number in this process.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Series {
    /// Never used again for another.
    pub number: u32,
    /// Metric name, from [`crate::metric`].
    pub name: String,
    /// Label names and values, in the order of the metric's definition.
    pub labels: Vec<(String, String)>,
}

/// The value of a series.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub enum SampleValue {
    /// Only rises. Added over workers and their predecessors.
    Counter(u64),
    /// Rises and falls. Added over living workers.
    Gauge(f64),
    /// Counts per bucket of the metric's definition plus one for the rest, and the sum.
    Histogram {
        /// Not cumulative; one longer than the metric's bounds.
        buckets: Vec<u64>,
        /// Sum of observations.
        sum: f64,
    },
}
