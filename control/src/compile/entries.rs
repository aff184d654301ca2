//! ServiceEntries and WorkloadEntries checked (Istio contract 9.3). A broken one is left out.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::findings::{FieldPath, Findings, NO_ADDRESS, NOT_IN_FORCE, Scope};
use super::index::Named;
use super::names::{export_to_problem, is_dns_name};
use crate::object::service_entry::ServiceEntry;
use crate::object::workload_entry::WorkloadEntry;

/// Protocols of a port, in upper case; nothing written counts too.
const PROTOCOLS: [&str; 13] = [
    "",
    "HTTP",
    "HTTP2",
    "GRPC",
    "GRPC-WEB",
    "HTTPS",
    "TLS",
    "TCP",
    "MONGO",
    "REDIS",
    "MYSQL",
    "UDP",
    "HTTP_PROXY",
];
/// Resolutions that are understood; nothing written is the first.
const RESOLUTIONS: [&str; 5] = ["NONE", "STATIC", "DNS", "DNS_ROUND_ROBIN", "DYNAMIC_DNS"];

/// May the entry be used?
pub(super) fn is_sound(entry: Named<'_, ServiceEntry>, findings: &mut Findings) -> bool {
    let mut scope = findings.scope(entry.object, FieldPath::Spec);
    let spec = entry.spec;
    check_hosts(spec, &mut scope);
    check_ports(spec, &mut scope);
    if let Some(problem) = export_to_problem(&spec.export_to) {
        scope.invalid("exportTo", problem, "list namespaces once, or `*` alone");
    }
    check_resolution(spec, &mut scope);
    for (at, endpoint) in spec.endpoints.iter().enumerate() {
        check_endpoint(spec, endpoint, at, &mut scope);
    }
    !scope.is_broken()
}

/// May the workload be used?
pub(super) fn is_sound_workload(
    workload: Named<'_, WorkloadEntry>,
    findings: &mut Findings,
) -> bool {
    let mut scope = findings.scope(workload.object, FieldPath::Spec);
    let address = &workload.spec.address;
    if address.parse::<IpAddr>().is_err() && !is_dns_name(address) {
        let what = format_args!("`{address}` is neither an IP address nor a name");
        scope.invalid("address", what, "write the workload's address");
    }
    check_numbers(workload.spec, "ports", &mut scope);
    !scope.is_broken()
}

fn check_hosts(spec: &ServiceEntry, scope: &mut Scope<'_>) {
    if spec.hosts.is_empty() {
        scope.invalid("hosts", "is empty", "name at least one host");
    }
    for host in &spec.hosts {
        let name = host.strip_prefix("*.").unwrap_or(host);
        if !is_dns_name(name.strip_suffix('.').unwrap_or(name)) {
            let what = format_args!("holds `{host}`, no host");
            scope.invalid("hosts", what, "write a full name, or `*.suffix`");
        } else if host.starts_with('*') {
            let what = format_args!("`{host}` is no destination of a gateway");
            scope.warn(NOT_IN_FORCE, "hosts", what, "list the hosts that routes name");
        }
    }
}

fn check_ports(spec: &ServiceEntry, scope: &mut Scope<'_>) {
    let (mut names, mut numbers) = (BTreeSet::new(), BTreeSet::new());
    let (mut has_tcp, mut has_unnamed) = (false, false);
    for (at, port) in spec.ports.iter().enumerate() {
        let field = |name: &str| format!("ports[{at}].{name}");
        if !(1..=65_535).contains(&port.number) {
            let what = format_args!("is {}", port.number);
            scope.invalid(&field("number"), what, "use 1 to 65535");
        } else if !numbers.insert(port.number) {
            let what = format_args!("{} is taken by an earlier port", port.number);
            scope.invalid(&field("number"), what, "give every port its own number");
        }
        if !names.insert(&port.name) {
            let what = format_args!("`{}` is taken by an earlier port", port.name);
            scope.invalid(&field("name"), what, "give every port its own name");
        }
        if port.target_port > 65_535 {
            let what = format_args!("is {}", port.target_port);
            scope.invalid(&field("targetPort"), what, "use 1 to 65535");
        }
        let protocol = port.protocol.to_ascii_uppercase();
        if !PROTOCOLS.contains(&protocol.as_str()) {
            let what = format_args!("`{}` is unknown", port.protocol);
            scope.invalid(&field("protocol"), what, "use HTTP, HTTP2, GRPC, HTTPS, TLS or TCP");
        }
        has_tcp |= protocol == "TCP";
        has_unnamed |= protocol.is_empty();
    }
    if has_tcp && spec.hosts.len() > 1 && spec.addresses.is_empty() {
        let what = "has several hosts with a plain TCP port, which cannot be told apart";
        scope.invalid("hosts", what, "write one entry per host, or addresses");
    } else if (has_tcp || has_unnamed) && spec.addresses.is_empty() {
        let what = "has no addresses, which a TCP port of a mesh service needs";
        scope.warn(NO_ADDRESS, "", what, "add addresses, or name the protocol");
    }
}

fn check_resolution(spec: &ServiceEntry, scope: &mut Scope<'_>) {
    let resolution = spec.resolution.as_str();
    if !resolution.is_empty() && !RESOLUTIONS.contains(&resolution) {
        let what = format_args!("`{resolution}` is unknown");
        scope.invalid("resolution", what, "use STATIC, DNS, DNS_ROUND_ROBIN or NONE");
    }
    if resolution == "DYNAMIC_DNS" {
        let what = "DYNAMIC_DNS is not supported: the entry has no endpoints";
        scope.warn(NOT_IN_FORCE, "resolution", what, "use DNS with the hosts written out");
    }
    if spec.workload_selector.is_some() && !spec.endpoints.is_empty() {
        scope.invalid("workloadSelector", "excludes endpoints", "keep one");
    }
    if matches!(resolution, "" | "NONE") && !spec.endpoints.is_empty() {
        scope.invalid("endpoints", "need a resolution", "set resolution: STATIC or DNS");
    }
    if !resolution.starts_with("DNS") {
        return;
    }
    if spec.addresses.iter().any(|address| address.contains('/')) {
        let what = format_args!("hold a range, which resolution {resolution} excludes");
        scope.invalid("addresses", what, "write single addresses");
    }
    let has_wildcard = spec.hosts.iter().any(|host| host.starts_with('*'));
    if has_wildcard && spec.endpoints.is_empty() && spec.workload_selector.is_none() {
        let what = "hold a wildcard, which cannot be resolved";
        scope.invalid("hosts", what, "list endpoints, or write the hosts out");
    }
    if resolution == "DNS_ROUND_ROBIN" && spec.endpoints.len() > 1 {
        scope.invalid("endpoints", "may be one only with DNS_ROUND_ROBIN", "use DNS");
    }
}

fn check_endpoint(spec: &ServiceEntry, endpoint: &WorkloadEntry, at: usize, scope: &mut Scope<'_>) {
    let field = format!("endpoints[{at}]");
    let address = &endpoint.address;
    if address.starts_with("unix://") {
        let what = format_args!("`{address}` is a socket of this host, which is not supported");
        scope.invalid(&format!("{field}.address"), what, "use an IP address");
    } else if address.parse::<IpAddr>().is_err() {
        let is_name = is_dns_name(address.strip_suffix('.').unwrap_or(address));
        if !spec.resolution.starts_with("DNS") {
            let what = format_args!("`{address}` is no IP address");
            scope.invalid(&format!("{field}.address"), what, "use resolution: DNS for names");
        } else if !is_name {
            let what = format_args!("`{address}` is neither a name nor an IP address");
            scope.invalid(&format!("{field}.address"), what, "write a full name");
        }
    }
    for name in endpoint.ports.keys() {
        if !spec.ports.iter().any(|port| port.name == *name) {
            let what = format_args!("names `{name}`, no port of the entry");
            scope.invalid(&format!("{field}.ports"), what, "use the names of spec.ports");
        }
    }
    check_numbers(endpoint, &format!("{field}.ports"), scope);
}

fn check_numbers(workload: &WorkloadEntry, field: &str, scope: &mut Scope<'_>) {
    for (name, number) in &workload.ports {
        if !(1..=65_535).contains(number) {
            let what = format_args!("gives `{name}` the number {number}");
            scope.invalid(field, what, "use 1 to 65535");
        }
    }
}
