//! Core Pod: its labels make subsets, its address names endpoints, its ports resolve named
//! target ports.

use serde::Deserialize;

/// `spec` and `status` of a Pod, as far as they are used.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Pod {
    /// `spec`.
    pub spec: PodSpec,
    /// `status`.
    pub status: PodStatus,
}

/// `spec`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    /// Node it runs on.
    pub node_name: String,
    /// Containers.
    pub containers: Vec<Container>,
}

/// `spec.containers[]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Container {
    /// Declared ports.
    pub ports: Vec<ContainerPort>,
}

/// `spec.containers[].ports[]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerPort {
    /// Name that a Service's `targetPort` may use.
    pub name: String,
    /// Number.
    pub container_port: u16,
}

/// `status`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    /// Address.
    #[serde(rename = "podIP")]
    pub pod_ip: String,
}
