//! `networking.istio.io` DestinationRule (Istio contract 3). Its policies are in
//! [`traffic_policy`](super::traffic_policy).

use std::collections::BTreeMap;

use serde::Deserialize;

use super::traffic_policy::TrafficPolicy;

/// `spec`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DestinationRule {
    /// Service host, short, full or wildcard.
    pub host: String,
    /// Base policy.
    #[serde(alias = "traffic_policy")]
    pub traffic_policy: Option<TrafficPolicy>,
    /// Named label sets.
    pub subsets: Vec<Subset>,
    /// Visibility.
    #[serde(alias = "export_to")]
    pub export_to: Vec<String>,
    /// Limits the rule to pods with these labels in its own namespace.
    #[serde(alias = "workload_selector")]
    pub workload_selector: Option<WorkloadSelector>,
}

/// `spec.workloadSelector`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkloadSelector {
    /// All must hold.
    #[serde(alias = "match_labels")]
    pub match_labels: BTreeMap<String, String>,
}

/// `spec.subsets[]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Subset {
    /// Unique.
    pub name: String,
    /// Pod labels.
    pub labels: BTreeMap<String, String>,
    /// Overrides blocks of the base.
    #[serde(alias = "traffic_policy")]
    pub traffic_policy: Option<TrafficPolicy>,
}
