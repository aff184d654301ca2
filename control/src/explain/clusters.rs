//! Where a route may send a request, with the objects that made each cluster.

use fairway_proto::{to_wire, wire};
use fairway_shared::id::ClusterId;
use fairway_shared::snapshot::cluster::Endpoint;
use fairway_shared::snapshot::listener::TcpRoute;
use fairway_shared::snapshot::route::Forward;

use super::objects::place;
use super::{Evidence, UNAVAILABLE};
use crate::compile;

/// The clusters of a route's destinations, in the order written.
pub(super) fn explained(evidence: Evidence<'_>, forward: &Forward) -> Vec<wire::ExplainedCluster> {
    weighted(evidence, forward.destinations.iter().map(|to| (&to.cluster, to.weight)))
}

/// The same for bytes.
pub(super) fn of_bytes(evidence: Evidence<'_>, route: &TcpRoute) -> Vec<wire::ExplainedCluster> {
    weighted(evidence, route.destinations.iter().map(|to| (&to.cluster, to.weight)))
}

fn weighted<'e>(
    evidence: Evidence<'_>,
    destinations: impl Iterator<Item = (&'e ClusterId, u32)> + Clone,
) -> Vec<wire::ExplainedCluster> {
    let sum: f64 = destinations.clone().map(|(_, weight)| f64::from(weight)).sum();
    let percent = |weight: u32| 100.0 * f64::from(weight) / sum.max(1.0);
    let cluster = |(id, weight): (&ClusterId, u32)| wire::ExplainedCluster {
        name: id.to_string(),
        subset: id.subset.clone(),
        percent: percent(weight),
        exists: evidence.snapshot.clusters.contains_key(id),
        endpoints: endpoints(evidence, id).into_iter().map(to_wire::endpoint).collect(),
        objects: compile::objects_of(evidence.config, &id.service.host)
            .into_iter()
            .map(place)
            .collect(),
    };
    destinations.map(cluster).collect()
}

fn endpoints<'e>(evidence: Evidence<'e>, id: &ClusterId) -> Vec<&'e Endpoint> {
    let snapshot = evidence.snapshot;
    let (Some(cluster), Some(set)) =
        (snapshot.clusters.get(id), snapshot.endpoints.get(&id.service))
    else {
        return Vec::new();
    };
    set.endpoints.iter().filter(|one| compile::is_subset(&cluster.labels, &one.labels)).collect()
}

/// What happens in one line, and the status if the gateway answers by itself whatever it draws.
pub(super) fn verdict(clusters: &[wire::ExplainedCluster]) -> (String, u32) {
    let fails = |cluster: &wire::ExplainedCluster| cluster.endpoints.is_empty();
    let status = if clusters.iter().all(fails) { UNAVAILABLE } else { 0 };
    let one = |cluster: &wire::ExplainedCluster| match (cluster.exists, cluster.endpoints.len()) {
        (false, _) => format!("503: cluster {} does not exist", cluster.name),
        (true, 0) => format!("503: cluster {} has no ready endpoint", cluster.name),
        (true, 1) => format!("sent to {} (1 endpoint)", cluster.name),
        (true, count) => format!("sent to {} ({count} endpoints)", cluster.name),
    };
    let text = match clusters {
        [only] => one(only),
        several => {
            let shares = several
                .iter()
                .map(|cluster| format!("{} %: {}", round(cluster.percent), one(cluster)));
            shares.collect::<Vec<_>>().join("; ")
        }
    };
    (text, status)
}

fn round(percent: f64) -> f64 {
    (percent * 100.0).round() / 100.0
}
