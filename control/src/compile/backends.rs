//! What a host name stands for: a Kubernetes Service, or a host of a ServiceEntry
//! (Istio contract 4.1, 4.4). Later passes ask here for ports and need not know which it is.

use super::index::Named;
use super::names::Visibility;
use super::places::{NODE_LABEL, REGION_LABEL, ZONE_LABEL};
use super::policy::LocalitySetting;
use crate::object::Object;
use crate::object::service::{Service, ServicePort};
use crate::object::service_entry::{EntryPort, ServiceEntry};

/// Annotation of a Service that limits who sees it (Istio contract 4.1).
const SERVICE_EXPORT_TO: &str = "networking.istio.io/exportTo";
/// Service type without endpoints of its own.
const EXTERNAL_NAME: &str = "ExternalName";
/// Ports that are opaque unless something says otherwise: the server speaks first there.
const OPAQUE_PORTS: [u16; 4] = [25, 53, 3306, 27017];

/// See the module.
#[derive(Debug, Clone, Copy)]
pub(super) enum Backend<'a> {
    /// Of Kubernetes.
    Service(Named<'a, Service>),
    /// One host of it.
    Entry(Named<'a, ServiceEntry>),
}

/// One port of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BackendPort<'a> {
    /// As destinations name it.
    pub(super) number: u16,
    /// As slices and endpoints name it; may be empty.
    pub(super) name: &'a str,
    /// What is spoken there.
    pub(super) protocol: PortProtocol,
}

/// What is spoken on a port, as far as it matters to a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PortProtocol {
    /// HTTP/1.1; also where nothing says what it is, since gateways do not sniff.
    Http1,
    /// HTTP/2 with prior knowledge.
    Http2,
    /// TLS or bytes; HTTP routes speak HTTP/1.1 to it nevertheless.
    Opaque,
    /// Datagrams, which no route can use.
    Udp,
}

impl<'a> Backend<'a> {
    /// Metadata and place.
    pub(super) fn object(&self) -> &'a Object {
        match self {
            Self::Service(service) => service.object,
            Self::Entry(entry) => entry.object,
        }
    }

    /// Where it lives.
    pub(super) fn namespace(&self) -> &'a str {
        &self.object().meta.namespace
    }

    /// `namespace/name`.
    pub(super) fn key(&self) -> String {
        match self {
            Self::Service(service) => service.key(),
            Self::Entry(entry) => entry.key(),
        }
    }

    /// Its usable ports, in the order written.
    pub(super) fn ports(&self) -> impl Iterator<Item = BackendPort<'a>> + use<'a> {
        let (services, entries) = match self {
            Self::Service(service) => (&service.spec.ports[..], &[][..]),
            Self::Entry(entry) => (&[][..], &entry.spec.ports[..]),
        };
        let ports = services.iter().map(of_service).chain(entries.iter().filter_map(of_entry));
        ports.filter(|port| port.protocol != PortProtocol::Udp)
    }

    /// The usable port of a number.
    pub(super) fn port(&self, number: u16) -> Option<BackendPort<'a>> {
        self.ports().find(|port| port.number == number)
    }

    /// The name that stands in place of an ExternalName Service.
    pub(super) fn external_name(&self) -> Option<&'a str> {
        match self {
            Self::Service(service) => {
                let spec = service.spec;
                let is_external = spec.type_ == EXTERNAL_NAME && !spec.external_name.is_empty();
                is_external.then_some(spec.external_name.as_str())
            }
            Self::Entry(_) => None,
        }
    }

    /// Names of its certificate.
    pub(super) fn subject_alt_names(&self) -> &'a [String] {
        match self {
            Self::Service(_) => &[],
            Self::Entry(entry) => &entry.spec.subject_alt_names,
        }
    }

    /// What it prefers by itself: endpoints near the gateway, even without ejection
    /// (`trafficDistribution`).
    pub(super) fn locality_setting(&self) -> Option<LocalitySetting> {
        let Self::Service(service) = self else { return None };
        let labels: &[&str] = match service.spec.traffic_distribution.as_str() {
            "PreferClose" | "PreferSameZone" => &[REGION_LABEL, ZONE_LABEL],
            "PreferSameNode" => &[REGION_LABEL, ZONE_LABEL, NODE_LABEL],
            _ => return None,
        };
        let priority = labels.iter().map(|label| (*label).to_owned()).collect();
        Some(LocalitySetting { priority, is_forced: true, ..LocalitySetting::default() })
    }

    /// Who sees it; `default` is the mesh's word where the object says nothing.
    pub(super) fn visibility(&self, default: &[String]) -> Visibility {
        let meta = &self.object().meta;
        if let Self::Entry(entry) = self {
            return Visibility::of_object(&entry.spec.export_to, default, &meta.namespace);
        }
        let annotation = meta.annotations.get(SERVICE_EXPORT_TO);
        let written = annotation.iter().flat_map(|list| list.split(',')).map(str::trim);
        let written: Vec<&str> = written.filter(|value| !value.is_empty()).collect();
        match written.is_empty() {
            true => Visibility::read_list(default, &meta.namespace),
            false => Visibility::read(written, &meta.namespace),
        }
    }
}

fn of_service(port: &ServicePort) -> BackendPort<'_> {
    let protocol = match port.protocol.to_ascii_uppercase().as_str() {
        "UDP" => PortProtocol::Udp,
        _ => protocol_of(&port.app_protocol, &port.name, port.port),
    };
    BackendPort { number: port.port, name: &port.name, protocol }
}

/// `None` if its number is none; the check of the object tells.
fn of_entry(port: &EntryPort) -> Option<BackendPort<'_>> {
    let number = u16::try_from(port.number).ok().filter(|number| *number > 0)?;
    let protocol = match port.protocol.to_ascii_uppercase().as_str() {
        "UDP" => PortProtocol::Udp,
        _ => protocol_of("", &port.protocol, number),
    };
    Some(BackendPort { number, name: &port.name, protocol })
}

/// Told by `appProtocol`, else by the port's name up to the first `-`, else by its number.
fn protocol_of(app_protocol: &str, name: &str, number: u16) -> PortProtocol {
    let told = if app_protocol.is_empty() { name } else { app_protocol };
    let told = told.to_ascii_lowercase();
    match told.as_str() {
        "kubernetes.io/h2c" => return PortProtocol::Http2,
        "kubernetes.io/ws" => return PortProtocol::Http1,
        "kubernetes.io/wss" => return PortProtocol::Opaque,
        _ if told.starts_with("grpc-web") => return PortProtocol::Http2,
        _ => {}
    }
    match told.split('-').next().unwrap_or_default() {
        "http2" | "grpc" => PortProtocol::Http2,
        "http" => PortProtocol::Http1,
        "udp" => PortProtocol::Udp,
        "https" | "tls" | "tcp" | "mongo" | "redis" | "mysql" => PortProtocol::Opaque,
        _ if OPAQUE_PORTS.contains(&number) => PortProtocol::Opaque,
        _ => PortProtocol::Http1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_tells_the_protocol() {
        use PortProtocol::{Http1, Http2, Opaque};
        for (name, app_protocol, number, expected) in [
            ("http", "", 80, Http1),
            ("http2", "", 80, Http2),
            ("grpc-api", "", 80, Http2),
            ("GRPC", "", 80, Http2),
            ("grpc-web", "", 80, Http2),
            ("grpc-web-x", "", 80, Http2),
            ("grpcish", "", 80, Http1),
            ("", "", 80, Http1),
            ("", "", 3306, Opaque),
            ("http", "", 3306, Http1),
            ("tcp-db", "", 80, Opaque),
            ("http", "kubernetes.io/h2c", 80, Http2),
            ("grpc", "http", 80, Http1),
            ("x", "grpc", 80, Http2),
            ("grpc", "kubernetes.io/ws", 80, Http1),
            ("https", "", 443, Opaque),
        ] {
            assert_eq!(protocol_of(app_protocol, name, number), expected, "{name} {app_protocol}");
        }
    }
}
