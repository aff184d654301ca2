//! `outlierDetection`: when an endpoint is ejected (Istio contract 3.5).

use fairway_shared::snapshot::cluster::OutlierPolicy;

use super::super::findings::{DEPRECATED, DUBIOUS, Scope};
use super::super::quantities::positive_ms;
use crate::object::traffic_policy::OutlierDetection;

/// Errors in a row where a rule does not say; of the gateway's own making too.
const CONSECUTIVE_ERRORS: u32 = 5;
/// Between sweeps, in milliseconds.
const INTERVAL_MS: u64 = 10_000;
/// Of the first ejection, in milliseconds.
const BASE_EJECTION_MS: u64 = 30_000;
/// Of all endpoints.
const MAX_EJECTION_PCT: u8 = 10;

/// The block, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::compile) struct Outlier {
    /// When an endpoint is ejected.
    pub(in crate::compile) policy: OutlierPolicy,
    /// `minHealthPercent`.
    pub(in crate::compile) panic_threshold_pct: u8,
}

/// Reads the block.
pub(super) fn read(block: &OutlierDetection, scope: &mut Scope<'_>) -> Outlier {
    if block.consecutive_errors.is_some() {
        let field = "outlierDetection.consecutiveErrors";
        let what = "is deprecated and without effect";
        scope.warn(DEPRECATED, field, what, "use consecutiveGatewayErrors or consecutive5xxErrors");
    }
    let errors = block.consecutive_5xx_errors.unwrap_or(CONSECUTIVE_ERRORS);
    let gateway_errors = block.consecutive_gateway_errors.unwrap_or_default();
    if errors > 0 && gateway_errors >= errors {
        let field = "outlierDetection.consecutiveGatewayErrors";
        let what = format_args!("is {gateway_errors}, not below consecutive5xxErrors ({errors})");
        scope.warn(DUBIOUS, field, what, "it has no effect: lower it");
    }
    let duration = |text: &Option<String>, field: &str, default, scope: &mut Scope<'_>| {
        let ms = text.as_deref().and_then(|text| positive_ms(text, field, scope));
        ms.unwrap_or(default)
    };
    let base = &block.base_ejection_time;
    let policy = OutlierPolicy {
        consecutive_errors: (errors > 0).then_some(errors),
        consecutive_gateway_errors: (gateway_errors > 0).then_some(gateway_errors),
        consecutive_local_failures: read_local(block, scope),
        interval_ms: duration(&block.interval, "outlierDetection.interval", INTERVAL_MS, scope),
        base_ejection_ms: duration(
            base,
            "outlierDetection.baseEjectionTime",
            BASE_EJECTION_MS,
            scope,
        ),
        max_ejection_pct: match read_percent(
            block.max_ejection_percent,
            "maxEjectionPercent",
            scope,
        ) {
            0 => MAX_EJECTION_PCT,
            percent => percent,
        },
        error_statuses: read_statuses(&block.outlier_detection_http_error_codes, scope),
    };
    let panic_threshold_pct = read_percent(block.min_health_percent, "minHealthPercent", scope);
    Outlier { policy, panic_threshold_pct }
}

/// Counted apart only if asked for; an explicit zero is not counted at all.
fn read_local(block: &OutlierDetection, scope: &mut Scope<'_>) -> Option<u32> {
    let written = block.consecutive_local_origin_failures;
    if !block.split_external_local_origin_errors {
        if written.is_some_and(|count| count > 0) {
            let field = "outlierDetection.consecutiveLocalOriginFailures";
            let remedy = "set splitExternalLocalOriginErrors too";
            scope.invalid(field, "needs splitExternalLocalOriginErrors", remedy);
        }
        return None;
    }
    match written.unwrap_or(CONSECUTIVE_ERRORS) {
        // Apart and never enough: what the endpoint answers is all that counts.
        0 => Some(u32::MAX),
        count => Some(count),
    }
}

fn read_percent(written: u32, field: &str, scope: &mut Scope<'_>) -> u8 {
    match u8::try_from(written) {
        Ok(percent) if percent <= 100 => percent,
        _ => {
            let field = format!("outlierDetection.{field}");
            scope.invalid(&field, format_args!("is {written}, out of range"), "use 0 to 100");
            0
        }
    }
}

fn read_statuses(written: &[u32], scope: &mut Scope<'_>) -> Vec<u16> {
    let mut statuses = Vec::with_capacity(written.len());
    for status in written {
        match u16::try_from(*status) {
            Ok(status) if (100..=599).contains(&status) => statuses.push(status),
            _ => {
                let field = "outlierDetection.outlierDetectionHttpErrorCodes";
                let what = format_args!("holds {status}, no HTTP status");
                scope.invalid(field, what, "use 100 to 599");
            }
        }
    }
    statuses.sort_unstable();
    statuses.dedup();
    statuses
}
