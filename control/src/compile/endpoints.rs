//! Endpoints of a Service's port: from its EndpointSlices, else from its Endpoints object, with
//! the labels of the pods behind them (Istio contract 4.2, 4.3). None are ever invented.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use fairway_shared::snapshot::cluster::{Endpoint, EndpointSet};

use super::findings::{ENDPOINT_HELD, FieldPath, Findings};
use super::index::{Index, Named};
use crate::object::Object;
use crate::object::endpoints::{Conditions, EndpointPort, TargetRef};
use crate::object::pod::Pod;
use crate::object::service::{Service, ServicePort};

/// Pod label that names a locality, `region.zone.subzone` or with `/`.
const LOCALITY_LABEL: &str = "istio-locality";
const REGION_LABEL: &str = "topology.kubernetes.io/region";
const ZONE_LABEL: &str = "topology.kubernetes.io/zone";
const SUBZONE_LABEL: &str = "topology.istio.io/subzone";
const NODE_LABEL: &str = "kubernetes.io/hostname";
/// Weight of an endpoint that says nothing.
const DEFAULT_WEIGHT: u32 = 1;

/// What a slice or an Endpoints object says about one address.
struct Seen<'a> {
    ip: &'a str,
    port: u16,
    target: Option<&'a TargetRef>,
    node: &'a str,
    zone: &'a str,
}

/// The ready endpoints of one port, in address order, without repeats.
pub(super) fn endpoint_set<'a>(
    index: &Index<'a>,
    service: Named<'a, Service>,
    port: &ServicePort,
    findings: &mut Findings,
) -> EndpointSet {
    let mut by_address = BTreeMap::new();
    let slices = index.slices(service.object);
    for slice in slices.iter().filter(|slice| slice.spec.address_type != "FQDN") {
        let numbers = slice.spec.ports.iter().filter(|p| is_port(p, port)).map(|p| p.port);
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
                    add(index, slice.object, &seen(ip), &mut by_address, findings);
                }
            }
        }
    }
    if slices.is_empty() {
        add_from_endpoints(index, service, port, &mut by_address, findings);
    }
    EndpointSet { endpoints: by_address.into_values().collect(), ..EndpointSet::default() }
}

fn add_from_endpoints<'a>(
    index: &Index<'a>,
    service: Named<'a, Service>,
    port: &ServicePort,
    by_address: &mut BTreeMap<SocketAddr, Endpoint>,
    findings: &mut Findings,
) {
    let Some(endpoints) = index.endpoints(service.object) else { return };
    for subset in &endpoints.spec.subsets {
        for number in subset.ports.iter().filter(|p| is_port(p, port)).map(|p| p.port) {
            for address in &subset.addresses {
                let seen = Seen {
                    ip: &address.ip,
                    port: number,
                    target: address.target_ref.as_ref(),
                    node: &address.node_name,
                    zone: "",
                };
                add(index, endpoints.object, &seen, by_address, findings);
            }
        }
    }
}

/// Slices belong to Service ports by name, whatever the numbers.
fn is_port(offered: &EndpointPort, port: &ServicePort) -> bool {
    let is_stream = offered.protocol.is_empty() || offered.protocol.eq_ignore_ascii_case("TCP");
    offered.name == port.name && offered.port != 0 && is_stream
}

/// Ready is what is not said to be otherwise.
fn is_ready(conditions: &Conditions) -> bool {
    conditions.ready.unwrap_or(true)
}

fn add(
    index: &Index<'_>,
    source: &Object,
    seen: &Seen<'_>,
    by_address: &mut BTreeMap<SocketAddr, Endpoint>,
    findings: &mut Findings,
) {
    let Ok(ip) = seen.ip.parse::<IpAddr>() else { return };
    let pod = pod_behind(index, source, seen);
    let names_pod =
        seen.target.is_some_and(|target| target.kind == "Pod" && !target.name.is_empty());
    if pod.is_none() && names_pod {
        let name = seen.target.map_or("", |target| target.name.as_str());
        let what = format_args!("{ip} waits for pod `{name}`, which is not known yet");
        let remedy = "it serves as soon as the pod is seen";
        findings.scope(source, FieldPath::Endpoint).info(ENDPOINT_HELD, "", what, remedy);
        return;
    }
    let address = SocketAddr::new(ip, seen.port);
    by_address.entry(address).or_insert_with(|| endpoint(address, seen, pod));
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

fn endpoint(address: SocketAddr, seen: &Seen<'_>, pod: Option<Named<'_, Pod>>) -> Endpoint {
    let mut labels = pod.map(|pod| pod.object.meta.labels.clone()).unwrap_or_default();
    let locality = labels.get(LOCALITY_LABEL).map(|label| locality_parts(label));
    let [region, zone, subzone] = locality.clone().unwrap_or_default();
    let zone_known = if zone.is_empty() { seen.zone } else { &zone };
    let node_of_pod = pod.map_or("", |pod| pod.spec.spec.node_name.as_str());
    let node = if seen.node.is_empty() { node_of_pod } else { seen.node };
    let synthetic = [
        (REGION_LABEL, region.as_str()),
        (ZONE_LABEL, zone_known),
        (SUBZONE_LABEL, &subzone),
        (NODE_LABEL, node),
    ];
    for (name, value) in synthetic.into_iter().filter(|(_, value)| !value.is_empty()) {
        labels.insert(name.to_owned(), value.to_owned());
    }
    let locality = locality.map(|parts| parts.join("/")).unwrap_or_default();
    let locality = locality.trim_end_matches('/').to_owned();
    Endpoint { address, weight: DEFAULT_WEIGHT, labels, locality }
}

/// Region, zone and subzone of the label, either spelling.
fn locality_parts(label: &str) -> [String; 3] {
    let separator = if label.contains('/') { '/' } else { '.' };
    let mut parts = label.splitn(3, separator).map(str::to_owned);
    [(); 3].map(|()| parts.next().unwrap_or_default())
}
