//! `spec.tls` and `spec.tcp` of a VirtualService (Istio contract 2.11).

use std::collections::BTreeMap;

use serde::Deserialize;

use super::virtual_service::Destination;

/// `spec.tls[]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct TlsRoute {
    /// At least one.
    #[serde(rename = "match")]
    pub matches: Vec<TlsMatch>,
    /// Weighted destinations, at least one.
    pub route: Vec<TcpDestination>,
}

/// `spec.tls[].match[]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TlsMatch {
    /// Server names, exact or `*.suffix`, at least one; the object's hosts cover each.
    #[serde(alias = "sni_hosts")]
    pub sni_hosts: Vec<String>,
    /// Checked, but of no effect on a gateway.
    #[serde(alias = "destination_subnets")]
    pub destination_subnets: Vec<String>,
    /// The Gateway server's port as written; 0 = any.
    pub port: u32,
    /// Of no effect on a gateway.
    #[serde(alias = "source_labels")]
    pub source_labels: BTreeMap<String, String>,
    /// Gateways this entry is limited to.
    pub gateways: Vec<String>,
    /// Of no effect on a gateway.
    #[serde(alias = "source_namespace")]
    pub source_namespace: String,
}

/// `spec.tcp[]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct TcpRoute {
    /// Alternatives; none = unconditional.
    #[serde(rename = "match")]
    pub matches: Vec<TcpMatch>,
    /// Weighted destinations, at least one.
    pub route: Vec<TcpDestination>,
}

/// `spec.tcp[].match[]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TcpMatch {
    /// Checked, but of no effect on a gateway.
    #[serde(alias = "destination_subnets")]
    pub destination_subnets: Vec<String>,
    /// Deprecated; of no effect on a gateway.
    #[serde(alias = "source_subnet")]
    pub source_subnet: String,
    /// The Gateway server's port as written; 0 = any.
    pub port: u32,
    /// Of no effect on a gateway.
    #[serde(alias = "source_labels")]
    pub source_labels: BTreeMap<String, String>,
    /// Gateways this entry is limited to.
    pub gateways: Vec<String>,
    /// Of no effect on a gateway.
    #[serde(alias = "source_namespace")]
    pub source_namespace: String,
}

/// `route[]` of both sections.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct TcpDestination {
    /// Required.
    pub destination: Option<Destination>,
    /// Relative.
    pub weight: i64,
}
