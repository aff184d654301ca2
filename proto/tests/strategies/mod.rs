//! Arbitrary snapshots, within what `fairway-shared` promises its readers. Texts are short and
//! of few letters, so that keys of two snapshots meet.

mod listener;
mod route;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use fairway_shared::id::{
    ClusterId, ListenerId, RouteTableId, SecretName, ServicePort, SnapshotVersion,
};
use fairway_shared::snapshot::Snapshot;
use fairway_shared::snapshot::cluster::{
    Balancer, Cluster, Endpoint, EndpointSet, UpstreamProtocol,
};
use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;

/// A whole snapshot of a version above 0. Its parts need not fit together.
pub(crate) fn snapshot() -> impl Strategy<Value = Snapshot> {
    let listeners = shared_map(name().prop_map(ListenerId), listener::listener());
    let route_tables = shared_map(name().prop_map(RouteTableId), route::route_table());
    let clusters = shared_map(cluster_id(), cluster());
    let endpoints = shared_map(service_port(), endpoint_set());
    let secrets = shared_map(name().prop_map(SecretName), listener::secret());
    (1_u64.., listeners, route_tables, clusters, endpoints, secrets).prop_map(
        |(version, listeners, route_tables, clusters, endpoints, secrets)| {
            let version = SnapshotVersion(version);
            Snapshot {
                version,
                listeners,
                route_tables,
                clusters,
                endpoints,
                secrets,
                ..Snapshot::default()
            }
        },
    )
}

fn shared_map<K, V>(
    key: impl Strategy<Value = K>,
    value: impl Strategy<Value = V>,
) -> impl Strategy<Value = BTreeMap<K, Arc<V>>>
where
    K: Ord + std::fmt::Debug,
    V: std::fmt::Debug,
{
    btree_map(key, value.prop_map(Arc::new), 0..3)
}

/// One or two letters.
fn name() -> impl Strategy<Value = String> {
    "[a-c]{1,2}"
}

/// Any text, mostly short.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), name(), any::<String>()]
}

fn labels() -> impl Strategy<Value = BTreeMap<String, String>> {
    btree_map(text(), text(), 0..3)
}

fn service_port() -> impl Strategy<Value = ServicePort> {
    (name(), 0_u16..3).prop_map(|(host, port)| ServicePort { host, port })
}

fn cluster_id() -> impl Strategy<Value = ClusterId> {
    let subset = prop_oneof![Just(String::new()), name()];
    (service_port(), subset).prop_map(|(service, subset)| ClusterId { service, subset })
}

fn cluster() -> impl Strategy<Value = Cluster> {
    let balancer = prop_oneof![
        Just(Balancer::Random),
        Just(Balancer::RoundRobin),
        Just(Balancer::LeastRequest)
    ];
    let protocol = prop_oneof![
        Just(UpstreamProtocol::Http1),
        Just(UpstreamProtocol::Http2),
        Just(UpstreamProtocol::FromClient)
    ];
    let tls = of(listener::upstream_tls());
    (labels(), balancer, protocol, any::<u32>(), any::<Option<u64>>(), any::<u32>(), tls).prop_map(
        |(labels, balancer, protocol, connect_timeout_ms, idle_timeout_ms, requests, tls)| {
            Cluster {
                labels,
                balancer,
                protocol,
                connect_timeout_ms,
                idle_timeout_ms,
                max_requests_per_connection: requests,
                tls,
                ..Cluster::default()
            }
        },
    )
}

fn endpoint_set() -> impl Strategy<Value = EndpointSet> {
    vec(endpoint(), 0..3).prop_map(|endpoints| EndpointSet { endpoints, ..EndpointSet::default() })
}

fn endpoint() -> impl Strategy<Value = Endpoint> {
    let address = (any::<IpAddr>(), any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip, port));
    (address, 1_u32.., labels(), text()).prop_map(|(address, weight, labels, locality)| Endpoint {
        address,
        weight,
        labels,
        locality,
    })
}
