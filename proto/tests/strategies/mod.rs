//! Arbitrary snapshots, within what `fairway-shared` promises its readers. Texts are short and
//! of few letters, so that keys of two snapshots meet.

mod cluster;
mod listener;
mod route;
mod settings;

use std::collections::BTreeMap;
use std::sync::Arc;

use fairway_shared::id::{
    ClusterId, ListenerId, RouteTableId, SecretName, ServicePort, SnapshotVersion,
};
use fairway_shared::snapshot::Snapshot;
use proptest::collection::btree_map;
use proptest::prelude::*;

/// A whole snapshot of a version above 0. Its parts need not fit together.
pub(crate) fn snapshot() -> impl Strategy<Value = Snapshot> {
    let listeners = shared_map(name().prop_map(ListenerId), listener::listener());
    let route_tables = shared_map(name().prop_map(RouteTableId), route::route_table());
    let clusters = shared_map(cluster_id(), cluster::cluster());
    let endpoints = shared_map(service_port(), cluster::endpoint_set());
    let secrets = shared_map(name().prop_map(SecretName), listener::secret());
    let settings = settings::settings().prop_map(Arc::new);
    (1_u64.., listeners, route_tables, clusters, endpoints, secrets, settings).prop_map(
        |(version, listeners, route_tables, clusters, endpoints, secrets, settings)| {
            let version = SnapshotVersion(version);
            Snapshot { version, listeners, route_tables, clusters, endpoints, secrets, settings }
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
