//! Clusters and endpoint sets.

use fairway_shared::id::{ClusterId, ServicePort};
use fairway_shared::snapshot::cluster::{
    Balancer, Cluster, Endpoint, EndpointSet, UpstreamProtocol,
};

use super::tls::upstream_tls;
use crate::wire;

/// A service port.
pub fn service_port(from: &ServicePort) -> wire::ServicePort {
    wire::ServicePort { host: from.host.clone(), port: from.port.into() }
}

/// The key of a cluster.
pub fn cluster_id(from: &ClusterId) -> wire::ClusterId {
    wire::ClusterId { service: Some(service_port(&from.service)), subset: from.subset.clone() }
}

/// A cluster under its key.
pub fn cluster(id: &ClusterId, from: &Cluster) -> wire::Cluster {
    wire::Cluster {
        id: Some(cluster_id(id)),
        labels: from.labels.clone(),
        balancer: balancer(from.balancer).into(),
        protocol: protocol(from.protocol).into(),
        connect_timeout_ms: from.connect_timeout_ms,
        idle_timeout_ms: from.idle_timeout_ms,
        max_requests_per_connection: from.max_requests_per_connection,
        tls: from.tls.as_ref().map(upstream_tls),
    }
}

/// The endpoints of a service port.
pub fn endpoint_set(service: &ServicePort, from: &EndpointSet) -> wire::EndpointSet {
    wire::EndpointSet {
        service: Some(service_port(service)),
        endpoints: from.endpoints.iter().map(endpoint).collect(),
    }
}

/// One endpoint.
pub fn endpoint(from: &Endpoint) -> wire::Endpoint {
    wire::Endpoint {
        address: from.address.to_string(),
        weight: from.weight,
        labels: from.labels.clone(),
        locality: from.locality.clone(),
    }
}

fn balancer(from: Balancer) -> wire::Balancer {
    match from {
        Balancer::Random => wire::Balancer::Random,
        Balancer::RoundRobin => wire::Balancer::RoundRobin,
        Balancer::LeastRequest => wire::Balancer::LeastRequest,
        Balancer::RingHash { .. } => wire::Balancer::RingHash,
        Balancer::Maglev { .. } => wire::Balancer::Maglev,
    }
}

fn protocol(from: UpstreamProtocol) -> wire::UpstreamProtocol {
    match from {
        UpstreamProtocol::Http1 => wire::UpstreamProtocol::Http1,
        UpstreamProtocol::Http2 => wire::UpstreamProtocol::Http2,
        UpstreamProtocol::FromClient => wire::UpstreamProtocol::FromClient,
    }
}
