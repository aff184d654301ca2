//! `loadBalancer`: which endpoint is picked (Istio contract 3.3).

use std::sync::Arc;

use fairway_shared::snapshot::cluster::{Balancer, Warmup};
use fairway_shared::snapshot::route::HashKey;

use super::super::findings::{DEPRECATED, DUBIOUS, NOT_IN_FORCE, Scope};
use super::super::quantities::positive_ms;
use super::hash::{read_algorithm, read_key};
use super::locality::{LocalitySetting, read_locality};
use crate::object::traffic_policy::{LoadBalancer, Warmup as WrittenWarmup};

/// Percent of its weight that a new endpoint begins with.
const WARMUP_MINIMUM_PCT: u32 = 10;
/// A curve's exponent in thousandths: linear.
const WARMUP_AGGRESSION: u32 = 1_000;

/// The block, read.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::compile) struct Balancing {
    /// How an endpoint is picked.
    pub(in crate::compile) balancer: Balancer,
    /// What of a request is hashed.
    pub(in crate::compile) hash: Option<Arc<HashKey>>,
    /// Which endpoints come first; `None` = as the Service or the mesh says.
    pub(in crate::compile) locality: Option<LocalitySetting>,
    /// Slow start.
    pub(in crate::compile) warmup: Option<Warmup>,
}

/// Reads the block.
pub(super) fn read(block: &LoadBalancer, scope: &mut Scope<'_>) -> Balancing {
    let simple = read_simple(&block.simple, scope);
    if !block.simple.is_empty() && block.consistent_hash.is_some() {
        scope.invalid("loadBalancer", "sets simple and consistentHash", "keep one");
    }
    let hash = block.consistent_hash.as_ref();
    let balancer = hash.map_or(simple, |hash| read_algorithm(hash, scope));
    let warmup = read_warmup(block, scope);
    let is_eased = matches!(balancer, Balancer::RoundRobin | Balancer::LeastRequest);
    if warmup.is_some() && !is_eased {
        let remedy = "use LEAST_REQUEST or ROUND_ROBIN with it";
        scope.warn(DUBIOUS, "loadBalancer.warmup", "has no effect on this balancer", remedy);
    }
    Balancing {
        balancer,
        hash: hash.and_then(|hash| read_key(hash, scope)),
        locality: read_locality_setting(block, scope),
        warmup: warmup.filter(|_| is_eased),
    }
}

fn read_simple(simple: &str, scope: &mut Scope<'_>) -> Balancer {
    const FIELD: &str = "loadBalancer.simple";
    match simple {
        "" | "UNSPECIFIED" | "LEAST_REQUEST" => Balancer::LeastRequest,
        "ROUND_ROBIN" => Balancer::RoundRobin,
        "RANDOM" => Balancer::Random,
        "LEAST_CONN" => {
            scope.warn(DEPRECATED, FIELD, "LEAST_CONN is deprecated", "use LEAST_REQUEST");
            Balancer::LeastRequest
        }
        "PASSTHROUGH" => {
            let what = "PASSTHROUGH has no meaning on a gateway";
            scope.warn(NOT_IN_FORCE, FIELD, what, "it counts as unset: LEAST_REQUEST");
            Balancer::LeastRequest
        }
        other => {
            let remedy = "use LEAST_REQUEST, ROUND_ROBIN or RANDOM";
            scope.invalid(FIELD, format_args!("`{other}` is unknown"), remedy);
            Balancer::LeastRequest
        }
    }
}

fn read_locality_setting(block: &LoadBalancer, scope: &mut Scope<'_>) -> Option<LocalitySetting> {
    const ZONE_AWARE: &str = "loadBalancer.zoneAwareLbSetting";
    let written = block.locality_lb_setting.as_ref();
    if block.zone_aware_lb_setting.is_none() {
        return written.map(|setting| read_locality(setting, "loadBalancer.", scope));
    }
    if written.is_some() {
        scope.invalid(ZONE_AWARE, "excludes localityLbSetting", "keep one");
    }
    let what = "is treated as locality failover";
    scope.warn(NOT_IN_FORCE, ZONE_AWARE, what, "use localityLbSetting to say it yourself");
    Some(LocalitySetting::default())
}

fn read_warmup(block: &LoadBalancer, scope: &mut Scope<'_>) -> Option<Warmup> {
    let old = block.warmup_duration_secs.as_deref();
    if old.is_some() {
        let field = "loadBalancer.warmupDurationSecs";
        scope.warn(DEPRECATED, field, "is deprecated", "use loadBalancer.warmup.duration");
    }
    let Some(written) = &block.warmup else {
        let duration_ms = positive_ms(old?, "loadBalancer.warmupDurationSecs", scope)?;
        return Some(Warmup {
            duration_ms,
            minimum_pct: WARMUP_MINIMUM_PCT,
            aggression_thousandths: WARMUP_AGGRESSION,
        });
    };
    if old.is_some() {
        let what = "excludes warmupDurationSecs";
        scope.invalid("loadBalancer.warmup", what, "keep warmup");
    }
    let Some(duration) = &written.duration else {
        scope.invalid("loadBalancer.warmup.duration", "is missing", "write a duration");
        return None;
    };
    let duration_ms = positive_ms(duration, "loadBalancer.warmup.duration", scope)?;
    Some(read_curve(duration_ms, written, scope))
}

fn read_curve(duration_ms: u64, written: &WrittenWarmup, scope: &mut Scope<'_>) -> Warmup {
    let percent = written.minimum_percent;
    if percent.is_some_and(|percent| !(0.0..=100.0).contains(&percent)) {
        let what = format_args!("is {}, out of range", percent.unwrap_or_default());
        scope.invalid("loadBalancer.warmup.minimumPercent", what, "use 0 to 100");
    }
    let aggression = written.aggression;
    if aggression.is_some_and(|exponent| !(1.0..=1_000.0).contains(&exponent)) {
        let what = format_args!("is {}, out of range", aggression.unwrap_or_default());
        scope.invalid("loadBalancer.warmup.aggression", what, "use 1 to 1000");
    }
    // Both in range where the scope is not broken.
    Warmup {
        duration_ms,
        minimum_pct: percent.map_or(WARMUP_MINIMUM_PCT, |percent| percent.round() as u32),
        aggression_thousandths: aggression
            .map_or(WARMUP_AGGRESSION, |exponent| (exponent * 1_000.0).round() as u32),
    }
}
