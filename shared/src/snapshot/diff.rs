//! What changed between two snapshots, by key.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Snapshot;
use crate::id::{ClusterId, ListenerId, RouteTableId, SecretName, ServicePort};

/// Keys of one resource kind that differ: `upserted` are new or have another value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes<K> {
    /// New or different, in key order.
    pub upserted: Vec<K>,
    /// Gone, in key order.
    pub removed: Vec<K>,
}

impl<K> Changes<K> {
    /// Nothing differs.
    pub fn is_empty(&self) -> bool {
        self.upserted.is_empty() && self.removed.is_empty()
    }
}

/// What changed between two snapshots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotDiff {
    /// Listeners.
    pub listeners: Changes<ListenerId>,
    /// Route tables.
    pub route_tables: Changes<RouteTableId>,
    /// Clusters.
    pub clusters: Changes<ClusterId>,
    /// Endpoint lists.
    pub endpoints: Changes<ServicePort>,
    /// Secrets.
    pub secrets: Changes<SecretName>,
    /// The settings of the gateway as a whole differ.
    pub settings: bool,
}

impl SnapshotDiff {
    /// Nothing differs but perhaps the version.
    pub fn is_empty(&self) -> bool {
        self.listeners.is_empty()
            && self.route_tables.is_empty()
            && self.clusters.is_empty()
            && self.endpoints.is_empty()
            && self.secrets.is_empty()
            && !self.settings
    }
}

/// Compares two snapshots. Values behind the same `Arc` are equal without being read.
pub fn diff(old: &Snapshot, new: &Snapshot) -> SnapshotDiff {
    SnapshotDiff {
        listeners: changes(&old.listeners, &new.listeners),
        route_tables: changes(&old.route_tables, &new.route_tables),
        clusters: changes(&old.clusters, &new.clusters),
        endpoints: changes(&old.endpoints, &new.endpoints),
        secrets: changes(&old.secrets, &new.secrets),
        settings: old.settings != new.settings,
    }
}

fn changes<K: Ord + Clone, V: PartialEq>(
    old: &BTreeMap<K, Arc<V>>,
    new: &BTreeMap<K, Arc<V>>,
) -> Changes<K> {
    let same = |was: &Arc<V>, is: &Arc<V>| Arc::ptr_eq(was, is) || was == is;
    let upserted = new
        .iter()
        .filter(|(key, value)| !old.get(key).is_some_and(|was| same(was, value)))
        .map(|(key, _)| key.clone())
        .collect();
    let removed = old.keys().filter(|key| !new.contains_key(key)).cloned().collect();
    Changes { upserted, removed }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::cluster::EndpointSet;

    #[test]
    fn only_what_differs_is_named() {
        let port = |host: &str| ServicePort { host: host.into(), port: 80 };
        let set = || Arc::new(EndpointSet::default());
        let mut old = Snapshot::default();
        old.endpoints.extend([(port("a"), set()), (port("b"), set())]);
        let mut new = old.clone();
        assert!(diff(&old, &new).is_empty());
        new.endpoints.remove(&port("a"));
        new.endpoints.insert(port("c"), set());
        let found = diff(&old, &new);
        assert_eq!(
            found.endpoints,
            Changes { upserted: vec![port("c")], removed: vec![port("a")] }
        );
        assert!(found.clusters.is_empty());
    }
}
