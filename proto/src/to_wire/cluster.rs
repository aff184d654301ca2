//! Clusters and endpoint sets.

use fairway_shared::id::{ClusterId, ServicePort};
use fairway_shared::snapshot::cluster::{
    Cluster, Endpoint, EndpointSet, NamedEndpoint, UpstreamProtocol,
};

use super::policy::{
    balancer, http2_keepalive, limits, locality, outlier, proxy_version, tcp_keepalive, warmup,
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
    let (kind, ring_size_min, maglev_table_size) = balancer(from.balancer);
    wire::Cluster {
        id: Some(cluster_id(id)),
        labels: from.labels.clone(),
        balancer: kind.into(),
        protocol: protocol(from.protocol).into(),
        connect_timeout_ms: from.connect_timeout_ms,
        idle_timeout_ms: from.idle_timeout_ms,
        max_requests_per_connection: from.max_requests_per_connection,
        ring_size_min,
        maglev_table_size,
        locality: locality(&from.locality),
        warmup: from.warmup.as_ref().map(warmup),
        panic_threshold_pct: from.panic_threshold_pct.into(),
        max_connection_duration_ms: from.max_connection_duration_ms,
        tcp_keepalive: from.tcp_keepalive.as_ref().map(tcp_keepalive),
        max_concurrent_streams: from.max_concurrent_streams,
        http2_keepalive: from.http2_keepalive.as_ref().map(http2_keepalive),
        limits: limits(&from.limits),
        outlier: from.outlier.as_ref().map(outlier),
        tls: from.tls.as_ref().map(upstream_tls),
        proxy_protocol: proxy_version(from.proxy_protocol).into(),
    }
}

/// The endpoints of a service port.
pub fn endpoint_set(service: &ServicePort, from: &EndpointSet) -> wire::EndpointSet {
    wire::EndpointSet {
        service: Some(service_port(service)),
        endpoints: from.endpoints.iter().map(endpoint).collect(),
        names: from.names.iter().map(named_endpoint).collect(),
        is_latest_answer_only: from.is_latest_answer_only,
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

/// One name that the data plane resolves.
pub fn named_endpoint(from: &NamedEndpoint) -> wire::NamedEndpoint {
    wire::NamedEndpoint {
        host: from.host.clone(),
        port: from.port.into(),
        weight: from.weight,
        labels: from.labels.clone(),
        locality: from.locality.clone(),
    }
}

fn protocol(from: UpstreamProtocol) -> wire::UpstreamProtocol {
    match from {
        UpstreamProtocol::Http1 => wire::UpstreamProtocol::Http1,
        UpstreamProtocol::Http2 => wire::UpstreamProtocol::Http2,
        UpstreamProtocol::FromClient => wire::UpstreamProtocol::FromClient,
    }
}
