//! `networking.istio.io` ServiceEntry (Istio contract 4.4).

use std::collections::BTreeMap;

use serde::Deserialize;

use super::workload_entry::WorkloadEntry;

/// `spec`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceEntry {
    /// Full names, or `*.suffix`.
    pub hosts: Vec<String>,
    /// Virtual addresses, which a gateway has no use for.
    pub addresses: Vec<String>,
    /// Its ports.
    pub ports: Vec<EntryPort>,
    /// `MESH_EXTERNAL`, `MESH_INTERNAL`.
    pub location: String,
    /// `NONE`, `STATIC`, `DNS`, `DNS_ROUND_ROBIN`.
    pub resolution: String,
    /// Written here; excludes `workload_selector`.
    pub endpoints: Vec<WorkloadEntry>,
    /// WorkloadEntries and pods of its namespace.
    #[serde(alias = "workload_selector")]
    pub workload_selector: Option<EntrySelector>,
    /// Visibility.
    #[serde(alias = "export_to")]
    pub export_to: Vec<String>,
    /// Names of the backend's certificate where a rule lists none.
    #[serde(alias = "subject_alt_names")]
    pub subject_alt_names: Vec<String>,
}

/// `spec.ports[]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EntryPort {
    /// 1 to 65535, unique.
    pub number: u32,
    /// Unique.
    pub name: String,
    /// As of a Gateway server.
    pub protocol: String,
    /// Port of the endpoints; 0 = `number`.
    #[serde(alias = "target_port")]
    pub target_port: u32,
}

/// `spec.workloadSelector`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct EntrySelector {
    /// All must hold.
    pub labels: BTreeMap<String, String>,
}
