//! Upstream clusters and their endpoints.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bincode::{Decode, Encode};

use super::tls::UpstreamTls;

/// Most points that a ring may be asked to have at least.
pub const RING_SIZE_MAX: u32 = 8_388_608;
/// Points on a ring, at least, where a rule does not say (Istio contract 3.3).
pub const RING_SIZE_DEFAULT: u32 = 1024;
/// A Maglev table is smaller than this (Istio contract 3.3).
pub const MAGLEV_TABLE_SIZE_BOUND: u32 = 5_000_011;
/// Size of a Maglev table where a rule does not say (Istio contract 3.3).
pub const MAGLEV_TABLE_SIZE_DEFAULT: u32 = 65_537;

/// Is `size` one that a Maglev table may have: a prime below [`MAGLEV_TABLE_SIZE_BOUND`]?
pub fn is_maglev_table_size(size: u32) -> bool {
    let is_prime = || (2..).take_while(|n| n * n <= size).all(|n| !size.is_multiple_of(n));
    (2..MAGLEV_TABLE_SIZE_BOUND).contains(&size) && is_prime()
}

/// One upstream cluster: a service port, or a subset of it, with the policy in force for it.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Cluster {
    /// Pod labels an endpoint must carry; empty selects every endpoint of the service port.
    pub labels: BTreeMap<String, String>,
    /// How an endpoint is picked (Istio contract 3.3).
    pub balancer: Balancer,
    /// Which endpoints come first.
    pub locality: LocalityPolicy,
    /// How new endpoints are eased in; `None` = at once.
    pub warmup: Option<Warmup>,
    /// Below this share of healthy endpoints all are used, in percent; 0 = never
    /// (`minHealthPercent`).
    pub panic_threshold_pct: u8,
    /// What the endpoints speak (Istio contract 3.6, last paragraph).
    pub protocol: UpstreamProtocol,
    /// Longest wait for a TCP connection, in milliseconds; mesh default 10,000.
    pub connect_timeout_ms: u32,
    /// How long a pooled connection may idle, in milliseconds; `None` = never closed for that.
    pub idle_timeout_ms: Option<u64>,
    /// A connection takes no new request this long after it was opened, in milliseconds.
    pub max_connection_duration_ms: Option<u64>,
    /// Requests one connection may carry; 0 = unlimited.
    pub max_requests_per_connection: u32,
    /// `SO_KEEPALIVE`; `None` = off.
    pub tcp_keepalive: Option<TcpKeepalive>,
    /// Concurrent streams of one HTTP/2 connection; `None` = as the endpoint allows.
    pub max_concurrent_streams: Option<u32>,
    /// HTTP/2 pings; `None` = off.
    pub http2_keepalive: Option<Http2Keepalive>,
    /// What is refused beyond; for the gateway pod as a whole (Istio contract 3.4).
    pub limits: Limits,
    /// When an endpoint is ejected; `None` = never (Istio contract 3.5).
    pub outlier: Option<OutlierPolicy>,
    /// `None` = plaintext (Istio contract 3.6).
    pub tls: Option<UpstreamTls>,
    /// A PROXY header in front of every connection; connections are not shared between clients
    /// then.
    pub proxy_protocol: Option<ProxyVersion>,
}

impl Default for Cluster {
    /// Where no rule says anything: least request, HTTP/1.1, the mesh's timeouts, no limits.
    fn default() -> Self {
        Self {
            labels: BTreeMap::new(),
            balancer: Balancer::LeastRequest,
            locality: LocalityPolicy::Flat,
            warmup: None,
            panic_threshold_pct: 0,
            protocol: UpstreamProtocol::Http1,
            connect_timeout_ms: 10_000,
            idle_timeout_ms: Some(3_600_000),
            max_connection_duration_ms: None,
            max_requests_per_connection: 0,
            tcp_keepalive: None,
            max_concurrent_streams: None,
            http2_keepalive: None,
            limits: Limits::default(),
            outlier: None,
            tls: None,
            proxy_protocol: None,
        }
    }
}

/// How an endpoint is picked (Istio contract 3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Balancer {
    /// Uniform.
    Random,
    /// Weighted, in turn.
    RoundRobin,
    /// The less busy of two drawn at random. The default.
    LeastRequest,
    /// By the key that the route takes from the request (`HashKey`); without a key, uniform.
    RingHash {
        /// Points on the ring, at least; 1024 unless given.
        ring_size_min: u32,
    },
    /// As `RingHash`, by a Maglev table.
    Maglev {
        /// Its size, a prime below 5,000,011; 65,537 unless given.
        table_size: u32,
    },
}

/// Which endpoints come first (Istio contract 3.3, `localityLbSetting`). Localities are
/// `region/zone/subzone`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
pub enum LocalityPolicy {
    /// All are equal.
    #[default]
    Flat,
    /// Traffic is divided between localities; endpoints in none of them get nothing.
    Distribute {
        /// Shares for the gateway's own locality; percentages sum to 100.
        shares: Vec<LocalityShare>,
    },
    /// Nearer first: same subzone, zone, region, the named region, the rest.
    Failover {
        /// The gateway's own locality.
        own: String,
        /// Region that comes before other foreign ones.
        region: Option<String>,
    },
    /// More leading labels equal first.
    FailoverByLabels {
        /// Label and the value preferred, in order; an endpoint without the label has the empty
        /// value.
        labels: Vec<(String, String)>,
    },
}

/// The share of some localities.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct LocalityShare {
    /// `region`, `region/zone`, `region/zone/subzone`. Parts that are left out, and a trailing
    /// `*`, stand for anything.
    pub locality: String,
    /// Of 100.
    pub percent: u32,
}

/// Slow start of new endpoints (Istio contract 3.3); only for round robin and least request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Warmup {
    /// How long it takes, in milliseconds.
    pub duration_ms: u64,
    /// Share of its weight that an endpoint begins with, in percent; 10 unless given.
    pub minimum_pct: u32,
    /// Exponent of the curve in thousandths; 1000 (linear) unless given.
    pub aggression_thousandths: u32,
}

/// TCP keep-alive; `None` = the system's value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, Decode)]
pub struct TcpKeepalive {
    /// Unanswered probes before the connection is dead.
    pub probes: Option<u32>,
    /// Idle time before the first probe, in seconds.
    pub time_secs: Option<u32>,
    /// Time between probes, in seconds.
    pub interval_secs: Option<u32>,
}

/// HTTP/2 pings on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Http2Keepalive {
    /// Between pings, in milliseconds.
    pub interval_ms: u64,
    /// For the answer, in milliseconds.
    pub timeout_ms: u64,
}

/// What a cluster carries at most; for the gateway pod as a whole, all workers together. `None` =
/// unlimited (Istio contract 3.4).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, Decode)]
pub struct Limits {
    /// Open connections: HTTP/1.1 and TCP.
    pub connections: Option<u32>,
    /// Requests that wait for a connection.
    pub pending_requests: Option<u32>,
    /// Requests that run.
    pub requests: Option<u32>,
    /// Retries that run.
    pub retries: Option<u32>,
    /// Retries as a share of what runs; replaces `retries`.
    pub retry_budget: Option<RetryBudget>,
}

/// Retries as a share of requests that run and wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct RetryBudget {
    /// In millionths; 200,000 (20 %) unless given.
    pub share_millionths: u32,
    /// Always allowed; 3 unless given.
    pub retries_min: u32,
}

/// When an endpoint is ejected (Istio contract 3.5). Known by all workers of the pod.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct OutlierPolicy {
    /// Errors in a row; `None` = not counted.
    pub consecutive_errors: Option<u32>,
    /// 502, 503, 504 and failures to connect in a row; `None` = not counted.
    pub consecutive_gateway_errors: Option<u32>,
    /// Failures of the gateway's own making (no connection, timeout) in a row, counted apart
    /// from what the endpoint answers; `None` = counted as errors.
    pub consecutive_local_failures: Option<u32>,
    /// Between sweeps, in milliseconds: ejection is immediate, return happens on a sweep.
    pub interval_ms: u64,
    /// Times the number of ejections, 300 s at most, in milliseconds.
    pub base_ejection_ms: u64,
    /// Of all endpoints, rounded down.
    pub max_ejection_pct: u8,
    /// Statuses that count as errors; empty = 500 to 599.
    pub error_statuses: Vec<u16>,
}

/// Version of the PROXY protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum ProxyVersion {
    /// Text.
    V1,
    /// Binary.
    V2,
}

/// What the endpoints of a cluster speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum UpstreamProtocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 with prior knowledge.
    Http2,
    /// The version the client used (`useClientProtocol`).
    FromClient,
}

/// The endpoints of one service port, in address order, without repeats.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
pub struct EndpointSet {
    /// Ready endpoints only: what is not ready or terminating takes no new request
    /// (Istio contract 4.2).
    pub endpoints: Vec<Endpoint>,
    /// Endpoints known by name, resolved by the data plane (Istio contract 4.4).
    pub names: Vec<NamedEndpoint>,
    /// Only the latest answer's first address is used for new connections
    /// (`DNS_ROUND_ROBIN`); else all of them are endpoints.
    pub is_latest_answer_only: bool,
}

/// One address behind a service port.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Endpoint {
    /// Where to connect.
    pub address: SocketAddr,
    /// Relative weight, at least 1.
    pub weight: u32,
    /// Pod labels, plus the synthetic ones (Istio contract 4.3).
    pub labels: BTreeMap<String, String>,
    /// `region/zone/subzone`; empty if unknown.
    pub locality: String,
}

/// A DNS name behind a service port.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct NamedEndpoint {
    /// Resolved for A and AAAA.
    pub host: String,
    /// TCP port of every address.
    pub port: u16,
    /// Relative weight of every address, at least 1.
    pub weight: u32,
    /// As of an [`Endpoint`].
    pub labels: BTreeMap<String, String>,
    /// `region/zone/subzone`; empty if unknown.
    pub locality: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_maglev_table_has_a_prime_size_below_the_bound() {
        for (size, is_good) in [
            (0, false),
            (1, false),
            (2, true),
            (4, false),
            (65_537, true),
            (65_536, false),
            (4_999_999, true),
            (5_000_011, false),
            (u32::MAX, false),
        ] {
            assert_eq!(is_maglev_table_size(size), is_good, "{size}");
        }
    }
}
