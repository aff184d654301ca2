//! Services whose ports tell the wrong protocol, or none.

use std::collections::BTreeMap;

use fairway_shared::diagnostic::Severity;

use super::{Findings, Named, Sorted, key};
use crate::compile::is_subset;
use crate::object::Object;
use crate::object::service::{Service, ServicePort, TargetPort};

/// One port of a pod with two protocols (Istio contract 9.4).
const PROTOCOL_CONFLICT: (Severity, &str) = (Severity::Warning, "IST0116");
/// A port's name tells no protocol (Istio contract 9.4).
const NAME_WITHOUT_PROTOCOL: (Severity, &str) = (Severity::Info, "IST0118");
/// One target port behind two Service ports (Istio contract 9.4).
const TARGET_CONFLICT: (Severity, &str) = (Severity::Warning, "IST0137");
/// A port of an ExternalName Service whose name leads astray (Istio contract 9.4).
const EXTERNAL_NAME: (Severity, &str) = (Severity::Warning, "IST0150");
/// Namespaces of the system itself.
const SYSTEM_NAMESPACES: [&str; 4] =
    ["istio-system", "kube-system", "kube-public", "kube-node-lease"];
/// What a port's name may begin with (Istio: explicit protocol selection).
const PROTOCOLS: [&str; 12] = [
    "grpc", "grpc-web", "http", "http2", "https", "mongo", "mysql", "redis", "tcp", "tls", "udp",
    "thrift",
];
/// Of these, bytes without hosts.
const OPAQUE: [&str; 4] = ["mongo", "mysql", "redis", "tcp"];

pub(super) fn check(sorted: &Sorted<'_>, findings: &mut Findings) {
    for service in &sorted.services {
        match service.1.type_.as_str() {
            "ExternalName" => external_name(*service, findings),
            _ => port_names(sorted, *service, findings),
        }
    }
    for (pod, _) in &sorted.pods {
        let namespace = &pod.meta.namespace;
        let selects = |(object, spec): &&Named<'_, Service>| {
            object.meta.namespace == *namespace
                && !spec.selector.is_empty()
                && is_subset(&spec.selector, &pod.meta.labels)
        };
        let services: Vec<_> = sorted.services.iter().filter(selects).copied().collect();
        protocol_conflicts(pod, &services, findings);
        target_conflicts(pod, &services, findings);
    }
}

/// The protocol that a port names: by `appProtocol`, else by what its name begins with.
fn protocol(port: &ServicePort) -> Option<&str> {
    let named = if port.app_protocol.is_empty() { &port.name } else { &port.app_protocol };
    let is_named = |known: &&&str| {
        let rest = named.strip_prefix(**known);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    if port.protocol.eq_ignore_ascii_case("UDP") {
        return Some("udp");
    }
    // `grpc-web` is both; the longest says more.
    PROTOCOLS.iter().filter(is_named).max_by_key(|known| known.len()).copied()
}

fn port_names(sorted: &Sorted<'_>, (object, spec): Named<'_, Service>, findings: &mut Findings) {
    // The gateway's own Service is nobody's backend.
    let is_gateways = !spec.selector.is_empty() && is_subset(&spec.selector, &sorted.pod.labels);
    if is_gateways || SYSTEM_NAMESPACES.contains(&object.meta.namespace.as_str()) {
        return;
    }
    let is_silent = |port: &&ServicePort| port.app_protocol.is_empty() && protocol(port).is_none();
    for port in spec.ports.iter().filter(is_silent) {
        let message =
            format!("spec.ports names port {} `{}`, which tells no protocol", port.port, port.name);
        let remedy = "begin the name with http, http2, grpc, https, tls or tcp, or set appProtocol";
        findings.add(NAME_WITHOUT_PROTOCOL, object, message, remedy);
    }
}

fn external_name((object, spec): Named<'_, Service>, findings: &mut Findings) {
    for port in &spec.ports {
        let what = match protocol(port) {
            None => "tells no protocol",
            Some(name) if OPAQUE.contains(&name) => "means bytes without a host",
            Some(_) => continue,
        };
        let message = format!(
            "spec.ports of an ExternalName Service names port {} `{}`, which {what}",
            port.port, port.name
        );
        let remedy = "begin the name with http, https or tls, so that the host is looked at";
        findings.add(EXTERNAL_NAME, object, message, remedy);
    }
}

fn protocol_conflicts(pod: &Object, services: &[Named<'_, Service>], findings: &mut Findings) {
    let mut by_port: BTreeMap<u16, (&str, &Object)> = BTreeMap::new();
    for (service, spec) in services {
        for port in &spec.ports {
            let Some(protocol) = protocol(port) else { continue };
            let (first, other) = *by_port.entry(port.port).or_insert((protocol, service));
            if first != protocol {
                let message = format!(
                    "is behind port {} of Service `{}` as {first} and of `{}` as {protocol}",
                    port.port,
                    key(other),
                    key(service)
                );
                let remedy = "name one protocol for the port in both Services";
                findings.add(PROTOCOL_CONFLICT, pod, message, remedy);
            }
        }
    }
}

fn target_conflicts(pod: &Object, services: &[Named<'_, Service>], findings: &mut Findings) {
    let mut by_target: BTreeMap<String, (u16, &Object)> = BTreeMap::new();
    for (service, spec) in services {
        for port in &spec.ports {
            let target = match &port.target_port {
                Some(TargetPort::Number(number)) => number.to_string(),
                Some(TargetPort::Name(name)) => name.clone(),
                None => port.port.to_string(),
            };
            let (first, other) = *by_target.entry(target.clone()).or_insert((port.port, service));
            if first != port.port {
                let message = format!(
                    "takes target port {target} from port {first} of Service `{}` and from port {} \
                     of `{}`",
                    key(other),
                    port.port,
                    key(service)
                );
                let remedy = "give both Services the same port, or the pod two";
                findings.add(TARGET_CONFLICT, pod, message, remedy);
            }
        }
    }
}
