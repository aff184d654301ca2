//! `discovery.k8s.io` EndpointSlice and core Endpoints (Istio contract 4.2). Their fields stand
//! at the top level of the object, beside `metadata`.

use serde::Deserialize;

/// The label of a slice that names its Service.
pub const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

/// An EndpointSlice without its metadata.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EndpointSlice {
    /// `IPv4`, `IPv6`; `FQDN` is skipped.
    pub address_type: String,
    /// Addresses.
    pub endpoints: Vec<SliceEndpoint>,
    /// Ports that every endpoint offers.
    pub ports: Vec<EndpointPort>,
}

/// `endpoints[]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SliceEndpoint {
    /// At least one.
    pub addresses: Vec<String>,
    /// Absent fields mean ready, not terminating.
    pub conditions: Conditions,
    /// The pod behind it.
    pub target_ref: Option<TargetRef>,
    /// Node of the pod.
    pub node_name: String,
    /// Zone of the node.
    pub zone: String,
}

/// `endpoints[].conditions`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Conditions {
    /// Absent = true.
    pub ready: Option<bool>,
    /// Still able to finish work.
    pub serving: Option<bool>,
    /// Absent = false.
    pub terminating: Option<bool>,
}

/// A reference to a pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct TargetRef {
    /// `Pod`.
    pub kind: String,
    /// Empty = the namespace of the slice.
    pub namespace: String,
    /// Pod name.
    pub name: String,
}

/// A port of an EndpointSlice or an Endpoints subset.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EndpointPort {
    /// Name of the service port; may be empty.
    pub name: String,
    /// Port of the pods.
    pub port: u16,
    /// `TCP` if empty.
    pub protocol: String,
    /// As on the service port.
    pub app_protocol: String,
}

/// An Endpoints object without its metadata; its name is that of its Service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Endpoints {
    /// Addresses × ports.
    pub subsets: Vec<EndpointSubset>,
}

/// `subsets[]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EndpointSubset {
    /// Ready.
    pub addresses: Vec<EndpointAddress>,
    /// Not used.
    pub not_ready_addresses: Vec<EndpointAddress>,
    /// Ports that every address offers.
    pub ports: Vec<EndpointPort>,
}

/// `subsets[].addresses[]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EndpointAddress {
    /// The address.
    pub ip: String,
    /// The pod behind it.
    pub target_ref: Option<TargetRef>,
    /// Node of the pod.
    pub node_name: String,
}
