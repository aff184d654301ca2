//! Where things run: the locality of the gateway pod and of endpoints, and the labels that come
//! of it (Istio contract 4.3).

use std::collections::BTreeMap;

use super::index::Index;
use super::policy::{GatewayPlace, locality_parts};

/// Synthetic label of the region.
const REGION_LABEL: &str = "topology.kubernetes.io/region";
/// Synthetic label of the zone.
const ZONE_LABEL: &str = "topology.kubernetes.io/zone";
/// Synthetic label of the subzone.
const SUBZONE_LABEL: &str = "topology.istio.io/subzone";
/// Pod label that names a locality, `region.zone.subzone` or with `/`.
const LOCALITY_LABEL: &str = "istio-locality";

/// Where the gateway pod runs.
pub(super) fn of_gateway(index: &Index<'_>) -> GatewayPlace {
    let mut labels: BTreeMap<String, String> = index.pod.labels.clone();
    let written = labels.get(LOCALITY_LABEL).cloned().unwrap_or_default();
    let parts = locality_parts(&written);
    for (name, value) in [REGION_LABEL, ZONE_LABEL, SUBZONE_LABEL].into_iter().zip(parts) {
        if !value.is_empty() {
            labels.insert(name.to_owned(), value.to_owned());
        }
    }
    GatewayPlace { locality: parts.join("/").trim_end_matches('/').to_owned(), labels }
}
