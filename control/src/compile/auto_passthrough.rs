//! Clusters behind AUTO_PASSTHROUGH servers: whatever a client may spell in a server name
//! (Istio contract 7).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fairway_shared::id::{ClusterId, ListenerId, ServicePort};
use fairway_shared::matching;
use fairway_shared::snapshot::listener::{ChainAction, Listener};

use super::World;
use super::names::service_host;

/// The server names of an AUTO_PASSTHROUGH server's chain: wildcards as they are, since a spelt
/// name ends with its host, and a single host as all names that spell it.
pub(super) fn server_names<'h>(
    world: &World<'_>,
    hosts: impl Iterator<Item = &'h str>,
) -> Vec<String> {
    let (wild, exact): (Vec<&str>, Vec<&str>) = hosts.partition(|host| host.starts_with('*'));
    let mut names: Vec<String> = wild.into_iter().map(str::to_owned).collect();
    let spelt =
        exact.iter().flat_map(|host| clusters_of(world, host).into_iter().map(|id| id.sni()));
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
    let patterns: Vec<&str> = chains
        .filter(|chain| chain.action == ChainAction::AutoPassthrough)
        .flat_map(|chain| chain.server_names.iter().map(String::as_str))
        .collect();
    if patterns.is_empty() {
        return BTreeSet::new();
    }
    let is_open =
        |id: &ClusterId| patterns.iter().any(|pattern| matching::covers(pattern, &id.sni()));
    let hosts = world.index.services.iter().map(|service| {
        let meta = &service.object.meta;
        service_host(&meta.name, &meta.namespace, &world.index.pod.domain).to_ascii_lowercase()
    });
    hosts.flat_map(|host| clusters_of(world, &host)).filter(is_open).collect()
}

/// Every port of a host, whole and by subset; none of one that the gateway does not see.
fn clusters_of(world: &World<'_>, host: &str) -> Vec<ClusterId> {
    let Some(backend) = world.index.backend(host) else { return Vec::new() };
    if backend.external_name().is_some() {
        return Vec::new();
    }
    let rule = world.rules.effective(host, backend.namespace());
    let named = rule.iter().flat_map(|rule| rule.subsets.keys().copied());
    let subsets: Vec<&str> = std::iter::once("").chain(named).collect();
    let ports = backend.ports();
    ports
        .flat_map(|port| {
            let service = ServicePort { host: host.to_owned(), port: port.number };
            let id = move |subset: &&str| ClusterId {
                service: service.clone(),
                subset: (*subset).to_owned(),
            };
            subsets.iter().map(id)
        })
        .collect()
}
