//! Upstream clusters: every service port and subset that some route or mirror reaches, with the
//! policy in force (Istio contract 3.2 to 3.4, 3.6 last paragraph, 4.1).
//!
//! What is unknown makes no cluster: a request for it is answered 503 `NC`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fairway_shared::id::{ClusterId, ListenerId, RouteTableId};
use fairway_shared::snapshot::cluster::{
    Balancer, Cluster, Limits, TcpKeepalive, UpstreamProtocol,
};
use fairway_shared::snapshot::listener::Listener;
use fairway_shared::snapshot::route::{RouteAction, RouteTable};

use super::World;
use super::backends::{Backend, BackendPort, PortProtocol};
use super::mesh::Mesh;
use super::policy::{Blocks, Pool};
use super::rules::Rule;

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
    let backend = world.index.backend(&id.service.host)?;
    if backend.external_name().is_some() {
        return None;
    }
    let port = backend.port(id.service.port)?;
    let rule = world.rules.effective(&id.service.host, backend.namespace());
    let subset = match (id.subset.as_str(), rule) {
        ("", _) => None,
        (name, rule) => Some(rule?.subsets.get(name)?),
    };
    let labels = subset.map(|subset| subset.labels.clone()).unwrap_or_default();
    let blocks = Rule::blocks(rule, subset, port.number, &world.mesh.blocks);
    let cluster = Cluster { labels, ..read_blocks(&blocks, &world.mesh) };
    Some(under_policy(world, (id, backend, port), cluster, &blocks))
}

/// What the blocks say, wherever the gateway and whatever the service.
fn read_blocks(blocks: &Blocks, mesh: &Mesh<'_>) -> Cluster {
    let empty = Pool::default();
    let pool = blocks.pool.as_deref().unwrap_or(&empty);
    let balancing = blocks.balancing.as_deref();
    let outlier = blocks.outlier.as_deref();
    Cluster {
        balancer: balancing.map_or(Balancer::LeastRequest, |balancing| balancing.balancer),
        warmup: balancing.and_then(|balancing| balancing.warmup),
        panic_threshold_pct: outlier.map_or(0, |outlier| outlier.panic_threshold_pct),
        connect_timeout_ms: pool.connect_timeout_ms.unwrap_or(mesh.connect_timeout_ms),
        idle_timeout_ms: idle_timeout_ms(pool),
        max_connection_duration_ms: pool.max_connection_duration_ms,
        max_requests_per_connection: pool.max_requests_per_connection,
        tcp_keepalive: keepalive(pool.keepalive, mesh.tcp_keepalive),
        max_concurrent_streams: pool.max_concurrent_streams,
        http2_keepalive: pool.http2_keepalive,
        limits: Limits { retry_budget: blocks.retry_budget, ..pool.limits },
        outlier: outlier.map(|outlier| outlier.policy.clone()),
        proxy_protocol: blocks.proxy_protocol,
        ..Cluster::default()
    }
}

/// The rest: what depends on the service and on where the gateway is.
fn under_policy(
    world: &World<'_>,
    (id, backend, port): (&ClusterId, Backend<'_>, BackendPort<'_>),
    cluster: Cluster,
    blocks: &Blocks,
) -> Cluster {
    let of_rule = blocks.balancing.as_ref().and_then(|balancing| balancing.locality.clone());
    let said = of_rule.or_else(|| backend.locality_setting());
    let locality = said.as_ref().unwrap_or(&world.mesh.locality);
    Cluster {
        protocol: protocol(&world.mesh, port, blocks.pool.as_deref()),
        locality: locality.policy(&world.place, cluster.outlier.is_some()),
        tls: blocks.tls.as_ref().and_then(|tls| tls.of_cluster(id, backend.subject_alt_names())),
        ..cluster
    }
}

/// The rule's numbers come before the mesh's; either switches it on.
fn keepalive(rule: Option<TcpKeepalive>, mesh: Option<TcpKeepalive>) -> Option<TcpKeepalive> {
    let (Some(own), Some(mesh)) = (rule, mesh) else { return rule.or(mesh) };
    Some(TcpKeepalive {
        probes: own.probes.or(mesh.probes),
        time_secs: own.time_secs.or(mesh.time_secs),
        interval_secs: own.interval_secs.or(mesh.interval_secs),
    })
}

/// The HTTP pool's, else the TCP pool's; zero is never.
fn idle_timeout_ms(pool: &Pool) -> Option<u64> {
    let ms = pool.http_idle_ms.or(pool.tcp_idle_ms).unwrap_or(DEFAULT_IDLE_TIMEOUT_MS);
    (ms > 0).then_some(ms)
}

/// A rule's `DO_NOT_UPGRADE` keeps the mesh from upgrading, not a port from saying HTTP/2.
fn protocol(mesh: &Mesh<'_>, port: BackendPort<'_>, pool: Option<&Pool>) -> UpstreamProtocol {
    match pool {
        Some(pool) if pool.use_client_protocol => UpstreamProtocol::FromClient,
        Some(pool) if pool.upgrades_to_http2 == Some(true) => UpstreamProtocol::Http2,
        _ if port.protocol == PortProtocol::Http2 => UpstreamProtocol::Http2,
        Some(pool) if pool.upgrades_to_http2 == Some(false) => UpstreamProtocol::Http1,
        _ if mesh.upgrades_to_http2 => UpstreamProtocol::Http2,
        _ => UpstreamProtocol::Http1,
    }
}
