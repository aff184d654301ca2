//! Upstream clusters: every service port and subset that some route or mirror reaches, with the
//! policy in force (Istio contract 3.2 to 3.4, 3.6 last paragraph, 4.1).
//!
//! What is unknown makes no cluster: a request for it is answered 503 `NC`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fairway_shared::id::{ClusterId, ListenerId, RouteTableId};
use fairway_shared::snapshot::cluster::{Balancer, Cluster, UpstreamProtocol};
use fairway_shared::snapshot::listener::Listener;
use fairway_shared::snapshot::route::{RouteAction, RouteTable};

use super::World;
use super::index::{external_name, port_numbered};
use super::mesh::Mesh;
use super::quantities::whole_ms;
use super::rules::Policy;
use crate::object::destination_rule::{ConnectionPool, HttpPool, TcpPool};
use crate::object::service::ServicePort;

/// How long a pooled connection idles where no rule says otherwise.
const DEFAULT_IDLE_TIMEOUT_MS: u64 = 3_600_000;

/// The clusters that routes and mirrors of these tables and listeners name, known or not, in key
/// order.
pub(super) fn reachable(
    tables: &BTreeMap<RouteTableId, Arc<RouteTable>>,
    listeners: &BTreeMap<ListenerId, Arc<Listener>>,
) -> BTreeSet<ClusterId> {
    let hosts = tables.values().flat_map(|table| &table.virtual_hosts);
    let mut ids = BTreeSet::new();
    for route in hosts.flat_map(|host| &host.routes) {
        if let RouteAction::Forward(forward) = &route.spec.action {
            ids.extend(forward.destinations.iter().map(|to| &to.cluster));
            ids.extend(forward.mirrors.iter().map(|mirror| &mirror.cluster));
        }
    }
    for route in listeners.values().flat_map(|listener| listener.tcp_routes()) {
        ids.extend(route.destinations.iter().map(|to| &to.cluster));
    }
    ids.into_iter().cloned().collect()
}

/// The cluster of a key, unless its host, port or subset is unknown.
pub(super) fn cluster(world: &World<'_>, id: &ClusterId) -> Option<Cluster> {
    let service = world.index.service(&id.service.host)?;
    if external_name(service.spec).is_some() {
        return None;
    }
    let port = port_numbered(service.spec, id.service.port)?;
    let rule = world.rules.effective(&id.service.host, &service.object.meta.namespace);
    let subset = match (id.subset.as_str(), rule) {
        ("", _) => None,
        (name, rule) => Some(*rule?.subsets.get(name)?),
    };
    let policy = rule.map(|rule| Policy::compose(rule, subset, port.port)).unwrap_or_default();
    let labels = subset.map(|subset| subset.labels.clone()).unwrap_or_default();
    Some(under_policy(&world.mesh, policy, port, labels))
}

fn under_policy(
    mesh: &Mesh<'_>,
    policy: Policy<'_>,
    port: &ServicePort,
    labels: BTreeMap<String, String>,
) -> Cluster {
    let empty = ConnectionPool::default();
    let pool = policy.connection_pool.unwrap_or(&empty);
    let (tcp, http) = (pool.tcp.as_ref(), pool.http.as_ref());
    Cluster {
        labels,
        balancer: balancer(policy.load_balancer.map_or("", |balancer| &balancer.simple)),
        protocol: protocol(mesh, port, http),
        connect_timeout_ms: connect_timeout_ms(mesh, tcp),
        tcp_keepalive: mesh.tcp_keepalive,
        idle_timeout_ms: idle_timeout_ms(tcp, http),
        max_requests_per_connection: http.map_or(0, |http| http.max_requests_per_connection),
        ..Cluster::default()
    }
}

fn balancer(simple: &str) -> Balancer {
    match simple {
        "RANDOM" => Balancer::Random,
        "ROUND_ROBIN" => Balancer::RoundRobin,
        _ => Balancer::LeastRequest,
    }
}

fn connect_timeout_ms(mesh: &Mesh<'_>, tcp: Option<&TcpPool>) -> u32 {
    let written = tcp.and_then(|tcp| tcp.connect_timeout.as_deref());
    match written.and_then(|text| whole_ms(text).ok()) {
        Some(ms) => u32::try_from(ms).unwrap_or(u32::MAX),
        None => mesh.connect_timeout_ms,
    }
}

/// The HTTP pool's, else the TCP pool's; zero is never.
fn idle_timeout_ms(tcp: Option<&TcpPool>, http: Option<&HttpPool>) -> Option<u64> {
    let written = http
        .and_then(|http| http.idle_timeout.as_deref())
        .or_else(|| tcp.and_then(|tcp| tcp.idle_timeout.as_deref()));
    let ms = written.and_then(|text| whole_ms(text).ok()).unwrap_or(DEFAULT_IDLE_TIMEOUT_MS);
    (ms > 0).then_some(ms)
}

/// A rule's `DO_NOT_UPGRADE` keeps the mesh from upgrading, not a port from saying HTTP/2.
fn protocol(mesh: &Mesh<'_>, port: &ServicePort, http: Option<&HttpPool>) -> UpstreamProtocol {
    match http {
        Some(http) if http.use_client_protocol => UpstreamProtocol::FromClient,
        Some(http) if http.h2_upgrade_policy == "UPGRADE" => UpstreamProtocol::Http2,
        _ if speaks_http2(port) => UpstreamProtocol::Http2,
        Some(http) if http.h2_upgrade_policy == "DO_NOT_UPGRADE" => UpstreamProtocol::Http1,
        _ if mesh.upgrades_to_http2 => UpstreamProtocol::Http2,
        _ => UpstreamProtocol::Http1,
    }
}

/// Told by `appProtocol`, else by the port's name up to the first `-`. Gateways do not sniff:
/// what is unknown speaks HTTP/1.1.
fn speaks_http2(port: &ServicePort) -> bool {
    let told = if port.app_protocol.is_empty() { &port.name } else { &port.app_protocol };
    let told = told.to_ascii_lowercase();
    if told == "kubernetes.io/h2c" || told.starts_with("grpc-web") {
        return true;
    }
    let word = told.split('-').next().unwrap_or_default();
    matches!(word, "http2" | "grpc")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_tells_the_protocol() {
        for (name, app_protocol, is_http2) in [
            ("http", "", false),
            ("http2", "", true),
            ("grpc-api", "", true),
            ("GRPC", "", true),
            ("grpc-web", "", true),
            ("grpcish", "", false),
            ("", "", false),
            ("http", "kubernetes.io/h2c", true),
            ("grpc", "http", false),
            ("x", "grpc", true),
            ("x", "kubernetes.io/ws", false),
            ("https", "", false),
        ] {
            let port = ServicePort {
                name: name.into(),
                app_protocol: app_protocol.into(),
                ..ServicePort::default()
            };
            assert_eq!(speaks_http2(&port), is_http2, "{name} {app_protocol}");
        }
    }
}
