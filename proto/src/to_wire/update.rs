//! Updates: resources whole, or what differs from a base.

use fairway_shared::ipc::message::NodeIdentity;
use fairway_shared::snapshot::Snapshot;
use fairway_shared::snapshot::diff::diff;

use super::{
    cluster, cluster_id, endpoint_set, listener, public_secret, route_table, secret, service_port,
    settings,
};
use crate::wire;

/// Who a data plane is.
pub fn node(from: &NodeIdentity) -> wire::Node {
    wire::Node {
        id: from.id.clone(),
        namespace: from.namespace.clone(),
        labels: from.labels.clone(),
        locality: from.locality.clone(),
        build: from.build.clone(),
    }
}

/// The whole snapshot, without a nonce.
pub fn whole_update(from: &Snapshot) -> wire::SnapshotUpdate {
    delta_update(&Snapshot::default(), from)
}

/// What leads from `base` to `to`, without a nonce. A base of version 0 is empty by definition,
/// and the result is then the whole snapshot.
pub fn delta_update(base: &Snapshot, to: &Snapshot) -> wire::SnapshotUpdate {
    let changes = diff(base, to);
    wire::SnapshotUpdate {
        version: to.version.0,
        nonce: String::new(),
        base_version: base.version.0,
        listeners: pick(&changes.listeners.upserted, &to.listeners, listener),
        route_tables: pick(&changes.route_tables.upserted, &to.route_tables, route_table),
        clusters: pick(&changes.clusters.upserted, &to.clusters, cluster),
        endpoint_sets: pick(&changes.endpoints.upserted, &to.endpoints, endpoint_set),
        removed_listeners: changes.listeners.removed.into_iter().map(|id| id.0).collect(),
        removed_route_tables: changes.route_tables.removed.into_iter().map(|id| id.0).collect(),
        removed_clusters: changes.clusters.removed.iter().map(cluster_id).collect(),
        removed_endpoint_sets: changes.endpoints.removed.iter().map(service_port).collect(),
        secrets: pick(&changes.secrets.upserted, &to.secrets, secret),
        removed_secrets: changes.secrets.removed.into_iter().map(|name| name.0).collect(),
        settings: changes.settings.then(|| settings(&to.settings)),
    }
}

/// The whole snapshot as `GetSnapshot` answers it: without private keys.
pub fn snapshot(from: &Snapshot, published_at_unix_ms: i64) -> wire::Snapshot {
    let update = whole_update(from);
    wire::Snapshot {
        version: update.version,
        published_at_unix_ms,
        listeners: update.listeners,
        route_tables: update.route_tables,
        clusters: update.clusters,
        endpoint_sets: update.endpoint_sets,
        secrets: from.secrets.iter().map(|(name, secret)| public_secret(name, secret)).collect(),
        settings: update.settings,
    }
}

fn pick<K: Ord, V, W>(
    keys: &[K],
    from: &std::collections::BTreeMap<K, std::sync::Arc<V>>,
    translate: fn(&K, &V) -> W,
) -> Vec<W> {
    keys.iter().filter_map(|key| Some(translate(key, from.get(key)?))).collect()
}
