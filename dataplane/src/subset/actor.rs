//! `SubsetActor`: which of a service's endpoints one cluster may use, published as a
//! [`SubsetView`].

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler, Message};
use fairway_shared::snapshot::cluster::{Cluster, Endpoint, EndpointSet};

use super::balance::SubsetView;
use super::host::{Host, Place};
use super::locality;
use super::view::{self, Candidate, Rules};
use crate::clock;
use crate::cluster::health::HostHealth;
use crate::cluster::sharing::Sharing;
use crate::names::actor::Answered;
use crate::worker::published::{Published, View};

/// How often weights are looked at while endpoints warm up.
const WARMUP_STEP: Duration = Duration::from_secs(1);

/// Owns the endpoint list of one cluster. Hosts that stay keep their connections and counts.
#[derive(Debug)]
pub struct SubsetActor {
    sharing: Sharing,
    spec: ApplyEndpoints,
    /// Of the names among the endpoints, and perhaps of others.
    answers: HashMap<Arc<str>, Arc<[IpAddr]>>,
    hosts: HashMap<SocketAddr, Rc<Host>>,
    candidates: Vec<Candidate>,
    is_warming: bool,
    published: Published<SubsetView>,
}

/// The cluster and its service's endpoints as the newest snapshot has them. One per snapshot, so
/// `do_send` is bounded.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct ApplyEndpoints {
    /// For its labels and balancer.
    pub cluster: Arc<Cluster>,
    /// Of the whole service port.
    pub endpoints: Arc<EndpointSet>,
}

/// An endpoint was ejected or is back. One per change, and changes are rare.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct HealthChanged;

impl SubsetActor {
    /// The view leaves here, at birth: it is not `Send`, so no message can carry it later.
    pub fn new(first: ApplyEndpoints, sharing: Sharing) -> (Self, View<SubsetView>) {
        let published = Published::new(SubsetView::empty(fastrand::u32(..)));
        let view = published.view();
        let (answers, hosts, candidates) = Default::default();
        let is_warming = false;
        let mut this =
            Self { sharing, spec: first, answers, hosts, candidates, is_warming, published };
        this.select();
        (this, view)
    }

    fn select_anew(&mut self, ctx: &mut Context<Self>) {
        let was_warming = self.is_warming;
        self.select();
        if !was_warming {
            self.publish_while_warming(ctx);
        }
    }

    /// Selects by label, keeps hosts that are known, retires those that are gone.
    fn select(&mut self) {
        let spec = self.spec.clone();
        let endpoints = resolved(&spec.endpoints, &self.answers);
        let selected = selected(&spec.cluster, &endpoints);
        let ranks = locality::ranks(&spec.cluster.locality, &selected);
        let mut known = std::mem::take(&mut self.hosts);
        self.candidates.clear();
        for (endpoint, rank) in selected.into_iter().zip(ranks) {
            let address = endpoint.address;
            let host = known.remove(&address).unwrap_or_else(|| Rc::new(Host::new(address)));
            self.share_health(&host);
            host.stand(Place {
                weight: endpoint.weight,
                locality: endpoint.locality.clone(),
                priority: rank.priority(),
            });
            self.hosts.insert(address, Rc::clone(&host));
            self.candidates.push(Candidate { host, weight: endpoint.weight, rank });
        }
        known.values().for_each(|gone| gone.retire());
        self.publish();
    }

    /// Health is known to other workers only where endpoints are ejected.
    fn share_health(&self, host: &Host) {
        let is_wanted = self.spec.cluster.outlier.is_some();
        let mut health = host.health.borrow_mut();
        if is_wanted && health.is_none() {
            *health = self.sharing.host_cell(host.address).map(HostHealth::new);
        } else if !is_wanted {
            *health = None;
        }
    }

    fn publish(&mut self) {
        for one in &self.candidates {
            let health = one.host.health.borrow();
            one.host.set_ejected(health.as_ref().is_some_and(HostHealth::is_ejected));
        }
        let cluster = &self.spec.cluster;
        let rules = Rules {
            balancer: cluster.balancer,
            panic_threshold_pct: cluster.panic_threshold_pct,
            warmup: cluster.warmup,
        };
        let now = clock::now();
        let turn = self.published.view().load().turn();
        self.is_warming = rules.is_warming(&self.candidates, now);
        self.published.publish(view::assemble(&self.candidates, &rules, turn, now));
    }

    fn publish_while_warming(&mut self, ctx: &mut Context<Self>) {
        if self.is_warming {
            ctx.run_later(WARMUP_STEP, |this, ctx| {
                this.publish();
                this.publish_while_warming(ctx);
            });
        }
    }
}

/// The endpoints that the cluster's labels select.
fn selected<'e>(cluster: &Cluster, endpoints: &'e [Endpoint]) -> Vec<&'e Endpoint> {
    let labels = &cluster.labels;
    let is_selected = |endpoint: &&Endpoint| {
        labels.iter().all(|(name, value)| endpoint.labels.get(name) == Some(value))
    };
    endpoints.iter().filter(is_selected).collect()
}

/// All endpoints: those that have an address, and each address of those that have a name.
fn resolved<'e>(
    set: &'e EndpointSet,
    answers: &HashMap<Arc<str>, Arc<[IpAddr]>>,
) -> Cow<'e, [Endpoint]> {
    if set.names.is_empty() {
        return Cow::Borrowed(&set.endpoints);
    }
    let addresses_max = if set.is_latest_answer_only { 1 } else { usize::MAX };
    let named = set.names.iter().flat_map(|named| {
        let addresses = answers.get(named.host.as_str()).map(|addresses| &addresses[..]);
        let used = addresses.unwrap_or_default().iter().take(addresses_max);
        used.map(|ip| Endpoint {
            address: SocketAddr::new(*ip, named.port),
            weight: named.weight,
            labels: named.labels.clone(),
            locality: named.locality.clone(),
        })
    });
    // Two names may lead to one address.
    let mut seen = HashSet::new();
    let all = set.endpoints.iter().cloned().chain(named);
    all.filter(|endpoint| seen.insert(endpoint.address)).collect()
}

impl Actor for SubsetActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.publish_while_warming(ctx);
    }
}

impl Handler<ApplyEndpoints> for SubsetActor {
    type Result = ();

    fn handle(&mut self, next: ApplyEndpoints, ctx: &mut Self::Context) {
        self.spec = next;
        let names = &self.spec.endpoints.names;
        self.answers.retain(|name, _| names.iter().any(|named| *named.host == **name));
        self.select_anew(ctx);
    }
}

impl Handler<Answered> for SubsetActor {
    type Result = ();

    fn handle(&mut self, Answered { name, addresses }: Answered, ctx: &mut Self::Context) {
        self.answers.insert(name, addresses);
        self.select_anew(ctx);
    }
}

impl Handler<HealthChanged> for SubsetActor {
    type Result = ();

    fn handle(&mut self, _: HealthChanged, _: &mut Self::Context) {
        self.publish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fairway_shared::snapshot::cluster::Balancer;

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
        let all = [(1, "v1"), (2, "v2"), (3, "v1")];
        let (mut actor, view) =
            SubsetActor::new(spec(&[("version", "v1")], &all), Sharing::private("a"));
        let ports = |view: &SubsetView| -> Vec<u16> {
            view.hosts().iter().map(|host| host.address.port()).collect()
        };
        let first = view.load();
        assert_eq!(ports(&first), [1, 3]);
        actor.spec = spec(&[("version", "v1")], &all[..2]);
        actor.select();
        let second = view.load();
        assert_eq!(ports(&second), [1]);
        assert!(Rc::ptr_eq(&first.hosts()[0], &second.hosts()[0]));
        assert!(first.hosts()[1].is_retired() && !first.hosts()[0].is_retired());
        actor.spec = spec(&[], &all);
        actor.select();
        assert_eq!(ports(&view.load()), [1, 2, 3]);
    }
}
