//! Clusters behind AUTO_PASSTHROUGH servers: whatever a client may spell in a server name
//! (Istio contract 7).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fairway_shared::id::{ClusterId, ListenerId, ServicePort};
use fairway_shared::matching;
use fairway_shared::snapshot::listener::{ChainAction, Listener};

use super::World;
use super::index::{external_name, is_udp};
use super::names::service_host;

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
    let mut ids = BTreeSet::new();
    if hosts.is_empty() {
        return ids;
    }
    for service in &world.index.services {
        let meta = &service.object.meta;
        let host = service_host(&meta.name, &meta.namespace, &world.index.pod.domain);
        let host = host.to_ascii_lowercase();
        let is_visible = world.index.service(&host).is_some();
        let is_covered = hosts.iter().any(|pattern| matching::covers(pattern, &host));
        if is_visible && is_covered && external_name(service.spec).is_none() {
            let rule = world.rules.effective(&host, &meta.namespace);
            let named = rule.iter().flat_map(|rule| rule.subsets.keys().copied());
            let subsets: Vec<&str> = std::iter::once("").chain(named).collect();
            for port in service.spec.ports.iter().filter(|port| !is_udp(port)) {
                ids.extend(subsets.iter().map(|subset| ClusterId {
                    service: ServicePort { host: host.clone(), port: port.port },
                    subset: (*subset).to_owned(),
                }));
            }
        }
    }
    ids
}
