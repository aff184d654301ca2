//! Route tables and listeners of the applied snapshot, bound to this worker's clusters and
//! published. Tables are replaced in one step between two requests; connections see them through
//! their views, whatever listener or TLS chain they came by.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use fairway_shared::id::{ClusterId, ListenerId, RouteTableId};

use super::apply::Plan;
use super::prepare::Prepared;
use super::published::Published;
use crate::cluster::handle::ClusterHandle;
use crate::listener::bound::{BoundListener, Surroundings};
use crate::route::bound::BoundTable;

/// See the module.
#[derive(Debug, Default)]
pub struct Bindings {
    tables: BTreeMap<RouteTableId, Published<BoundTable>>,
    listeners: BTreeMap<ListenerId, Rc<BoundListener>>,
}

impl Bindings {
    /// Binds what the plan says, tables first.
    pub fn bind(
        &mut self,
        plan: &Plan,
        prepared: &Prepared,
        clusters: &BTreeMap<ClusterId, Rc<ClusterHandle>>,
    ) {
        for id in &plan.bind {
            let Some(routes) = prepared.tables.get(id) else { continue };
            let bound = BoundTable::new(Arc::clone(routes), clusters);
            match self.tables.get(id) {
                Some(published) => published.publish(bound),
                None => {
                    self.tables.insert(id.clone(), Published::new(bound));
                }
            }
        }
        for (id, spec) in &prepared.snapshot.listeners {
            let tls = prepared.tls.get(id);
            let is_bound = self.listeners.get(id).is_some_and(|bound| bound.is_with(tls));
            if !is_bound || plan.bind_listeners.contains(id) {
                let around = Surroundings { tables: &self.tables, tls, clusters };
                self.listeners.insert(id.clone(), Rc::new(BoundListener::new(spec, around)));
            }
        }
    }

    /// A listener as of the last binding.
    pub fn listener(&self, id: &ListenerId) -> Option<&Rc<BoundListener>> {
        self.listeners.get(id)
    }

    /// Forgets what the snapshot does not hold, and returns the tables among it: connections may
    /// still use them.
    pub fn retain(&mut self, prepared: &Prepared) -> Vec<Published<BoundTable>> {
        self.listeners.retain(|id, _| prepared.snapshot.listeners.contains_key(id));
        let is_gone = |id: &&RouteTableId| !prepared.tables.contains_key(*id);
        let gone: Vec<_> = self.tables.keys().filter(is_gone).cloned().collect();
        gone.iter().filter_map(|id| self.tables.remove(id)).collect()
    }
}
