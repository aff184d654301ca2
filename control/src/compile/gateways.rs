//! Gateways checked and read: which servers exist, of which class, for which hosts.
//!
//! Selection and merging onto ports come later, in `listeners`. A broken server is left out, the
//! Gateway's others stay.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use super::findings::{FieldPath, Findings, INVALID, NOT_FOUND, NOT_IN_FORCE, NOT_SERVED, Scope};
use super::index::{Index, Named, is_subset};
use super::names::{canonical_pattern, is_label};
use super::patterns::HostIndex;
use super::server_tls::{TlsPlan, read_tls};
use super::tls_demands::Defaults;
use crate::object::gateway::{Gateway, Port, Server};

/// A Gateway with its usable servers.
pub(super) struct GatewayPlan<'a> {
    /// The object.
    pub(super) gateway: Named<'a, Gateway>,
    /// `namespace/name`.
    pub(super) key: String,
    /// Does its selector match the gateway pod (Istio contract 1.1)?
    pub(super) is_selected: bool,
    /// In the order written.
    pub(super) servers: Vec<ServerPlan>,
}

/// One usable server.
pub(super) struct ServerPlan {
    /// Place in `spec.servers`.
    pub(super) index: usize,
    /// What it carries.
    pub(super) class: ServerClass,
    /// Upper case.
    pub(super) protocol: String,
    /// Port number as written.
    pub(super) written_port: u16,
    /// Unique within the Gateway.
    pub(super) port_name: String,
    /// `None` is the wildcard address.
    pub(super) bind: Option<IpAddr>,
    /// Hosts, `./` expanded.
    pub(super) hosts: HostIndex,
    /// Answer 301 to https; only of plaintext servers.
    pub(super) https_redirect: bool,
    /// What is done with TLS connections; of the TLS class alone.
    pub(super) tls: Option<TlsPlan>,
}

/// What a server carries, as far as merging cares (Istio contract 1.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ServerClass {
    /// HTTP, HTTP2, GRPC, GRPC-Web.
    Http,
    /// HTTPS and TLS, terminating or passed through.
    Tls,
    /// Opaque bytes.
    Tcp,
}

impl fmt::Display for ServerClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "HTTP",
            Self::Tls => "TLS",
            Self::Tcp => "TCP",
        })
    }
}

/// Reads all Gateways, in age order.
pub(super) fn read_gateways<'a>(
    index: &Index<'a>,
    tls: &Defaults,
    findings: &mut Findings,
) -> Vec<GatewayPlan<'a>> {
    index.gateways.iter().map(|gateway| read_gateway(index, *gateway, tls, findings)).collect()
}

fn read_gateway<'a>(
    index: &Index<'a>,
    gateway: Named<'a, Gateway>,
    tls: &Defaults,
    findings: &mut Findings,
) -> GatewayPlan<'a> {
    let mut scope = findings.scope(gateway.object, FieldPath::Spec);
    if gateway.spec.servers.is_empty() {
        scope.invalid("servers", "is empty", "add a server");
    }
    check_name(&gateway, &mut scope.part(FieldPath::Metadata));
    let is_reachable =
        !index.pod.takes_own_namespace_only || gateway.object.meta.namespace == index.pod.namespace;
    let is_selected = is_reachable && is_subset(&gateway.spec.selector, &index.pod.labels);
    if is_reachable && !is_selected && !selects_some_pod(index, gateway.spec) {
        scope.error(
            NOT_FOUND,
            "selector",
            format_args!("{} matches no pod", labels_text(gateway.spec)),
            "select labels of the gateway pod",
        );
    }
    let mut names = BTreeSet::new();
    let mut servers = Vec::new();
    let is_named_well = is_label(&gateway.object.meta.name);
    for (at, server) in gateway.spec.servers.iter().enumerate().filter(|_| is_named_well) {
        let mut part = scope.part(FieldPath::Server(at));
        let plan = read_server(&gateway, (at, server), tls, &mut part);
        let name = server.port.as_ref().map_or("", |port| port.name.as_str());
        if !name.is_empty() && !names.insert(name) {
            part.invalid(
                "port.name",
                format_args!("`{name}` is taken by an earlier server"),
                "give every port its own name",
            );
        }
        if !part.is_broken() {
            servers.extend(plan);
        }
    }
    GatewayPlan { key: gateway.key(), gateway, is_selected, servers }
}

fn check_name(gateway: &Named<'_, Gateway>, scope: &mut Scope<'_>) {
    let name = &gateway.object.meta.name;
    if !is_label(name) {
        scope.error(
            INVALID,
            "name",
            format_args!("`{name}` is no DNS label"),
            "use letters, digits and `-`, no dot",
        );
    }
}

fn selects_some_pod(index: &Index<'_>, gateway: &Gateway) -> bool {
    index.pods.iter().any(|pod| is_subset(&gateway.selector, &pod.object.meta.labels))
}

fn labels_text(gateway: &Gateway) -> String {
    let pairs: Vec<String> = gateway.selector.iter().map(|(k, v)| format!("{k}={v}")).collect();
    format!("`{}`", pairs.join(","))
}

/// `None` if the server is broken, or of a kind that a gateway does not serve.
fn read_server(
    gateway: &Named<'_, Gateway>,
    (index, server): (usize, &Server),
    tls: &Defaults,
    scope: &mut Scope<'_>,
) -> Option<ServerPlan> {
    let Some(port) = &server.port else {
        scope.invalid("port", "is missing", "name number, protocol and name");
        return None;
    };
    let written_port = check_port(port, scope);
    let protocol = port.protocol.to_ascii_uppercase();
    let class = classify(&protocol, server, scope);
    let bind = check_bind(server, scope);
    let hosts = read_hosts(gateway, server, scope);
    let tls = read_tls(server, class, tls, scope);
    if scope.is_broken() {
        return None;
    }
    if protocol == "GRPC-WEB" {
        scope.ignored("port.protocol GRPC-Web translation");
    }
    let https_redirect = class == Some(ServerClass::Http)
        && server.tls.as_ref().is_some_and(|tls| tls.https_redirect);
    Some(ServerPlan {
        index,
        class: class?,
        protocol,
        written_port: written_port?,
        bind: bind?,
        port_name: port.name.clone(),
        hosts,
        https_redirect,
        tls,
    })
}

fn check_port(port: &Port, scope: &mut Scope<'_>) -> Option<u16> {
    if port.name.is_empty() {
        scope.invalid("port.name", "is missing", "give the port a name");
    }
    if port.target_port != 0 {
        scope.invalid("port.targetPort", "has no impact on a Gateway", "remove it");
    }
    let number = u16::try_from(port.number).ok().filter(|number| *number != 0);
    if number.is_none() {
        scope.invalid("port.number", format_args!("is {}", port.number), "use 1 to 65535");
    }
    number
}

/// The class of a protocol; `None` and a finding if it has none (Istio contract 1.2, 1.4).
fn classify(protocol: &str, server: &Server, scope: &mut Scope<'_>) -> Option<ServerClass> {
    match protocol {
        "HTTP" | "HTTP2" | "GRPC" | "GRPC-WEB" => Some(ServerClass::Http),
        "HTTPS" | "TLS" => Some(ServerClass::Tls),
        // Terminated TLS in front of a database protocol is a TLS chain like any other.
        "TCP" | "MONGO" | "REDIS" | "MYSQL" if server.tls.is_some() => Some(ServerClass::Tls),
        "TCP" | "MONGO" | "REDIS" | "MYSQL" => Some(ServerClass::Tcp),
        "HTTP_PROXY" | "UDP" => {
            scope.warn(
                NOT_SERVED,
                "port.protocol",
                format_args!("{protocol} has no use on a Gateway"),
                "use HTTP, HTTPS, TLS or TCP",
            );
            None
        }
        _ => {
            scope.invalid(
                "port.protocol",
                format_args!("`{protocol}` is unknown"),
                "use HTTP, HTTP2, GRPC, GRPC-Web, HTTPS, TLS or TCP",
            );
            None
        }
    }
}

/// The address to bind: outer `None` if the server cannot be served there.
fn check_bind(server: &Server, scope: &mut Scope<'_>) -> Option<Option<IpAddr>> {
    if server.bind.is_empty() {
        return Some(None);
    }
    if server.bind.starts_with("unix://") {
        scope.warn(
            NOT_IN_FORCE,
            "bind",
            "names a unix socket, which is not served",
            "bind an IP address",
        );
        return None;
    }
    let Ok(ip) = server.bind.parse::<IpAddr>() else {
        scope.invalid(
            "bind",
            format_args!("`{}` is no IP address", server.bind),
            "use an IP address or leave it out",
        );
        return None;
    };
    // Written out or not, the wildcard is one address, and two sockets could not share it.
    Some((!ip.is_unspecified()).then_some(ip))
}

fn read_hosts(gateway: &Named<'_, Gateway>, server: &Server, scope: &mut Scope<'_>) -> HostIndex {
    let mut hosts = HostIndex::default();
    if server.hosts.is_empty() {
        scope.invalid("hosts", "is empty", "name a host, or `*` for all");
    }
    if server.hosts.iter().any(|host| host == "*/*") {
        hosts.add("*", None);
        return hosts;
    }
    for written in &server.hosts {
        let (namespace, host) = match written.split_once('/') {
            Some(("*", host)) => (None, host),
            Some((".", host)) => (Some(gateway.object.meta.namespace.as_str()), host),
            Some((namespace, host)) => (Some(namespace), host),
            None => (None, written.as_str()),
        };
        match canonical_pattern(host).filter(|_| namespace.is_none_or(is_label)) {
            Some(pattern) => hosts.add(&pattern, namespace),
            None => scope.invalid(
                "hosts",
                format_args!("holds `{written}`, which is no host"),
                "use a full name, `*.suffix` or `*`, with an optional `namespace/` in front",
            ),
        }
    }
    hosts
}
