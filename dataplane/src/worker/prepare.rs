//! A snapshot made ready to apply: checked, sharing with its predecessor what has not changed,
//! its route tables built. Runs on the helper thread, so that the worker's loop only swaps.

use std::collections::BTreeMap;
use std::sync::Arc;

use fairway_shared::id::RouteTableId;
use fairway_shared::ipc::message::SnapshotSource;
use fairway_shared::snapshot::{Snapshot, SnapshotError};

use crate::route::table::{RouteTable, TableError};

/// See the module.
#[derive(Debug)]
pub struct Prepared {
    /// As received; values equal to the predecessor's are the predecessor's.
    pub snapshot: Snapshot,
    /// Built from its route tables, by the same keys.
    pub tables: BTreeMap<RouteTableId, Arc<RouteTable>>,
    /// Where it came from.
    pub source: SnapshotSource,
}

/// Why a snapshot cannot be applied.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// It breaks a promise.
    #[error(transparent)]
    Broken(#[from] SnapshotError),
    /// A route table cannot be built.
    #[error("route table {table}: {cause}: {}", cause.cause)]
    Table {
        /// Its name.
        table: RouteTableId,
        /// Why.
        cause: Box<TableError>,
    },
}

/// Prepares a snapshot.
///
/// # Errors
/// The first thing that keeps it from being applied; nothing of it is.
pub fn prepare(
    mut snapshot: Snapshot,
    previous: Option<&Prepared>,
    source: SnapshotSource,
) -> Result<Prepared, PrepareError> {
    snapshot.check()?;
    if let Some(previous) = previous {
        let old = &previous.snapshot;
        adopt(&mut snapshot.listeners, &old.listeners);
        adopt(&mut snapshot.route_tables, &old.route_tables);
        adopt(&mut snapshot.clusters, &old.clusters);
        adopt(&mut snapshot.endpoints, &old.endpoints);
    }
    let mut tables = BTreeMap::new();
    for (id, table) in &snapshot.route_tables {
        let unchanged = previous.and_then(|previous| {
            let is_same = Arc::ptr_eq(previous.snapshot.route_tables.get(id)?, table);
            previous.tables.get(id).filter(|_| is_same)
        });
        let built = match unchanged {
            Some(built) => Arc::clone(built),
            None => Arc::new(RouteTable::new(table).map_err(|cause| PrepareError::Table {
                table: id.clone(),
                cause: Box::new(cause),
            })?),
        };
        tables.insert(id.clone(), built);
    }
    Ok(Prepared { snapshot, tables, source })
}

/// Puts the old `Arc` in the place of an equal new one.
fn adopt<K: Ord, V: PartialEq>(new: &mut BTreeMap<K, Arc<V>>, old: &BTreeMap<K, Arc<V>>) {
    for (key, value) in new {
        if let Some(same) = old.get(key).filter(|old| *old == value) {
            *value = Arc::clone(same);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fairway_shared::snapshot::route;

    #[test]
    fn what_has_not_changed_is_shared_and_not_built_again() {
        let id = RouteTableId("http.80".into());
        let snapshot = || Snapshot {
            route_tables: [(id.clone(), Arc::new(route::RouteTable::default()))].into(),
            ..Snapshot::default()
        };
        let first = prepare(snapshot(), None, SnapshotSource::Control).unwrap();
        let second = prepare(snapshot(), Some(&first), SnapshotSource::Control).unwrap();
        assert!(Arc::ptr_eq(&first.tables[&id], &second.tables[&id]));
    }
}
