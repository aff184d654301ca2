//! Figures of one cluster, by the workload behind each endpoint. A request finds its own through
//! the host it was sent to.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::rc::Rc;

use fairway_shared::id::ClusterId;
use fairway_shared::snapshot::cluster::EndpointSet;

use super::destination::Destination;
use super::labels::Shapes;
use super::report::Reporter;
use super::requests::DestinationFigures;

/// Workloads told apart per cluster; those beyond are counted as unknown.
const WORKLOADS_MAX: usize = 256;

/// See the module.
#[derive(Debug)]
pub struct ClusterFigures {
    cluster: Rc<ClusterId>,
    /// Of requests that reached no endpoint, or one that nothing is known of.
    unknown: Rc<DestinationFigures>,
    known: RefCell<Vec<Rc<DestinationFigures>>>,
    by_address: RefCell<HashMap<SocketAddr, Rc<DestinationFigures>>>,
    /// Rises when `by_address` changes.
    generation: Cell<u32>,
}

/// What a host remembers of its cluster's figures, so that nothing is looked up per request.
#[derive(Debug, Default)]
pub struct HostFigures(RefCell<Option<(u32, Rc<DestinationFigures>)>>);

impl ClusterFigures {
    /// Of a cluster with these endpoints.
    pub fn new(cluster: Rc<ClusterId>, endpoints: &EndpointSet) -> Self {
        let unknown = Rc::new(DestinationFigures::new(Destination::of(&cluster, None)));
        let figures = Self {
            cluster,
            unknown,
            known: RefCell::default(),
            by_address: RefCell::default(),
            generation: Cell::default(),
        };
        figures.apply(endpoints);
        figures
    }

    /// The cluster has these endpoints now. What was counted stays.
    pub fn apply(&self, endpoints: &EndpointSet) {
        let mut known = self.known.borrow_mut();
        // Endpoints of one workload stand side by side in labels, not in addresses.
        let mut seen: HashMap<&BTreeMap<String, String>, Rc<DestinationFigures>> = HashMap::new();
        let mut by_address = HashMap::with_capacity(endpoints.endpoints.len());
        for endpoint in &endpoints.endpoints {
            let figures = seen.entry(&endpoint.labels).or_insert_with(|| {
                let destination = Destination::of(&self.cluster, Some(&endpoint.labels));
                self.workload(destination, &mut known)
            });
            by_address.insert(endpoint.address, Rc::clone(figures));
        }
        self.by_address.replace(by_address);
        self.generation.set(self.generation.get().wrapping_add(1));
    }

    fn workload(
        &self,
        destination: Destination,
        known: &mut Vec<Rc<DestinationFigures>>,
    ) -> Rc<DestinationFigures> {
        if let Some(same) = known.iter().find(|one| one.destination == destination) {
            return Rc::clone(same);
        }
        if known.len() >= WORKLOADS_MAX {
            return Rc::clone(&self.unknown);
        }
        let new = Rc::new(DestinationFigures::new(destination));
        known.push(Rc::clone(&new));
        new
    }

    /// Of requests that reach no endpoint.
    pub fn unknown(&self) -> &Rc<DestinationFigures> {
        &self.unknown
    }

    /// Of the workload behind an address; `remembered` is that host's.
    pub fn at(&self, remembered: &HostFigures, address: SocketAddr) -> Rc<DestinationFigures> {
        let mut remembered = remembered.0.borrow_mut();
        match &*remembered {
            Some((generation, figures)) if *generation == self.generation.get() => {
                Rc::clone(figures)
            }
            _ => {
                let found = self.by_address.borrow().get(&address).map(Rc::clone);
                let found = found.unwrap_or_else(|| Rc::clone(&self.unknown));
                *remembered = Some((self.generation.get(), Rc::clone(&found)));
                found
            }
        }
    }

    /// Tells what changed; how many requests are not told apart.
    pub fn report(&self, shapes: &Shapes, to: &mut Reporter) -> u64 {
        let known = self.known.borrow();
        known
            .iter()
            .chain([&self.unknown])
            .map(|one| {
                one.report(shapes, to);
                one.folded()
            })
            .sum()
    }

    /// Tells that the cluster is gone.
    pub fn retire(&self, to: &mut Reporter) {
        self.known.borrow().iter().chain([&self.unknown]).for_each(|one| one.retire(to));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fairway_shared::id::ServicePort;
    use fairway_shared::snapshot::cluster::Endpoint;

    fn endpoints(versions: &[(u16, &str)]) -> EndpointSet {
        let endpoint = |(port, version): &(u16, &str)| Endpoint {
            address: ([127, 0, 0, 1], *port).into(),
            weight: 1,
            labels: [("version".to_owned(), (*version).to_owned())].into(),
            locality: String::new(),
        };
        EndpointSet { endpoints: versions.iter().map(endpoint).collect(), ..EndpointSet::default() }
    }

    #[test]
    fn endpoints_of_one_workload_share_figures_and_follow_their_labels() {
        let service = ServicePort { host: "a.b.svc.cluster.local".into(), port: 80 };
        let cluster = Rc::new(ClusterId { service, subset: String::new() });
        let figures = ClusterFigures::new(cluster, &endpoints(&[(1, "v1"), (2, "v1"), (3, "v2")]));
        let hosts = [(); 3].map(|()| HostFigures::default());
        let at =
            |port: u16| figures.at(&hosts[usize::from(port - 1)], ([127, 0, 0, 1], port).into());
        assert!(Rc::ptr_eq(&at(1), &at(2)) && !Rc::ptr_eq(&at(1), &at(3)));
        let old = at(3);
        figures.apply(&endpoints(&[(1, "v1"), (3, "v1")]));
        assert!(Rc::ptr_eq(&at(1), &at(3)) && !Rc::ptr_eq(&old, &at(3)));
        assert!(Rc::ptr_eq(&at(2), figures.unknown()));
    }
}
