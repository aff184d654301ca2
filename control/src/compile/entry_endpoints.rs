//! Endpoints of a ServiceEntry's port: those written in it, WorkloadEntries and pods that it
//! selects, and names for the data plane to resolve (Istio contract 4.4).

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use fairway_shared::snapshot::cluster::{Endpoint, EndpointSet, NamedEndpoint};

use super::endpoints::endpoint;
use super::findings::{FieldPath, Findings, NO_ENDPOINTS};
use super::index::{Index, Named, is_subset};
use super::places::{Hints, place};
use crate::object::service_entry::{EntryPort, ServiceEntry};
use crate::object::workload_entry::WorkloadEntry;

/// Each answer replaces the last.
const LATEST_ANSWER: &str = "DNS_ROUND_ROBIN";

/// Endpoints of one port as they are gathered.
struct Gathering<'g, 'a> {
    index: &'g Index<'a>,
    port: &'a EntryPort,
    by_address: BTreeMap<SocketAddr, Endpoint>,
    by_name: BTreeMap<(String, u16), NamedEndpoint>,
}

/// The endpoints of one host's port of an entry, without repeats.
pub(super) fn of_entry<'a>(
    index: &Index<'a>,
    entry: Named<'a, ServiceEntry>,
    host: &str,
    number: u16,
    findings: &mut Findings,
) -> EndpointSet {
    let mut ports = entry.spec.ports.iter();
    let Some(port) = ports.find(|port| port.number == u32::from(number)) else {
        return EndpointSet::default();
    };
    let (by_address, by_name) = (BTreeMap::new(), BTreeMap::new());
    let mut gathering = Gathering { index, port, by_address, by_name };
    for written in &entry.spec.endpoints {
        gathering.add(written, written.labels.clone());
    }
    if entry.spec.workload_selector.is_some() {
        gathering.add_selected(entry);
    } else if entry.spec.endpoints.is_empty() && entry.spec.resolution.starts_with("DNS") {
        let itself = WorkloadEntry { address: host.to_owned(), ..WorkloadEntry::default() };
        gathering.add(&itself, BTreeMap::new());
    }
    let set = EndpointSet {
        endpoints: gathering.by_address.into_values().collect(),
        names: gathering.by_name.into_values().collect(),
        is_latest_answer_only: entry.spec.resolution == LATEST_ANSWER,
    };
    if set.endpoints.is_empty() && set.names.is_empty() {
        let what = format_args!("gives `{host}` no endpoint: requests are answered 503 UH");
        let remedy = "list endpoints, or use resolution DNS: a gateway has no original destination";
        findings.scope(entry.object, FieldPath::Spec).warn(NO_ENDPOINTS, "", what, remedy);
    }
    set
}

impl Gathering<'_, '_> {
    /// An address or a name with a weight; the object is known to be sound.
    fn add(&mut self, written: &WorkloadEntry, mut labels: BTreeMap<String, String>) {
        let Some(port) = self.port_of(written) else { return };
        let hints = Hints { locality: &written.locality, ..Hints::default() };
        let locality = place(self.index, &mut labels, hints);
        let weight = written.weight.max(1);
        match written.address.parse::<IpAddr>() {
            Ok(ip) => {
                let address = SocketAddr::new(ip, port);
                let endpoint = Endpoint { address, weight, labels, locality };
                self.by_address.entry(address).or_insert(endpoint);
            }
            Err(_) if written.address.is_empty() => {}
            Err(_) => {
                let host = written.address.to_ascii_lowercase();
                let key = (host.clone(), port);
                let name = NamedEndpoint { host, port, weight, labels, locality };
                self.by_name.entry(key).or_insert(name);
            }
        }
    }

    /// The endpoint's own number for the port's name, else the target port, else the number.
    fn port_of(&self, written: &WorkloadEntry) -> Option<u16> {
        let own = written.ports.get(&self.port.name).copied();
        let target = Some(self.port.target_port).filter(|port| *port > 0);
        u16::try_from(own.or(target).unwrap_or(self.port.number)).ok().filter(|port| *port > 0)
    }

    fn add_selected(&mut self, entry: Named<'_, ServiceEntry>) {
        let Some(selector) = &entry.spec.workload_selector else { return };
        let namespace = entry.object.meta.namespace.as_str();
        for workload in self.index.workloads(namespace) {
            // Those of the metadata come first.
            let mut labels = workload.spec.labels.clone();
            labels.extend(workload.object.meta.labels.clone());
            if is_subset(&selector.labels, &labels) {
                self.add(workload.spec, labels);
            }
        }
        let Some(port) = self.port_of(&WorkloadEntry::default()) else { return };
        for pod in self.index.pods_in(namespace) {
            let ip = pod.spec.status.pod_ip.parse::<IpAddr>();
            let Ok(ip) = ip else { continue };
            if is_subset(&selector.labels, &pod.object.meta.labels) {
                let address = SocketAddr::new(ip, port);
                let hints = Hints { node: &pod.spec.spec.node_name, ..Hints::default() };
                let found = endpoint(self.index, address, Some(*pod), hints);
                self.by_address.entry(address).or_insert(found);
            }
        }
    }
}
