//! `networking.istio.io` WorkloadEntry, by itself or inside a ServiceEntry (Istio contract 4.4).

use std::collections::BTreeMap;

use serde::Deserialize;

/// `spec`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkloadEntry {
    /// IP address or DNS name.
    pub address: String,
    /// Numbers by the names of the service's ports.
    pub ports: BTreeMap<String, u32>,
    /// Matched by subsets and selectors; those of `metadata` come first.
    pub labels: BTreeMap<String, String>,
    /// Network it is in.
    pub network: String,
    /// `region/zone/subzone`.
    pub locality: String,
    /// Relative; 0 = 1.
    pub weight: u32,
    /// Identity, which plays no part.
    #[serde(alias = "service_account")]
    pub service_account: String,
}
