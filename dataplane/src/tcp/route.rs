//! Where the opaque bytes of a listener or chain go: weighted destinations bound to this
//! worker's clusters (Istio contract 2.11).

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use fairway_shared::id::ClusterId;
use fairway_shared::snapshot::listener::TcpRoute;

use crate::cluster::handle::ClusterHandle;
use crate::route::weights::Weights;

/// See the module.
#[derive(Debug)]
pub struct BoundTcpRoute {
    /// The VirtualService it came from.
    pub origin: String,
    /// Closed after this long without a byte; `None` = never.
    pub idle_timeout: Option<Duration>,
    /// Closed this long after it was accepted; `None` = never.
    pub max_duration: Option<Duration>,
    destinations: Box<[BoundDestination]>,
    weights: Weights,
    cursor: Cell<u32>,
}

/// One destination.
#[derive(Debug)]
pub struct BoundDestination {
    /// `None` if the snapshot does not hold it: closed with flag `NC`.
    pub cluster: Option<Rc<ClusterHandle>>,
    /// The client's address is the consistent-hash key.
    pub hash_source_ip: bool,
}

impl BoundTcpRoute {
    /// Finds the clusters that the route names.
    pub fn new(spec: &TcpRoute, known: &BTreeMap<ClusterId, Rc<ClusterHandle>>) -> Self {
        let destinations = spec.destinations.iter().map(|to| BoundDestination {
            cluster: known.get(&to.cluster).cloned(),
            hash_source_ip: to.hash_source_ip,
        });
        Self {
            origin: spec.origin.clone(),
            idle_timeout: spec.idle_timeout_ms.map(Duration::from_millis),
            max_duration: spec.max_duration_ms.map(Duration::from_millis),
            destinations: destinations.collect(),
            weights: Weights::new(spec.destinations.iter().map(|to| to.weight)),
            // Each worker begins elsewhere: workers share nothing and must not move in step.
            cursor: Cell::new(fastrand::u32(..)),
        }
    }

    /// The destination whose turn it is.
    pub fn next(&self) -> Option<&BoundDestination> {
        let step = self.cursor.get();
        self.cursor.set(step.wrapping_add(1));
        self.destinations.get(self.weights.choose(step))
    }
}
