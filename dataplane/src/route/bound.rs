//! A route table bound to this worker's clusters: numbers become handles. Made on the worker's
//! own thread in one step, so that one request sees one version of the routes.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use fairway_shared::id::ClusterId;

use super::table::{RouteIndex, RouteTable};
use crate::cluster::handle::ClusterHandle;

/// See the module.
#[derive(Debug, Default)]
pub struct BoundTable {
    /// The routes.
    pub routes: Arc<RouteTable>,
    clusters: Box<[Option<Rc<ClusterHandle>>]>,
    cursors: Box<[Cell<u32>]>,
}

impl BoundTable {
    /// Finds the clusters that the routes name. Those that are not there answer 503 `NC`.
    pub fn new(routes: Arc<RouteTable>, known: &BTreeMap<ClusterId, Rc<ClusterHandle>>) -> Self {
        let clusters = routes.clusters().iter().map(|id| known.get(id).cloned()).collect();
        // Each worker begins elsewhere: workers share nothing and must not move in step.
        let cursors = (0..routes.cursors()).map(|_| Cell::new(fastrand::u32(..))).collect();
        Self { routes, clusters, cursors }
    }

    /// The cluster of a number in the routes.
    pub fn cluster(&self, number: u32) -> Option<&Rc<ClusterHandle>> {
        self.clusters.get(number as usize)?.as_ref()
    }

    /// The next step of a route's cursor.
    pub fn step(&self, index: RouteIndex) -> u32 {
        let Some(cell) = self.cursors.get(self.routes.cursor(index) as usize) else { return 0 };
        let step = cell.get();
        cell.set(step.wrapping_add(1));
        step
    }
}
