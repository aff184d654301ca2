//! Clusters as the workers of the pod see them, put together. Pure.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use fairway_shared::ipc::message::{ClusterState, EndpointCounts, EndpointState};
use fairway_shared::snapshot::cluster::Limits;

/// By name.
pub type Clusters = BTreeMap<String, Cluster>;

/// One cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cluster {
    /// Of the whole pod.
    pub limits: Limits,
    /// Counts of all workers added up.
    pub endpoints: BTreeMap<SocketAddr, EndpointState>,
}

/// Adds what one worker tells.
pub fn add(to: &mut Clusters, told: Vec<ClusterState>) {
    for ClusterState { name, limits, endpoints } in told {
        let cluster = to.entry(name).or_default();
        cluster.limits = limits;
        for endpoint in endpoints {
            match cluster.endpoints.get_mut(&endpoint.address) {
                Some(known) => {
                    known.is_ejected |= endpoint.is_ejected;
                    known.counts = sum(known.counts, endpoint.counts);
                }
                None => {
                    cluster.endpoints.insert(endpoint.address, endpoint);
                }
            }
        }
    }
}

fn sum(one: EndpointCounts, other: EndpointCounts) -> EndpointCounts {
    EndpointCounts {
        connections: one.connections + other.connections,
        connects: one.connects + other.connects,
        connect_failures: one.connect_failures + other.connect_failures,
        active: one.active + other.active,
        requests: one.requests + other.requests,
        successes: one.successes + other.successes,
        errors: one.errors + other.errors,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_and_workers_become_one_cluster() {
        let endpoint = |port: u16, requests, is_ejected| EndpointState {
            address: ([10, 0, 0, 1], port).into(),
            weight: 1,
            locality: String::new(),
            priority: 0,
            is_ejected,
            counts: EndpointCounts { requests, successes: requests, ..EndpointCounts::default() },
        };
        let told = |endpoints| {
            vec![ClusterState { name: "c".into(), limits: Limits::default(), endpoints }]
        };
        let mut clusters = Clusters::new();
        add(&mut clusters, told(vec![endpoint(1, 2, false)]));
        add(&mut clusters, told(vec![endpoint(2, 5, false)]));
        add(&mut clusters, told(vec![endpoint(1, 3, true)]));
        let found: Vec<_> = clusters["c"].endpoints.values().cloned().collect();
        assert_eq!(found, [endpoint(1, 5, true), endpoint(2, 5, false)]);
    }
}
