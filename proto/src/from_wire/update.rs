//! Updates: resources onto a base. Whether the parts fit together is for
//! [`Snapshot::check`](fairway_shared::snapshot::Snapshot::check), which the worker calls for
//! every carrier.

use std::sync::Arc;

use fairway_shared::id::{ListenerId, RouteTableId, SecretName, SnapshotVersion, WorkerSlot};
use fairway_shared::ipc::message::NodeIdentity;
use fairway_shared::snapshot::Snapshot;

use super::check::{At, FieldError, named, remove, required, upsert, within, within_u16};
use super::cluster::{cluster, cluster_id, endpoint_set, service_port};
use super::listener::listener;
use super::route::route_table;
use super::settings::settings;
use super::tls::secret;
use crate::wire;

/// Why an update does not lead to a snapshot. Its text is the reason of the nack.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UpdateError {
    /// A field is bad.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// The update is relative to another snapshot than the one held.
    #[error("update is relative to version {base}, but version {held} is held")]
    OtherBase {
        /// What the update is relative to.
        base: SnapshotVersion,
        /// What the receiver holds; 0 = nothing.
        held: SnapshotVersion,
    },
}

/// The snapshot that an update leads to. `base` is the last one acked on the stream; it is not
/// looked at if the update is whole.
///
/// # Errors
/// [`UpdateError`]; the update is to be nacked with its text.
pub fn update(
    from: wire::SnapshotUpdate,
    base: Option<&Snapshot>,
) -> Result<Snapshot, UpdateError> {
    let wanted = SnapshotVersion(from.base_version);
    let mut to = match base {
        _ if wanted.0 == 0 => Snapshot::default(),
        Some(base) if base.version == wanted => base.clone(),
        other => {
            let held = other.map(|base| base.version).unwrap_or_default();
            return Err(UpdateError::OtherBase { base: wanted, held });
        }
    };
    to.version = SnapshotVersion(within(from.version, 1, u64::MAX).at("version")?);
    let (listener_id, table_id) = (|id| Ok(ListenerId(id)), |id| Ok(RouteTableId(id)));
    remove("removed_listeners", from.removed_listeners, listener_id, &mut to.listeners)?;
    remove("removed_route_tables", from.removed_route_tables, table_id, &mut to.route_tables)?;
    remove("removed_clusters", from.removed_clusters, cluster_id, &mut to.clusters)?;
    let gone = from.removed_endpoint_sets;
    remove("removed_endpoint_sets", gone, service_port, &mut to.endpoints)?;
    let secret_name = |name| Ok(SecretName(name));
    remove("removed_secrets", from.removed_secrets, secret_name, &mut to.secrets)?;
    upsert("listeners", from.listeners, listener, &mut to.listeners)?;
    upsert("route_tables", from.route_tables, route_table, &mut to.route_tables)?;
    upsert("clusters", from.clusters, cluster, &mut to.clusters)?;
    upsert("endpoint_sets", from.endpoint_sets, endpoint_set, &mut to.endpoints)?;
    upsert("secrets", from.secrets, secret, &mut to.secrets)?;
    if let Some(from) = from.settings {
        to.settings = Arc::new(settings(from).at("settings")?);
    }
    Ok(to)
}

/// The answer to `GetSnapshot`: its secrets have no private keys.
///
/// # Errors
/// The first bad field.
pub fn snapshot(from: wire::Snapshot) -> Result<Snapshot, FieldError> {
    let mut to = Snapshot { version: SnapshotVersion(from.version), ..Snapshot::default() };
    upsert("listeners", from.listeners, listener, &mut to.listeners)?;
    upsert("route_tables", from.route_tables, route_table, &mut to.route_tables)?;
    upsert("clusters", from.clusters, cluster, &mut to.clusters)?;
    upsert("endpoint_sets", from.endpoint_sets, endpoint_set, &mut to.endpoints)?;
    upsert("secrets", from.secrets, secret, &mut to.secrets)?;
    if let Some(from) = from.settings {
        to.settings = Arc::new(settings(from).at("settings")?);
    }
    Ok(to)
}

/// The first message of a stream: whose worker, which one, and what it serves.
///
/// # Errors
/// The first bad field.
pub fn hello(from: wire::Hello) -> Result<(NodeIdentity, WorkerSlot, SnapshotVersion), FieldError> {
    let node = required(from.node).and_then(node).at("node")?;
    let slot = WorkerSlot(within_u16(from.slot, 0, u16::MAX).at("slot")?);
    Ok((node, slot, SnapshotVersion(from.serving)))
}

fn node(from: wire::Node) -> Result<NodeIdentity, FieldError> {
    Ok(NodeIdentity {
        id: named(from.id).at("id")?,
        namespace: from.namespace,
        labels: from.labels,
        locality: from.locality,
        build: from.build,
    })
}
