//! The compiled configuration: all that a worker needs, immutable, whole, and free of names that
//! still have to be resolved.
//!
//! Resources are keyed maps of `Arc`s: two snapshots that share most of their content share most
//! of their memory, and [`diff`] compares by key and value.

pub mod cluster;
pub mod diff;
mod encoded;
pub mod listener;
pub mod route;
pub mod settings;
pub mod tls;

use std::collections::BTreeMap;
use std::sync::Arc;

use bincode::{Decode, Encode};

use crate::id::{ClusterId, ListenerId, RouteTableId, SecretName, ServicePort, SnapshotVersion};
use cluster::{Cluster, EndpointSet};
use listener::Listener;
use route::RouteTable;
use settings::GatewaySettings;
use tls::Secret;

/// One whole configuration. Equal inputs compile to equal snapshots, byte for byte.
#[derive(Debug, Clone, Default, PartialEq, Encode, Decode)]
pub struct Snapshot {
    /// Rises by one with each published change.
    pub version: SnapshotVersion,
    /// What is listened on.
    pub listeners: BTreeMap<ListenerId, Arc<Listener>>,
    /// Virtual hosts and routes, by the listeners that use them.
    pub route_tables: BTreeMap<RouteTableId, Arc<RouteTable>>,
    /// Upstream clusters that some route can reach.
    pub clusters: BTreeMap<ClusterId, Arc<Cluster>>,
    /// Endpoints of each service port; clusters of one service share a list.
    pub endpoints: BTreeMap<ServicePort, Arc<EndpointSet>>,
    /// Secrets that some listener or cluster names and that exist.
    pub secrets: BTreeMap<SecretName, Arc<Secret>>,
    /// For the gateway as a whole.
    pub settings: Arc<GatewaySettings>,
}

/// A promise that every snapshot keeps, broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// A listener names a route table that is not there.
    #[error("listener {listener} names route table {table}, which the snapshot does not hold")]
    DanglingRouteTable {
        /// The listener.
        listener: ListenerId,
        /// The table it names.
        table: RouteTableId,
    },
    /// A cluster's service port has no endpoint list, not even an empty one.
    #[error("cluster {cluster} has no endpoint list")]
    DanglingEndpoints {
        /// The cluster.
        cluster: ClusterId,
    },
    /// A regular expression does not compile within its bound.
    #[error("route {route} of {table}: {message}")]
    BadRegex {
        /// The table.
        table: RouteTableId,
        /// The route.
        route: String,
        /// What the regex library says, on one line.
        message: String,
    },
}

impl Snapshot {
    /// States the invariants that readers rely on. Control asserts it after compile; a worker
    /// checks what it receives and nacks the whole snapshot if it fails.
    ///
    /// A route may name a cluster that the snapshot does not hold: such a request is answered
    /// 503 `NC` (Istio contract 2.8).
    ///
    /// # Errors
    /// The first broken promise in key order.
    pub fn check(&self) -> Result<(), SnapshotError> {
        for (id, listener) in &self.listeners {
            for table in listener.route_tables() {
                if !self.route_tables.contains_key(table) {
                    let (listener, table) = (id.clone(), table.clone());
                    return Err(SnapshotError::DanglingRouteTable { listener, table });
                }
            }
        }
        match self.clusters.keys().find(|id| !self.endpoints.contains_key(&id.service)) {
            Some(id) => Err(SnapshotError::DanglingEndpoints { cluster: id.clone() }),
            None => Ok(()),
        }
    }

    /// Equal in all but the version: publishing it again would change nothing.
    pub fn same_content(&self, other: &Self) -> bool {
        self.listeners == other.listeners
            && self.route_tables == other.route_tables
            && self.clusters == other.clusters
            && self.endpoints == other.endpoints
            && self.secrets == other.secrets
            && self.settings == other.settings
    }
}
