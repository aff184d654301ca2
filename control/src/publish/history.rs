//! Which compile results become versions, and the versions still held. Pure: the clock is the
//! caller's.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use fairway_shared::id::SnapshotVersion;
use fairway_shared::snapshot::Snapshot;
use fairway_shared::snapshot::route::{RouteTable, VirtualHost};

use super::version::{Version, count};

/// Versions held, the current one among them.
pub const VERSIONS_MAX: usize = 32;

/// The versions held, newest last. The newest is the current one.
#[derive(Debug, Default)]
pub struct History {
    versions: VecDeque<Arc<Version>>,
}

impl History {
    /// The current version.
    pub fn current(&self) -> Option<&Arc<Version>> {
        self.versions.back()
    }

    /// A version by its number.
    pub fn get(&self, number: SnapshotVersion) -> Option<&Arc<Version>> {
        self.versions.iter().find(|version| version.number() == number)
    }

    /// All versions held, newest first.
    pub fn newest_first(&self) -> impl Iterator<Item = &Arc<Version>> {
        self.versions.iter().rev()
    }

    /// Makes a compile result the next version, unless nothing but the number would change. What
    /// did not change shares its memory with the version before.
    pub fn advance(
        &mut self,
        snapshot: Snapshot,
        published_at_unix_ms: i64,
        compile_ms: u64,
    ) -> Option<Arc<Version>> {
        let mut snapshot = snapshot;
        if let Some(current) = self.current() {
            if current.snapshot.same_content(&snapshot) {
                return None;
            }
            share_unchanged(&current.snapshot, &mut snapshot);
            snapshot.version = SnapshotVersion(current.number().0 + 1);
        } else {
            snapshot.version = SnapshotVersion(1);
        }
        let counts = count(&snapshot);
        let version = Arc::new(Version { snapshot, counts, published_at_unix_ms, compile_ms });
        if self.versions.len() == VERSIONS_MAX {
            self.versions.pop_front();
        }
        self.versions.push_back(Arc::clone(&version));
        Some(version)
    }
}

/// Lets equal resources of both snapshots be one in memory: the history stays small, and the
/// next comparison ends at the pointers.
fn share_unchanged(old: &Snapshot, new: &mut Snapshot) {
    share(&old.listeners, &mut new.listeners);
    share(&old.clusters, &mut new.clusters);
    share(&old.endpoints, &mut new.endpoints);
    share(&old.route_tables, &mut new.route_tables);
    for (id, table) in &mut new.route_tables {
        if let Some(was) = old.route_tables.get(id).filter(|was| !Arc::ptr_eq(was, table)) {
            share_virtual_hosts(was, Arc::make_mut(table));
        }
    }
}

fn share<K: Ord, V: PartialEq>(old: &BTreeMap<K, Arc<V>>, new: &mut BTreeMap<K, Arc<V>>) {
    for (key, value) in new {
        if let Some(was) = old.get(key).filter(|was| *was == value) {
            *value = Arc::clone(was);
        }
    }
}

fn share_virtual_hosts(old: &RouteTable, new: &mut RouteTable) {
    let hosts = old.virtual_hosts.iter().map(|host| (host.domain.as_str(), host));
    let by_domain: HashMap<&str, &Arc<VirtualHost>> = hosts.collect();
    for host in &mut new.virtual_hosts {
        if let Some(was) = by_domain.get(host.domain.as_str()).filter(|was| ***was == *host) {
            *host = Arc::clone(was);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::testing::{cluster, snapshot_with};

    #[test]
    fn an_unchanged_result_makes_no_version() {
        let mut history = History::default();
        let first = history.advance(snapshot_with(&["a"]), 0, 0).unwrap();
        assert_eq!(first.number(), SnapshotVersion(1));
        assert!(history.advance(snapshot_with(&["a"]), 0, 0).is_none());
        let second = history.advance(snapshot_with(&["a", "b"]), 0, 0).unwrap();
        assert_eq!(second.number(), SnapshotVersion(2));
    }

    #[test]
    fn an_empty_first_result_is_a_version() {
        assert!(History::default().advance(Snapshot::default(), 0, 0).is_some());
    }

    #[test]
    fn what_did_not_change_is_shared() {
        let mut history = History::default();
        let first = history.advance(snapshot_with(&["a"]), 0, 0).unwrap();
        let second = history.advance(snapshot_with(&["a", "b"]), 0, 0).unwrap();
        let id = cluster("a");
        assert!(Arc::ptr_eq(&first.snapshot.clusters[&id], &second.snapshot.clusters[&id]));
        let hosts = |version: &Version| {
            let table = version.snapshot.route_tables.values().next().unwrap();
            Arc::clone(&table.virtual_hosts[0])
        };
        assert!(Arc::ptr_eq(&hosts(&first), &hosts(&second)));
    }

    #[test]
    fn the_oldest_versions_are_forgotten() {
        let mut history = History::default();
        for turn in 0..VERSIONS_MAX + 3 {
            let host = format!("host-{turn}");
            history.advance(snapshot_with(&[&host]), 0, 0).unwrap();
        }
        assert_eq!(history.newest_first().count(), VERSIONS_MAX);
        assert!(history.get(SnapshotVersion(3)).is_none());
        assert!(history.get(SnapshotVersion(4)).is_some());
        assert_eq!(history.current().unwrap().number().0, VERSIONS_MAX as u64 + 3);
    }
}
