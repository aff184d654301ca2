//! Where things run: the locality of the gateway pod and of endpoints, and the labels that come
//! of it (Istio contract 4.3). Pure.

use std::collections::BTreeMap;

use super::index::Index;
use super::policy::{GatewayPlace, locality_parts};

/// Pod label that names a locality, `region.zone.subzone` or with `/`.
const LOCALITY_LABEL: &str = "istio-locality";
/// Synthetic label.
pub(super) const REGION_LABEL: &str = "topology.kubernetes.io/region";
/// Synthetic label.
pub(super) const ZONE_LABEL: &str = "topology.kubernetes.io/zone";
/// Synthetic label.
const SUBZONE_LABEL: &str = "topology.istio.io/subzone";
/// Synthetic label.
pub(super) const NODE_LABEL: &str = "kubernetes.io/hostname";
/// What Nodes of old clusters carry in place of region and zone.
const OLD_REGION_LABEL: &str = "failure-domain.beta.kubernetes.io/region";
const OLD_ZONE_LABEL: &str = "failure-domain.beta.kubernetes.io/zone";

/// What is known of the place of a workload beside its labels; empty texts are unknown.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Hints<'h> {
    /// Locality that the object itself names.
    pub(super) locality: &'h str,
    /// Node it runs on.
    pub(super) node: &'h str,
    /// Zone that an EndpointSlice names.
    pub(super) zone: &'h str,
}

/// Adds the synthetic labels to those of a workload, and tells its locality.
pub(super) fn place(
    index: &Index<'_>,
    labels: &mut BTreeMap<String, String>,
    hints: Hints<'_>,
) -> String {
    let [region, zone, subzone] = parts(index, labels, hints).map(str::to_owned);
    let locality = [region.as_str(), &zone, &subzone].join("/").trim_end_matches('/').to_owned();
    // A zone whose region is unknown places nothing.
    let locality = if region.is_empty() { String::new() } else { locality };
    for (name, value) in [
        (REGION_LABEL, region),
        (ZONE_LABEL, zone),
        (SUBZONE_LABEL, subzone),
        (NODE_LABEL, hints.node.to_owned()),
    ] {
        if !value.is_empty() {
            labels.insert(name.to_owned(), value);
        }
    }
    locality
}

/// Region, zone and subzone: as the object says, else its label, else its Node's labels, else its
/// slice.
fn parts<'h>(
    index: &Index<'h>,
    labels: &'h BTreeMap<String, String>,
    hints: Hints<'h>,
) -> [&'h str; 3] {
    let written = match hints.locality {
        "" => labels.get(LOCALITY_LABEL).map_or("", String::as_str),
        said => said,
    };
    if !written.is_empty() {
        return locality_parts(written);
    }
    let of_node = index.node_labels(hints.node);
    let node = |names: &[&str]| {
        let found = names.iter().find_map(|name| of_node?.get(*name));
        found.map_or("", String::as_str)
    };
    let zone = match node(&[ZONE_LABEL, OLD_ZONE_LABEL]) {
        "" => hints.zone,
        zone => zone,
    };
    [node(&[REGION_LABEL, OLD_REGION_LABEL]), zone, node(&[SUBZONE_LABEL])]
}

/// Where the gateway pod runs.
pub(super) fn of_gateway(index: &Index<'_>) -> GatewayPlace {
    let pod = index.pod;
    let mut labels = pod.labels.clone();
    let hints = Hints { locality: &pod.locality, node: &pod.node, zone: "" };
    let locality = place(index, &mut labels, hints);
    GatewayPlace { locality, labels }
}
