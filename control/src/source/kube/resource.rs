//! Under which names the API server serves each kind that is read.

use kube::core::ApiResource;

use crate::source::kinds::Kind;

/// A kind as the API server knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Resource {
    pub(super) kind: Kind,
    pub(super) group: &'static str,
    /// In order of preference; all carry the same schema (Istio contract 0).
    pub(super) versions: &'static [&'static str],
    pub(super) plural: &'static str,
    /// As objects name it.
    pub(super) name: &'static str,
    pub(super) is_namespaced: bool,
}

const ISTIO: &[&str] = &["v1", "v1beta1", "v1alpha3"];

/// The resource of a kind.
pub(super) const fn resource_of(kind: Kind) -> Resource {
    let (group, versions, plural, name): (_, &[&str], _, _) = match kind {
        Kind::Gateway => ("networking.istio.io", ISTIO, "gateways", "Gateway"),
        Kind::VirtualService => ("networking.istio.io", ISTIO, "virtualservices", "VirtualService"),
        Kind::DestinationRule => {
            ("networking.istio.io", ISTIO, "destinationrules", "DestinationRule")
        }
        Kind::ServiceEntry => ("networking.istio.io", ISTIO, "serviceentries", "ServiceEntry"),
        Kind::WorkloadEntry => ("networking.istio.io", ISTIO, "workloadentries", "WorkloadEntry"),
        Kind::Node => ("", &["v1"], "nodes", "Node"),
        Kind::Service => ("", &["v1"], "services", "Service"),
        Kind::Endpoints => ("", &["v1"], "endpoints", "Endpoints"),
        Kind::EndpointSlice => ("discovery.k8s.io", &["v1"], "endpointslices", "EndpointSlice"),
        Kind::Pod => ("", &["v1"], "pods", "Pod"),
        Kind::Secret => ("", &["v1"], "secrets", "Secret"),
        Kind::ConfigMap => ("", &["v1"], "configmaps", "ConfigMap"),
    };
    Resource { kind, group, versions, plural, name, is_namespaced: !matches!(kind, Kind::Node) }
}

/// The kinds that are watched as a whole. Endpoints are left out: the API server mirrors them into
/// slices.
pub(super) const WATCHED: &[Kind] = &[
    Kind::Gateway,
    Kind::VirtualService,
    Kind::DestinationRule,
    Kind::Service,
    Kind::EndpointSlice,
    Kind::Pod,
    Kind::Node,
    Kind::ServiceEntry,
    Kind::WorkloadEntry,
];

impl Resource {
    /// What the client asks for.
    pub(super) fn at(&self, version: &str) -> ApiResource {
        let api_version = match self.group {
            "" => version.to_owned(),
            group => format!("{group}/{version}"),
        };
        ApiResource {
            group: self.group.to_owned(),
            version: version.to_owned(),
            api_version,
            kind: self.name.to_owned(),
            plural: self.plural.to_owned(),
        }
    }

    /// As roles name it: `services`, `gateways.networking.istio.io`.
    pub(super) fn full_name(&self) -> String {
        match self.group {
            "" => self.plural.to_owned(),
            group => format!("{}.{group}", self.plural),
        }
    }
}
