//! Clusters and endpoint sets.

use fairway_shared::id::{ClusterId, ServicePort};
use fairway_shared::snapshot::cluster::{
    Balancer, Cluster, Endpoint, EndpointSet, UpstreamProtocol,
};

use super::check::{At, FieldError, Problem, each, known, named, port, required, within};
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
        balancer: balancer(from.balancer).at("balancer")?,
        protocol: protocol(from.protocol).at("protocol")?,
        connect_timeout_ms: from.connect_timeout_ms,
        idle_timeout_ms: from.idle_timeout_ms,
        max_requests_per_connection: from.max_requests_per_connection,
        tls: from.tls.map(upstream_tls).transpose().at("tls")?,
        ..Cluster::default()
    };
    Ok((id, cluster))
}

pub(super) fn endpoint_set(
    from: wire::EndpointSet,
) -> Result<(ServicePort, EndpointSet), FieldError> {
    let service = required(from.service).and_then(service_port).at("service")?;
    let endpoints = each("endpoints", from.endpoints, endpoint)?;
    Ok((service, EndpointSet { endpoints, ..EndpointSet::default() }))
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

fn balancer(from: i32) -> Result<Balancer, FieldError> {
    match known(from)? {
        wire::Balancer::Unspecified => Err(Problem::Missing.into()),
        wire::Balancer::Random => Ok(Balancer::Random),
        wire::Balancer::RoundRobin => Ok(Balancer::RoundRobin),
        wire::Balancer::LeastRequest => Ok(Balancer::LeastRequest),
        wire::Balancer::RingHash => Ok(Balancer::RingHash { ring_size_min: 1024 }),
        wire::Balancer::Maglev => Ok(Balancer::Maglev { table_size: 65_537 }),
    }
}

fn protocol(from: i32) -> Result<UpstreamProtocol, FieldError> {
    match known(from)? {
        wire::UpstreamProtocol::Unspecified => Err(Problem::Missing.into()),
        wire::UpstreamProtocol::Http1 => Ok(UpstreamProtocol::Http1),
        wire::UpstreamProtocol::Http2 => Ok(UpstreamProtocol::Http2),
        wire::UpstreamProtocol::FromClient => Ok(UpstreamProtocol::FromClient),
    }
}
