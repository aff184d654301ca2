//! Clusters and endpoint sets.

use fairway_shared::id::{ClusterId, ServicePort};
use fairway_shared::snapshot::cluster::{
    Cluster, Endpoint, EndpointSet, NamedEndpoint, UpstreamProtocol,
};

use super::check::{At, FieldError, Problem, each, known, named, port, required, within};
use super::policy::{
    balancer, http2_keepalive, limits, locality, outlier, percent, proxy_version, tcp_keepalive,
    warmup,
};
use super::tls::upstream_tls;
use crate::wire;

pub(super) fn service_port(from: wire::ServicePort) -> Result<ServicePort, FieldError> {
    Ok(ServicePort { host: named(from.host).at("host")?, port: port(from.port).at("port")? })
}

pub(super) fn cluster_id(from: wire::ClusterId) -> Result<ClusterId, FieldError> {
    let service = required(from.service).and_then(service_port).at("service")?;
    Ok(ClusterId { service, subset: from.subset })
}

pub(super) fn cluster(from: wire::Cluster) -> Result<(ClusterId, Cluster), FieldError> {
    let id = required(from.id).and_then(cluster_id).at("id")?;
    let cluster = Cluster {
        labels: from.labels,
        balancer: balancer(from.balancer, from.ring_size_min, from.maglev_table_size)?,
        locality: from.locality.map(locality).transpose().at("locality")?.unwrap_or_default(),
        warmup: from.warmup.map(warmup).transpose().at("warmup")?,
        panic_threshold_pct: percent(from.panic_threshold_pct).at("panic_threshold_pct")?,
        protocol: protocol(from.protocol).at("protocol")?,
        connect_timeout_ms: from.connect_timeout_ms,
        idle_timeout_ms: from.idle_timeout_ms,
        max_connection_duration_ms: from.max_connection_duration_ms,
        max_requests_per_connection: from.max_requests_per_connection,
        tcp_keepalive: from.tcp_keepalive.map(tcp_keepalive),
        max_concurrent_streams: from.max_concurrent_streams,
        http2_keepalive: from
            .http2_keepalive
            .map(http2_keepalive)
            .transpose()
            .at("http2_keepalive")?,
        limits: from.limits.map(limits).transpose().at("limits")?.unwrap_or_default(),
        outlier: from.outlier.map(outlier).transpose().at("outlier")?,
        tls: from.tls.map(upstream_tls).transpose().at("tls")?,
        proxy_protocol: proxy_version(from.proxy_protocol).at("proxy_protocol")?,
    };
    Ok((id, cluster))
}

pub(super) fn endpoint_set(
    from: wire::EndpointSet,
) -> Result<(ServicePort, EndpointSet), FieldError> {
    let service = required(from.service).and_then(service_port).at("service")?;
    let endpoints = each("endpoints", from.endpoints, endpoint)?;
    let names = each("names", from.names, named_endpoint)?;
    let is_latest_answer_only = from.is_latest_answer_only;
    Ok((service, EndpointSet { endpoints, names, is_latest_answer_only }))
}

fn endpoint(from: wire::Endpoint) -> Result<Endpoint, FieldError> {
    let parsed = from.address.parse();
    let address = parsed.map_err(|_| Problem::NotAnAddress { text: from.address }.into());
    Ok(Endpoint {
        address: address.at("address")?,
        weight: within(from.weight, 1, u32::MAX.into()).at("weight")?,
        labels: from.labels,
        locality: from.locality,
    })
}

fn named_endpoint(from: wire::NamedEndpoint) -> Result<NamedEndpoint, FieldError> {
    Ok(NamedEndpoint {
        host: named(from.host).at("host")?,
        port: port(from.port).at("port")?,
        weight: within(from.weight, 1, u32::MAX.into()).at("weight")?,
        labels: from.labels,
        locality: from.locality,
    })
}

fn protocol(from: i32) -> Result<UpstreamProtocol, FieldError> {
    match known(from)? {
        wire::UpstreamProtocol::Unspecified => Err(Problem::Missing.into()),
        wire::UpstreamProtocol::Http1 => Ok(UpstreamProtocol::Http1),
        wire::UpstreamProtocol::Http2 => Ok(UpstreamProtocol::Http2),
        wire::UpstreamProtocol::FromClient => Ok(UpstreamProtocol::FromClient),
    }
}
