//! Small snapshots, published, for tests.

use std::sync::Arc;

use fairway_shared::id::{ClusterId, ListenerId, RouteTableId, ServicePort};
use fairway_shared::snapshot::Snapshot;
use fairway_shared::snapshot::cluster::{Cluster, Endpoint, EndpointSet};
use fairway_shared::snapshot::listener::{Listener, ListenerKind};
use fairway_shared::snapshot::route::{
    Destination, Forward, HeaderOps, Route, RouteAction, RouteMatch, RouteSpec, RouteTable,
    VirtualHost,
};

use super::publisher::{CompileResult, Publisher};
use crate::object::{ConfigSet, GatewayPod};

/// The cluster of `host`, port 80, no subset.
pub(crate) fn cluster(host: &str) -> ClusterId {
    ClusterId { service: ServicePort { host: host.into(), port: 80 }, subset: String::new() }
}

/// One listener, and for each host a virtual host with one route, a cluster and an endpoint.
pub(crate) fn snapshot_with(hosts: &[&str]) -> Snapshot {
    let table = RouteTableId("http.80".into());
    let mut snapshot = Snapshot::default();
    let listener = Listener {
        bind: None,
        port: 80,
        gateway_ports: vec![80],
        protocol: "HTTP".into(),
        gateways: vec!["shop/shop".into()],
        proxy_protocol: false,
        kind: ListenerKind::Http { route_table: table.clone() },
    };
    snapshot.listeners.insert(ListenerId("0.0.0.0_80".into()), Arc::new(listener));
    let mut routes = RouteTable::default();
    for host in hosts {
        routes.virtual_hosts.push(Arc::new(virtual_host(host)));
        snapshot.clusters.insert(cluster(host), Arc::new(spec()));
        let endpoint = Endpoint {
            address: "10.0.0.1:8080".parse().unwrap(),
            weight: 1,
            labels: [("version".into(), "v1".into())].into(),
            locality: String::new(),
        };
        let set = EndpointSet { endpoints: vec![endpoint], ..EndpointSet::default() };
        snapshot.endpoints.insert(cluster(host).service, Arc::new(set));
    }
    snapshot.route_tables.insert(table, Arc::new(routes));
    snapshot
}

fn virtual_host(host: &str) -> VirtualHost {
    let destination = Destination {
        cluster: cluster(host),
        weight: 1,
        headers: HeaderOps::default(),
        hash: None,
    };
    let forward = Forward {
        destinations: vec![destination],
        rewrite: None,
        timeout_ms: None,
        retry: None,
        mirrors: Vec::new(),
    };
    let route = Route {
        name: format!("to-{host}"),
        origin: "shop/shop#0".into(),
        spec: Arc::new(RouteSpec {
            matches: RouteMatch::default(),
            action: RouteAction::Forward(forward),
            headers: HeaderOps::default(),
            cors: None,
            fault: None,
        }),
    };
    VirtualHost { domain: host.into(), routes: vec![Arc::new(route)], https_redirect: false }
}

fn spec() -> Cluster {
    Cluster { idle_timeout_ms: None, ..Cluster::default() }
}

/// Publishes [`snapshot_with`] as a compile result.
pub(crate) async fn publish(publisher: &Publisher, hosts: &[&str]) {
    let pod = GatewayPod {
        namespace: "shop".into(),
        domain: "cluster.local".into(),
        ..GatewayPod::default()
    };
    let result = CompileResult {
        snapshot: snapshot_with(hosts),
        diagnostics: Vec::new(),
        config: Arc::new(ConfigSet { pod, objects: Vec::new(), ..ConfigSet::default() }),
        compile_ms: 1,
    };
    publisher.publish(result).await.unwrap();
}
