//! From the port number in a Gateway to the port the gateway pod listens on, through the
//! Services in front of that pod (Istio contract 1.5). Pure.

use super::index::{Index, Named, is_subset};
use crate::object::service::{Service, ServicePort, TargetPort};

/// Label of a Service whose ports are not translated.
const NO_TRANSLATION_LABEL: &str = "experimental.istio.io/disable-gateway-port-translation";

/// The Services that select the gateway pod.
pub(super) struct GatewayServices<'a> {
    services: Vec<Named<'a, Service>>,
}

impl<'a> GatewayServices<'a> {
    /// Finds them, in age order.
    pub(super) fn find(index: &Index<'a>) -> Self {
        let selects_pod = |service: &&Named<'a, Service>| {
            service.object.meta.namespace == index.pod.namespace
                && !service.spec.selector.is_empty()
                && is_subset(&service.spec.selector, &index.pod.labels)
        };
        Self { services: index.services.iter().filter(selects_pod).copied().collect() }
    }

    /// The port to listen on for a Gateway's number: the target port of the first Service that
    /// has that number among its ports, else the number as written.
    pub(super) fn resolve(&self, index: &Index<'_>, written: u16) -> u16 {
        let translating = self.services.iter().filter(|service| translates(service));
        let found = translating
            .flat_map(|service| service.spec.ports.iter().map(move |port| (service, port)));
        let mut matching = found.filter(|(_, port)| port.port == written);
        let target = matching.next().and_then(|(service, port)| target(index, service, port));
        target.unwrap_or(written)
    }

    /// Is the number a port or a target port of one of these Services? True if there are none,
    /// since then nothing can be said.
    pub(super) fn offer(&self, index: &Index<'_>, written: u16) -> bool {
        let mut ports = self
            .services
            .iter()
            .flat_map(|service| service.spec.ports.iter().map(move |port| (service, port)));
        self.services.is_empty()
            || ports.any(|(service, port)| {
                port.port == written || target(index, service, port) == Some(written)
            })
    }
}

fn translates(service: &Named<'_, Service>) -> bool {
    !service.object.meta.labels.contains_key(NO_TRANSLATION_LABEL)
}

/// The numeric target port; a name is looked up in the first pod behind the Service that
/// declares it.
fn target(index: &Index<'_>, service: &Named<'_, Service>, port: &ServicePort) -> Option<u16> {
    let name = match &port.target_port {
        None | Some(TargetPort::Number(0)) => return Some(port.port),
        Some(TargetPort::Number(number)) => return Some(*number),
        Some(TargetPort::Name(name)) => name,
    };
    if let Ok(number) = name.parse() {
        return Some(number);
    }
    let behind = index.pods.iter().filter(|pod| {
        pod.object.meta.namespace == service.object.meta.namespace
            && is_subset(&service.spec.selector, &pod.object.meta.labels)
    });
    let mut ports = behind.flat_map(|pod| &pod.spec.spec.containers).flat_map(|c| &c.ports);
    ports.find(|declared| declared.name == *name).map(|declared| declared.container_port)
}
