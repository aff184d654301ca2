//! `SubsetActor`: which of a service's endpoints one cluster may use, published as a
//! [`SubsetView`].

use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use actix::{Actor, Context, Handler, Message};
use fairway_shared::snapshot::cluster::{Cluster, EndpointSet};

use super::balance::{Members, SubsetView};
use super::host::Host;
use crate::worker::published::{Published, View};

/// Owns the endpoint list of one cluster. Hosts that stay keep their connections and counts.
#[derive(Debug)]
pub struct SubsetActor {
    hosts: HashMap<SocketAddr, Rc<Host>>,
    published: Published<SubsetView>,
}

/// The cluster and its service's endpoints as the newest snapshot has them. One per snapshot, so
/// `do_send` is bounded.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ApplyEndpoints {
    /// For its labels and balancer.
    pub cluster: Arc<Cluster>,
    /// Of the whole service port.
    pub endpoints: Arc<EndpointSet>,
}

impl SubsetActor {
    /// The view leaves here, at birth: it is not `Send`, so no message can carry it later.
    pub fn new(first: &ApplyEndpoints) -> (Self, View<SubsetView>) {
        let mut hosts = HashMap::new();
        let view = view_of(first, &mut hosts, fastrand::u32(..));
        let published = Published::new(view);
        let view = published.view();
        (Self { hosts, published }, view)
    }
}

impl Actor for SubsetActor {
    type Context = Context<Self>;
}

impl Handler<ApplyEndpoints> for SubsetActor {
    type Result = ();

    fn handle(&mut self, next: ApplyEndpoints, _: &mut Self::Context) {
        let turn = self.published.view().load().turn();
        let view = view_of(&next, &mut self.hosts, turn);
        self.published.publish(view);
    }
}

/// Selects by label, keeps hosts that are known, retires those that are gone.
fn view_of(
    spec: &ApplyEndpoints,
    known: &mut HashMap<SocketAddr, Rc<Host>>,
    turn: u32,
) -> SubsetView {
    let labels = &spec.cluster.labels;
    let selected = spec.endpoints.endpoints.iter().filter(|endpoint| {
        labels.iter().all(|(name, value)| endpoint.labels.get(name) == Some(value))
    });
    let mut hosts = Vec::new();
    let mut kept = HashMap::new();
    for endpoint in selected {
        let host =
            known.remove(&endpoint.address).unwrap_or_else(|| Rc::new(Host::new(endpoint.address)));
        kept.insert(endpoint.address, Rc::clone(&host));
        hosts.push((host, endpoint.weight));
    }
    known.values().for_each(|gone| gone.retire());
    *known = kept;
    let all = hosts.iter().map(|(host, _)| Rc::clone(host)).collect();
    SubsetView::new(all, vec![Members { hosts, share: 1 }], spec.cluster.balancer, turn)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fairway_shared::snapshot::cluster::{Balancer, Endpoint};

    fn spec(labels: &[(&str, &str)], endpoints: &[(u16, &str)]) -> ApplyEndpoints {
        let text = |(name, value): &(&str, &str)| (name.to_string(), value.to_string());
        let endpoint = |(port, version): &(u16, &str)| Endpoint {
            address: ([127, 0, 0, 1], *port).into(),
            weight: 1,
            labels: [("version".to_string(), version.to_string())].into(),
            locality: String::new(),
        };
        ApplyEndpoints {
            cluster: Arc::new(Cluster {
                labels: labels.iter().map(text).collect(),
                balancer: Balancer::Random,
                ..Cluster::default()
            }),
            endpoints: Arc::new(EndpointSet {
                endpoints: endpoints.iter().map(endpoint).collect(),
                ..EndpointSet::default()
            }),
        }
    }

    #[test]
    fn labels_select_and_hosts_that_stay_are_the_same() {
        let mut known = HashMap::new();
        let all = [(1, "v1"), (2, "v2"), (3, "v1")];
        let first = view_of(&spec(&[("version", "v1")], &all), &mut known, 0);
        let ports = |view: &SubsetView| -> Vec<u16> {
            view.hosts().iter().map(|host| host.address.port()).collect()
        };
        assert_eq!(ports(&first), [1, 3]);
        let second = view_of(&spec(&[("version", "v1")], &all[..2]), &mut known, 0);
        assert_eq!(ports(&second), [1]);
        assert!(Rc::ptr_eq(&first.hosts()[0], &second.hosts()[0]));
        assert!(first.hosts()[1].is_retired() && !first.hosts()[0].is_retired());
        assert_eq!(ports(&view_of(&spec(&[], &all), &mut known, 0)), [1, 2, 3]);
    }
}
