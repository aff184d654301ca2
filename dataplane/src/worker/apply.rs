//! What a new snapshot changes in a worker, in the order in which it is carried out: clusters,
//! then routes, then listeners, then removals. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use fairway_shared::id::{ClusterId, ListenerId, RouteTableId};
use fairway_shared::ipc::message::WorkerSettings;
use fairway_shared::snapshot::Snapshot;
use fairway_shared::snapshot::diff::diff;
use fairway_shared::snapshot::listener::{ChainAction, Listener};

/// See the module.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// New clusters.
    pub start: Vec<ClusterId>,
    /// Clusters whose policy or endpoints differ.
    pub update: Vec<ClusterId>,
    /// Tables that must be bound anew: they, or the set of clusters, changed.
    pub bind: BTreeSet<RouteTableId>,
    /// Listeners that must be bound anew: they changed, or the set of clusters did and they
    /// forward opaque bytes.
    pub bind_listeners: BTreeSet<ListenerId>,
    /// Addresses to accept from, and which listener has them.
    pub addresses: BTreeMap<SocketAddr, ListenerId>,
    /// Clusters that no route of the new snapshot can reach.
    pub stop: Vec<ClusterId>,
}

/// What changes from `old` to `new`.
pub fn plan(old: &Snapshot, new: &Snapshot, settings: &WorkerSettings) -> Plan {
    let changes = diff(old, new);
    let endpoints: BTreeSet<_> = changes.endpoints.upserted.iter().collect();
    let specs: BTreeSet<_> = changes.clusters.upserted.iter().collect();
    let (mut start, mut update) = (Vec::new(), Vec::new());
    for id in new.clusters.keys() {
        if !old.clusters.contains_key(id) {
            start.push(id.clone());
        } else if specs.contains(id) || endpoints.contains(&id.service) {
            update.push(id.clone());
        }
    }
    let stop = changes.clusters.removed;
    let mut bind: BTreeSet<_> = changes.route_tables.upserted.into_iter().collect();
    let mut bind_listeners: BTreeSet<_> = changes.listeners.upserted.into_iter().collect();
    if !start.is_empty() || !stop.is_empty() {
        bind.extend(new.route_tables.keys().cloned());
        let holds_clusters = new.listeners.iter().filter(|(_, listener)| holds_clusters(listener));
        bind_listeners.extend(holds_clusters.map(|(id, _)| id.clone()));
    }
    let mut addresses = BTreeMap::new();
    for (id, listener) in &new.listeners {
        for address in wanted(listener, settings) {
            // Two listeners on one local address: the first by name has it.
            addresses.entry(address).or_insert_with(|| id.clone());
        }
    }
    Plan { start, update, bind, bind_listeners, addresses, stop }
}

/// Does it forward opaque bytes, past all route tables?
fn holds_clusters(listener: &Listener) -> bool {
    let is_auto = |action: &ChainAction| matches!(action, ChainAction::AutoPassthrough);
    listener.tcp_routes().next().is_some()
        || listener.chains().iter().any(|chain| is_auto(&chain.action))
}

/// Where a listener wants to accept.
pub fn wanted(listener: &Listener, settings: &WorkerSettings) -> Vec<SocketAddr> {
    let port = settings.local_port(listener.port);
    let hosts = match &listener.bind {
        Some(own) => std::slice::from_ref(own),
        None => &settings.bind,
    };
    hosts.iter().map(|host| SocketAddr::new(*host, port)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use fairway_shared::id::{ServicePort, WorkerSlot};
    use fairway_shared::ipc::message::NodeIdentity;
    use fairway_shared::snapshot::cluster::{Balancer, Cluster, Endpoint, EndpointSet};
    use fairway_shared::snapshot::listener::{ListenerKind, TcpRoute};
    use fairway_shared::snapshot::route::RouteTable;
    use std::sync::Arc;

    fn settings() -> WorkerSettings {
        WorkerSettings {
            slot: WorkerSlot(0),
            workers: 1,
            bind: vec![[127, 0, 0, 1].into()],
            port_map: [(80, 18080)].into(),
            low_port_offset: 8000,
            control_socket: None,
            control_grpc: None,
            node: NodeIdentity::default(),
            last_good: String::new(),
            server_header: None,
            drain_ms: 0,
            identity_dir: String::new(),
            ticket_secret: Default::default(),
            log_level: "info".into(),
            ..WorkerSettings::default()
        }
    }

    fn service(host: &str) -> ServicePort {
        ServicePort { host: host.into(), port: 80 }
    }

    fn id(host: &str) -> ClusterId {
        ClusterId { service: service(host), subset: String::new() }
    }

    fn snapshot(hosts: &[&str]) -> Snapshot {
        let table = RouteTableId("http.80".into());
        let cluster = Cluster { balancer: Balancer::Random, ..Cluster::default() };
        let listener = Listener {
            bind: None,
            port: 80,
            gateway_ports: vec![80],
            protocol: "HTTP".into(),
            gateways: vec![],
            proxy_protocol: false,
            kind: ListenerKind::Http { route_table: table.clone() },
        };
        Snapshot {
            listeners: [(ListenerId("0.0.0.0_80".into()), Arc::new(listener))].into(),
            route_tables: [(table, Arc::new(RouteTable::default()))].into(),
            clusters: hosts.iter().map(|host| (id(host), Arc::new(cluster.clone()))).collect(),
            endpoints: hosts.iter().map(|host| (service(host), Arc::default())).collect(),
            ..Snapshot::default()
        }
    }

    #[test]
    fn an_endpoint_change_touches_only_its_cluster() {
        let old = snapshot(&["a", "b"]);
        let mut new = old.clone();
        let endpoint = Endpoint {
            address: ([127, 0, 0, 1], 1).into(),
            weight: 1,
            labels: BTreeMap::new(),
            locality: String::new(),
        };
        let endpoints = EndpointSet { endpoints: vec![endpoint], ..EndpointSet::default() };
        new.endpoints.insert(service("b"), Arc::new(endpoints));
        let plan = plan(&old, &new, &settings());
        assert_eq!(plan.update, [id("b")]);
        assert!(plan.start.is_empty() && plan.stop.is_empty() && plan.bind.is_empty());
    }

    #[test]
    fn a_new_cluster_binds_every_table_anew() {
        let plan = plan(&snapshot(&["a"]), &snapshot(&["a", "b"]), &settings());
        assert_eq!((plan.start, plan.bind.len()), (vec![id("b")], 1));
    }

    #[test]
    fn a_new_cluster_binds_only_listeners_of_opaque_bytes_anew() {
        let with_tcp = |hosts: &[&str]| {
            let mut snapshot = snapshot(hosts);
            let http = snapshot.listeners[&ListenerId("0.0.0.0_80".into())].as_ref().clone();
            let kind = ListenerKind::Tcp { route: TcpRoute::default() };
            let tcp = Listener { port: 31400, kind, ..http };
            snapshot.listeners.insert(ListenerId("0.0.0.0_31400".into()), Arc::new(tcp));
            snapshot
        };
        let plan = plan(&with_tcp(&["a"]), &with_tcp(&["a", "b"]), &settings());
        assert_eq!(plan.bind_listeners, [ListenerId("0.0.0.0_31400".into())].into());
    }

    #[test]
    fn listeners_become_local_addresses() {
        let plan = plan(&Snapshot::default(), &snapshot(&[]), &settings());
        let addresses: Vec<_> = plan.addresses.keys().map(ToString::to_string).collect();
        assert_eq!(addresses, ["127.0.0.1:18080"]);
    }
}
