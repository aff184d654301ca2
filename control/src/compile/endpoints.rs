//! Endpoints of a Service's port: from its EndpointSlices, else from its Endpoints object, with
//! the labels of the pods behind them (Istio contract 4.2, 4.3). None are ever invented.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use fairway_shared::snapshot::cluster::{Endpoint, EndpointSet};

use super::findings::{ENDPOINT_HELD, FieldPath, Findings, NOT_IN_FORCE};
use super::index::{Index, Named};
use super::places::{Hints, place};
use crate::object::Object;
use crate::object::endpoints::{Conditions, EndpointPort, TargetRef};
use crate::object::pod::Pod;
use crate::object::service::Service;

/// Weight of an endpoint that says nothing.
const DEFAULT_WEIGHT: u32 = 1;
/// `internalTrafficPolicy` of a Service for its own node's endpoints alone.
const NODE_LOCAL: &str = "Local";

/// What a slice or an Endpoints object says about one address.
struct Seen<'a> {
    ip: &'a str,
    port: u16,
    target: Option<&'a TargetRef>,
    node: &'a str,
    zone: &'a str,
}

/// Endpoints of one port of a Service as they are gathered.
struct Gathering<'g, 'a> {
    index: &'g Index<'a>,
    /// Only endpoints on this node count.
    node: Option<&'a str>,
    by_address: BTreeMap<SocketAddr, Endpoint>,
}

/// The ready endpoints of one port, by its name, in address order, without repeats.
pub(super) fn of_service<'a>(
    index: &Index<'a>,
    service: Named<'a, Service>,
    port_name: &str,
    findings: &mut Findings,
) -> EndpointSet {
    let node = only_node(index, service, findings);
    let mut gathering = Gathering { index, node, by_address: BTreeMap::new() };
    let slices = index.slices(service.object);
    for slice in slices.iter().filter(|slice| slice.spec.address_type != "FQDN") {
        let numbers = slice.spec.ports.iter().filter(|p| is_port(p, port_name)).map(|p| p.port);
        for number in numbers {
            for endpoint in slice.spec.endpoints.iter().filter(|e| is_ready(&e.conditions)) {
                let seen = |ip| Seen {
                    ip,
                    port: number,
                    target: endpoint.target_ref.as_ref(),
                    node: &endpoint.node_name,
                    zone: &endpoint.zone,
                };
                for ip in &endpoint.addresses {
                    gathering.add(slice.object, &seen(ip), findings);
                }
            }
        }
    }
    if slices.is_empty() {
        gathering.add_from_endpoints(service, port_name, findings);
    }
    let endpoints = gathering.by_address.into_values().collect();
    EndpointSet { endpoints, ..EndpointSet::default() }
}

/// The node whose endpoints alone count, if the Service says so.
fn only_node<'a>(
    index: &Index<'a>,
    service: Named<'a, Service>,
    findings: &mut Findings,
) -> Option<&'a str> {
    if service.spec.internal_traffic_policy != NODE_LOCAL {
        return None;
    }
    if index.pod.node.is_empty() {
        let mut scope = findings.scope(service.object, FieldPath::Spec);
        let what = "is Local, but the gateway pod's node is unknown: endpoints of all nodes serve";
        scope.warn(NOT_IN_FORCE, "internalTrafficPolicy", what, "start control with --node-name");
        return None;
    }
    Some(&index.pod.node)
}

impl<'a> Gathering<'_, 'a> {
    fn add_from_endpoints(
        &mut self,
        service: Named<'a, Service>,
        port_name: &str,
        findings: &mut Findings,
    ) {
        let Some(endpoints) = self.index.endpoints(service.object) else { return };
        for subset in &endpoints.spec.subsets {
            let numbers = subset.ports.iter().filter(|p| is_port(p, port_name)).map(|p| p.port);
            for number in numbers {
                for address in &subset.addresses {
                    let seen = Seen {
                        ip: &address.ip,
                        port: number,
                        target: address.target_ref.as_ref(),
                        node: &address.node_name,
                        zone: "",
                    };
                    self.add(endpoints.object, &seen, findings);
                }
            }
        }
    }

    fn add(&mut self, source: &Object, seen: &Seen<'_>, findings: &mut Findings) {
        let Ok(ip) = seen.ip.parse::<IpAddr>() else { return };
        let address = SocketAddr::new(ip, seen.port);
        if self.by_address.contains_key(&address) {
            return;
        }
        let pod = pod_behind(self.index, source, seen);
        let names_pod =
            seen.target.is_some_and(|target| target.kind == "Pod" && !target.name.is_empty());
        if pod.is_none() && names_pod {
            let name = seen.target.map_or("", |target| target.name.as_str());
            let what = format_args!("{ip} waits for pod `{name}`, which is not known yet");
            let remedy = "it serves as soon as the pod is seen";
            findings.scope(source, FieldPath::Endpoint).info(ENDPOINT_HELD, "", what, remedy);
            return;
        }
        let node = node_of(seen, pod);
        if self.node.is_none_or(|only| only == node) {
            let endpoint = endpoint(
                self.index,
                address,
                pod,
                Hints { node, zone: seen.zone, ..Hints::default() },
            );
            self.by_address.insert(address, endpoint);
        }
    }
}

/// Slices belong to Service ports by name, whatever the numbers.
fn is_port(offered: &EndpointPort, port_name: &str) -> bool {
    let is_stream = offered.protocol.is_empty() || offered.protocol.eq_ignore_ascii_case("TCP");
    offered.name == port_name && offered.port != 0 && is_stream
}

/// Ready is what is not said to be otherwise.
fn is_ready(conditions: &Conditions) -> bool {
    conditions.ready.unwrap_or(true)
}

/// The pod that is referred to, else the one with that address.
fn pod_behind<'a>(index: &Index<'a>, source: &Object, seen: &Seen<'_>) -> Option<Named<'a, Pod>> {
    let target = seen.target.filter(|target| target.kind == "Pod");
    let named = target.and_then(|target| {
        let own = source.meta.namespace.as_str();
        let namespace = if target.namespace.is_empty() { own } else { &target.namespace };
        index.pod_named((namespace, &target.name))
    });
    named.or_else(|| index.pod_at(seen.ip))
}

fn node_of<'s>(seen: &Seen<'s>, pod: Option<Named<'s, Pod>>) -> &'s str {
    match seen.node {
        "" => pod.map_or("", |pod| pod.spec.spec.node_name.as_str()),
        node => node,
    }
}

/// An endpoint with the labels of its pod, placed.
pub(super) fn endpoint(
    index: &Index<'_>,
    address: SocketAddr,
    pod: Option<Named<'_, Pod>>,
    hints: Hints<'_>,
) -> Endpoint {
    let mut labels = pod.map(|pod| pod.object.meta.labels.clone()).unwrap_or_default();
    let locality = place(index, &mut labels, hints);
    Endpoint { address, weight: DEFAULT_WEIGHT, labels, locality }
}
