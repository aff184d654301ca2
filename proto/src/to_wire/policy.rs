//! What a cluster does with its endpoints: balancing, locality, limits, ejection.

use fairway_shared::snapshot::cluster::{
    Balancer, Http2Keepalive, Limits, LocalityPolicy, LocalityShare, OutlierPolicy, ProxyVersion,
    TcpKeepalive, Warmup,
};

use crate::wire;
use wire::locality_policy::Policy;

/// The kind of a balancer, and the sizes of its ring and its Maglev table, 0 where it has none.
pub(super) fn balancer(from: Balancer) -> (wire::Balancer, u32, u32) {
    match from {
        Balancer::Random => (wire::Balancer::Random, 0, 0),
        Balancer::RoundRobin => (wire::Balancer::RoundRobin, 0, 0),
        Balancer::LeastRequest => (wire::Balancer::LeastRequest, 0, 0),
        Balancer::RingHash { ring_size_min } => (wire::Balancer::RingHash, ring_size_min, 0),
        Balancer::Maglev { table_size } => (wire::Balancer::Maglev, 0, table_size),
    }
}

pub(super) fn locality(from: &LocalityPolicy) -> Option<wire::LocalityPolicy> {
    let policy = match from {
        LocalityPolicy::Flat => return None,
        LocalityPolicy::Distribute { shares } => {
            Policy::Distribute(wire::Distribute { shares: shares.iter().map(share).collect() })
        }
        LocalityPolicy::Failover { own, region } => {
            Policy::Failover(wire::Failover { own: own.clone(), region: region.clone() })
        }
        LocalityPolicy::FailoverByLabels { labels } => {
            let label = |(name, value): &(String, String)| wire::PreferredLabel {
                name: name.clone(),
                value: value.clone(),
            };
            let labels = labels.iter().map(label).collect();
            Policy::FailoverByLabels(wire::FailoverByLabels { labels })
        }
    };
    Some(wire::LocalityPolicy { policy: Some(policy) })
}

fn share(from: &LocalityShare) -> wire::LocalityShare {
    wire::LocalityShare { locality: from.locality.clone(), percent: from.percent }
}

pub(super) fn warmup(from: &Warmup) -> wire::Warmup {
    wire::Warmup {
        duration_ms: from.duration_ms,
        minimum_pct: from.minimum_pct,
        aggression_thousandths: from.aggression_thousandths,
    }
}

pub(super) fn tcp_keepalive(from: &TcpKeepalive) -> wire::TcpKeepalive {
    wire::TcpKeepalive {
        probes: from.probes,
        time_secs: from.time_secs,
        interval_secs: from.interval_secs,
    }
}

pub(super) fn http2_keepalive(from: &Http2Keepalive) -> wire::Http2Keepalive {
    wire::Http2Keepalive { interval_ms: from.interval_ms, timeout_ms: from.timeout_ms }
}

pub(super) fn limits(from: &Limits) -> Option<wire::Limits> {
    let budget = from.retry_budget.map(|budget| wire::RetryBudget {
        share_ppm: budget.share_millionths,
        retries_min: budget.retries_min,
    });
    (*from != Limits::default()).then_some(wire::Limits {
        connections: from.connections,
        pending_requests: from.pending_requests,
        requests: from.requests,
        retries: from.retries,
        retry_budget: budget,
    })
}

pub(super) fn outlier(from: &OutlierPolicy) -> wire::OutlierPolicy {
    wire::OutlierPolicy {
        consecutive_errors: from.consecutive_errors,
        consecutive_gateway_errors: from.consecutive_gateway_errors,
        consecutive_local_failures: from.consecutive_local_failures,
        interval_ms: from.interval_ms,
        base_ejection_ms: from.base_ejection_ms,
        max_ejection_pct: from.max_ejection_pct.into(),
        error_statuses: from.error_statuses.iter().map(|status| u32::from(*status)).collect(),
    }
}

pub(super) fn proxy_version(from: Option<ProxyVersion>) -> wire::ProxyVersion {
    match from {
        None => wire::ProxyVersion::Unspecified,
        Some(ProxyVersion::V1) => wire::ProxyVersion::V1,
        Some(ProxyVersion::V2) => wire::ProxyVersion::V2,
    }
}
