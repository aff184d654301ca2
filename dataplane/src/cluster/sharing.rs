//! Where one cluster's cells are in the pod's [`region`](crate::region).

use std::net::SocketAddr;
use std::rc::Rc;

use crate::region::{Cell, Region, Table};
use crate::subset::hash;

/// Names the cluster to all workers alike.
#[derive(Debug, Clone)]
pub struct Sharing {
    region: Option<Rc<Region>>,
    key: u64,
}

impl Sharing {
    /// Of the cluster with that name. Without a region the worker counts for itself.
    pub fn new(region: Option<Rc<Region>>, cluster: &str) -> Self {
        Self { region, key: hash::of_bytes(cluster.as_bytes()) }
    }

    /// Seen by nobody else.
    #[cfg(test)]
    pub fn private(cluster: &str) -> Self {
        Self::new(None, cluster)
    }

    /// The cluster's cell. Where the pod's has no room, one that only this worker sees: better a
    /// limit per worker than none.
    pub fn cluster_cell(&self) -> Option<Cell> {
        self.claim(Table::Clusters, self.key)
    }

    /// The cell of one of its endpoints.
    pub fn host_cell(&self, address: SocketAddr) -> Option<Cell> {
        self.claim(Table::Hosts, hash::of_address(address, self.key))
    }

    fn claim(&self, table: Table, key: u64) -> Option<Cell> {
        let shared = self.region.as_ref().and_then(|region| region.claim(table, key));
        shared.or_else(|| {
            if self.region.is_some() {
                tracing::warn!("no room in the memory shared by workers: {table:?} counted apart");
            }
            let private = Region::private().ok()?;
            private.claim(table, key)
        })
    }
}
