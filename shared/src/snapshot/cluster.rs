//! Upstream clusters and their endpoints.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bincode::{Decode, Encode};

/// One upstream cluster: a service port, or a subset of it, with the policy in force for it.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Cluster {
    /// Pod labels an endpoint must carry; empty selects every endpoint of the service port.
    pub labels: BTreeMap<String, String>,
    /// How an endpoint is picked (Istio contract 3.3).
    pub balancer: Balancer,
    /// What the endpoints speak (Istio contract 3.6, last paragraph).
    pub protocol: UpstreamProtocol,
    /// Longest wait for a TCP connection, in milliseconds; mesh default 10,000.
    pub connect_timeout_ms: u32,
    /// How long a pooled connection may idle, in milliseconds; `None` = never closed for that.
    pub idle_timeout_ms: Option<u64>,
    /// Requests one connection may carry; 0 = unlimited.
    pub max_requests_per_connection: u32,
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
