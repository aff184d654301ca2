//! Clusters behind AUTO_PASSTHROUGH servers: whatever a client may spell in a server name
//! (Istio contract 7).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fairway_shared::id::{ClusterId, ListenerId, ServicePort};
use fairway_shared::matching;
use fairway_shared::snapshot::listener::{ChainAction, Listener};

use super::World;
use super::index::{Named, external_name, is_udp};
use super::names::service_host;
use crate::object::service::Service;

/// The server names of an AUTO_PASSTHROUGH server's chain: wildcards as they are, since a spelt
/// name ends with its host, and a single host as all names that spell it.
pub(super) fn server_names<'h>(
    world: &World<'_>,
    hosts: impl Iterator<Item = &'h str>,
) -> Vec<String> {
    let (wild, exact): (Vec<&str>, Vec<&str>) = hosts.partition(|host| host.starts_with('*'));
    let mut names: Vec<String> = wild.into_iter().map(str::to_owned).collect();
    let spelt = exact
        .iter()
        .filter_map(|host| world.index.service(host))
        .flat_map(|service| clusters_of(world, service).into_iter().map(|id| id.sni()));
    names.extend(spelt);
    names
}

/// Every port of every Service that some AUTO_PASSTHROUGH server's hosts cover, whole and by
/// subset; none unless there is such a server.
pub(super) fn reachable(
    world: &World<'_>,
    listeners: &BTreeMap<ListenerId, Arc<Listener>>,
) -> BTreeSet<ClusterId> {
    let chains = listeners.values().flat_map(|listener| listener.chains());
    let hosts: Vec<&str> = chains
        .filter(|chain| chain.action == ChainAction::AutoPassthrough)
        .flat_map(|chain| chain.server_names.iter().map(String::as_str))
        .collect();
    if hosts.is_empty() {
        return BTreeSet::new();
    }
    let is_open = |id: &ClusterId| hosts.iter().any(|pattern| matching::covers(pattern, &id.sni()));
    let services = world.index.services.iter();
    services.flat_map(|service| clusters_of(world, *service)).filter(is_open).collect()
}

/// Every port of a Service, whole and by subset; none of one that the gateway does not see.
fn clusters_of(world: &World<'_>, service: Named<'_, Service>) -> Vec<ClusterId> {
    let meta = &service.object.meta;
    let host = service_host(&meta.name, &meta.namespace, &world.index.pod.domain);
    let host = host.to_ascii_lowercase();
    if world.index.service(&host).is_none() || external_name(service.spec).is_some() {
        return Vec::new();
    }
    let rule = world.rules.effective(&host, &meta.namespace);
    let named = rule.iter().flat_map(|rule| rule.subsets.keys().copied());
    let subsets: Vec<&str> = std::iter::once("").chain(named).collect();
    let ports = service.spec.ports.iter().filter(|port| !is_udp(port));
    ports
        .flat_map(|port| {
            let service = ServicePort { host: host.clone(), port: port.port };
            let id = move |subset: &&str| ClusterId {
                service: service.clone(),
                subset: (*subset).to_owned(),
            };
            subsets.iter().map(id)
        })
        .collect()
}
