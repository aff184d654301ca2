//! A snapshot made ready to apply: checked, sharing with its predecessor what has not changed,
//! its route tables and TLS built. Runs on the helper thread, so that the worker's loop only swaps.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use fairway_shared::id::{ClusterId, ListenerId, RouteTableId};
use fairway_shared::ipc::message::{SnapshotSource, WorkerSettings};
use fairway_shared::snapshot::{Snapshot, SnapshotError};

use crate::route::table::{RouteTable, TableError};
use crate::tls::material::Materials;
use crate::tls::originating::Originating;
use crate::tls::table::TlsTable;
use crate::tls::tickets::TicketSecret;

/// See the module.
#[derive(Debug)]
pub struct Prepared {
    /// As received; values equal to the predecessor's are the predecessor's.
    pub snapshot: Snapshot,
    /// Built from its route tables, by the same keys.
    pub tables: BTreeMap<RouteTableId, Arc<RouteTable>>,
    /// Handshakes of its TLS listeners, by the same keys.
    pub tls: BTreeMap<ListenerId, Arc<TlsTable>>,
    /// Handshakes with the endpoints of its clusters, where they speak TLS.
    pub originating: BTreeMap<ClusterId, Arc<Originating>>,
    /// Where it came from.
    pub source: SnapshotSource,
}

/// What snapshots are prepared with besides themselves.
#[derive(Debug)]
pub struct Means {
    /// What session tickets derive from.
    pub tickets: TicketSecret,
    /// Directory of the gateway's own identity.
    pub identity_dir: PathBuf,
}

impl Means {
    /// As the supervisor says.
    pub fn new(settings: &WorkerSettings) -> Self {
        let tickets = TicketSecret::new(&settings.ticket_secret.0);
        Self { tickets, identity_dir: PathBuf::from(&settings.identity_dir) }
    }
}

impl Prepared {
    /// What its TLS is made of.
    pub fn materials<'m>(&'m self, means: &'m Means) -> Materials<'m> {
        materials(&self.snapshot, means)
    }
}

fn materials<'m>(snapshot: &'m Snapshot, means: &'m Means) -> Materials<'m> {
    Materials {
        secrets: &snapshot.secrets,
        mesh: &means.identity_dir,
        fails_without_secret: snapshot.settings.fails_without_secret,
    }
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
    means: &Means,
) -> Result<Prepared, PrepareError> {
    snapshot.check()?;
    if let Some(previous) = previous {
        let old = &previous.snapshot;
        adopt(&mut snapshot.listeners, &old.listeners);
        adopt(&mut snapshot.route_tables, &old.route_tables);
        adopt(&mut snapshot.clusters, &old.clusters);
        adopt(&mut snapshot.endpoints, &old.endpoints);
        adopt(&mut snapshot.secrets, &old.secrets);
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
    let tls = tls_tables(&snapshot, previous, means);
    // Last, since what is kept is renewed in place: nothing fails from here on.
    let originating = originating(&snapshot, previous, means);
    Ok(Prepared { snapshot, tables, tls, originating, source })
}

/// The chains of every TLS listener. A chain without a usable certificate is no reason to refuse
/// the snapshot.
fn tls_tables(
    snapshot: &Snapshot,
    previous: Option<&Prepared>,
    means: &Means,
) -> BTreeMap<ListenerId, Arc<TlsTable>> {
    let from = materials(snapshot, means);
    let tls = snapshot.listeners.iter().filter(|(_, listener)| !listener.chains().is_empty());
    tls.map(|(id, listener)| {
        let old = previous.and_then(|previous| previous.tls.get(id));
        (id.clone(), TlsTable::new(listener, from, &means.tickets, old))
    })
    .collect()
}

fn originating(
    snapshot: &Snapshot,
    previous: Option<&Prepared>,
    means: &Means,
) -> BTreeMap<ClusterId, Arc<Originating>> {
    let from = materials(snapshot, means);
    let secured = snapshot.clusters.iter().filter_map(|(id, spec)| Some((id, spec.tls.as_ref()?)));
    let made = secured.map(|(id, tls)| {
        let old = previous.and_then(|previous| previous.originating.get(id));
        (id.clone(), Originating::new(&id.to_string(), tls, from, old))
    });
    made.collect()
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

    fn means() -> Means {
        Means { tickets: TicketSecret::new(&[7; 32]), identity_dir: PathBuf::from("/nonexistent") }
    }

    #[test]
    fn what_has_not_changed_is_shared_and_not_built_again() {
        let id = RouteTableId("http.80".into());
        let snapshot = || Snapshot {
            route_tables: [(id.clone(), Arc::new(route::RouteTable::default()))].into(),
            ..Snapshot::default()
        };
        let means = means();
        let first = prepare(snapshot(), None, SnapshotSource::Control, &means).unwrap();
        let second = prepare(snapshot(), Some(&first), SnapshotSource::Control, &means).unwrap();
        assert!(Arc::ptr_eq(&first.tables[&id], &second.tables[&id]));
    }
}
