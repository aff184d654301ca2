//! Core Service (Istio contract 4.1).

use std::collections::BTreeMap;

use serde::Deserialize;

/// `spec`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Service {
    /// Pods behind it.
    pub selector: BTreeMap<String, String>,
    /// Its ports.
    pub ports: Vec<ServicePort>,
    /// `ClusterIP`, `NodePort`, `LoadBalancer`, `ExternalName`.
    #[serde(rename = "type")]
    pub type_: String,
    /// Target of an ExternalName.
    pub external_name: String,
    /// `Local` limits it to endpoints of the gateway's node.
    pub internal_traffic_policy: String,
    /// `PreferClose`, `PreferSameZone`, `PreferSameNode`; empty = no preference.
    pub traffic_distribution: String,
}

/// `spec.ports[]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServicePort {
    /// May be empty on a service of one port.
    pub name: String,
    /// `TCP` if empty.
    pub protocol: String,
    /// Names the protocol, before the port's name does.
    pub app_protocol: String,
    /// 1 to 65535.
    pub port: u16,
    /// Number or name; absent = `port`.
    pub target_port: Option<TargetPort>,
}

/// A port of a pod, by number or by name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum TargetPort {
    /// By number.
    Number(u16),
    /// By the container port's name.
    Name(String),
}
