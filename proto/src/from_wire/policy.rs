//! What a cluster does with its endpoints: balancing, locality, limits, ejection.

use fairway_shared::snapshot::cluster::{
    Balancer, Http2Keepalive, Limits, LocalityPolicy, LocalityShare, MAGLEV_TABLE_SIZE_DEFAULT,
    OutlierPolicy, ProxyVersion, RING_SIZE_DEFAULT, RING_SIZE_MAX, RetryBudget, TcpKeepalive,
    Warmup, is_maglev_table_size,
};

use super::check::{At, FieldError, Problem, each, known, named, required, within, within_u16};
use crate::wire;
use wire::locality_policy::Policy;

/// Reads the three fields that make a balancer.
pub(super) fn balancer(kind: i32, ring_size: u32, table_size: u32) -> Result<Balancer, FieldError> {
    let or = |size, default| if size == 0 { default } else { size };
    Ok(match known(kind).at("balancer")? {
        wire::Balancer::Unspecified => {
            return Err(FieldError::from(Problem::Missing)).at("balancer");
        }
        wire::Balancer::Random => Balancer::Random,
        wire::Balancer::RoundRobin => Balancer::RoundRobin,
        wire::Balancer::LeastRequest => Balancer::LeastRequest,
        wire::Balancer::RingHash => {
            let ring_size_min = or(ring_size, RING_SIZE_DEFAULT);
            within(ring_size_min, 1, RING_SIZE_MAX.into()).at("ring_size_min")?;
            Balancer::RingHash { ring_size_min }
        }
        wire::Balancer::Maglev => {
            let table_size = or(table_size, MAGLEV_TABLE_SIZE_DEFAULT);
            if !is_maglev_table_size(table_size) {
                return Err(FieldError::from(Problem::Forbidden)).at("maglev_table_size");
            }
            Balancer::Maglev { table_size }
        }
    })
}

pub(super) fn locality(from: wire::LocalityPolicy) -> Result<LocalityPolicy, FieldError> {
    Ok(match required(from.policy).at("policy")? {
        Policy::Distribute(wire::Distribute { shares }) => {
            LocalityPolicy::Distribute { shares: each("shares", shares, share).at("distribute")? }
        }
        Policy::Failover(wire::Failover { own, region }) => {
            LocalityPolicy::Failover { own, region }
        }
        Policy::FailoverByLabels(wire::FailoverByLabels { labels }) => {
            let label =
                |label: wire::PreferredLabel| Ok((named(label.name).at("name")?, label.value));
            let labels = each("labels", labels, label).at("failover_by_labels")?;
            LocalityPolicy::FailoverByLabels { labels }
        }
    })
}

fn share(from: wire::LocalityShare) -> Result<LocalityShare, FieldError> {
    Ok(LocalityShare {
        locality: named(from.locality).at("locality")?,
        percent: within(from.percent, 1, 100).at("percent")?,
    })
}

pub(super) fn warmup(from: wire::Warmup) -> Result<Warmup, FieldError> {
    let aggression = from.aggression_thousandths;
    Ok(Warmup {
        duration_ms: within(from.duration_ms, 1, u64::MAX).at("duration_ms")?,
        minimum_pct: within(from.minimum_pct, 0, 100).at("minimum_pct")?,
        aggression_thousandths: within(aggression, 1, u32::MAX.into())
            .at("aggression_thousandths")?,
    })
}

pub(super) fn tcp_keepalive(from: wire::TcpKeepalive) -> TcpKeepalive {
    TcpKeepalive {
        probes: from.probes,
        time_secs: from.time_secs,
        interval_secs: from.interval_secs,
    }
}

pub(super) fn http2_keepalive(from: wire::Http2Keepalive) -> Result<Http2Keepalive, FieldError> {
    Ok(Http2Keepalive {
        interval_ms: within(from.interval_ms, 1, u64::MAX).at("interval_ms")?,
        timeout_ms: within(from.timeout_ms, 1, u64::MAX).at("timeout_ms")?,
    })
}

pub(super) fn limits(from: wire::Limits) -> Result<Limits, FieldError> {
    Ok(Limits {
        connections: from.connections,
        pending_requests: from.pending_requests,
        requests: from.requests,
        retries: from.retries,
        retry_budget: from.retry_budget.map(retry_budget).transpose().at("retry_budget")?,
    })
}

fn retry_budget(from: wire::RetryBudget) -> Result<RetryBudget, FieldError> {
    Ok(RetryBudget {
        share_millionths: within(from.share_ppm, 0, 1_000_000).at("share_ppm")?,
        retries_min: from.retries_min,
    })
}

pub(super) fn outlier(from: wire::OutlierPolicy) -> Result<OutlierPolicy, FieldError> {
    let count = |value: Option<u32>| value.map(|n| within(n, 1, u32::MAX.into())).transpose();
    Ok(OutlierPolicy {
        consecutive_errors: count(from.consecutive_errors).at("consecutive_errors")?,
        consecutive_gateway_errors: count(from.consecutive_gateway_errors)
            .at("consecutive_gateway_errors")?,
        consecutive_local_failures: count(from.consecutive_local_failures)
            .at("consecutive_local_failures")?,
        interval_ms: within(from.interval_ms, 1, u64::MAX).at("interval_ms")?,
        base_ejection_ms: within(from.base_ejection_ms, 1, u64::MAX).at("base_ejection_ms")?,
        max_ejection_pct: percent(from.max_ejection_pct).at("max_ejection_pct")?,
        error_statuses: each("error_statuses", from.error_statuses, |status| {
            within_u16(status, 100, 599)
        })?,
    })
}

/// A percentage of at most 100.
pub(super) fn percent(from: u32) -> Result<u8, FieldError> {
    // At most 100, so the narrowing keeps the value.
    Ok(within(from, 0, 100)? as u8)
}

pub(super) fn proxy_version(from: i32) -> Result<Option<ProxyVersion>, FieldError> {
    if from == 0 {
        return Ok(None);
    }
    Ok(match known(from)? {
        wire::ProxyVersion::Unspecified => None,
        wire::ProxyVersion::V1 => Some(ProxyVersion::V1),
        wire::ProxyVersion::V2 => Some(ProxyVersion::V2),
    })
}
