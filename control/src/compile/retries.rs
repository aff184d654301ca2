//! Retry policies (Istio contract 2.9).

use std::sync::Arc;

use fairway_shared::snapshot::route::{RetryOn, RetryPolicy};

use super::findings::{NOT_IN_FORCE, Scope};
use super::quantities::positive_ms;
use crate::object::virtual_service::Retries;

/// Tries after the first where a route says nothing.
const DEFAULT_ATTEMPTS: u32 = 2;
/// Base of the back-off in milliseconds where a route says nothing.
const DEFAULT_BACKOFF_MS: u32 = 25;
/// Conditions where a route says nothing. The list of status codes is empty, so a plain 503 is
/// not retried.
const DEFAULT_CONDITIONS: [RetryOn; 5] = [
    RetryOn::ConnectFailure,
    RetryOn::RefusedStream,
    RetryOn::Unavailable,
    RetryOn::Cancelled,
    RetryOn::RetriableStatusCodes,
];
/// Conditions that are accepted but never come true.
const CONDITIONS_NOT_IN_FORCE: [&str; 2] = ["retriable-headers", "http3-post-connect-failure"];

/// The policy of a route that has no `retries`.
pub(super) fn default_policy() -> RetryPolicy {
    RetryPolicy {
        attempts: DEFAULT_ATTEMPTS,
        per_try_timeout_ms: None,
        on: DEFAULT_CONDITIONS.to_vec(),
        status_codes: Vec::new(),
        backoff_ms: DEFAULT_BACKOFF_MS,
        ignore_previous_hosts: true,
        remote_localities: false,
    }
}

/// Reads `retries`; `fallback` serves the many routes without. `None` = never retried.
pub(super) fn read_retries(
    retries: Option<&Retries>,
    fallback: Option<&Arc<RetryPolicy>>,
    scope: &mut Scope<'_>,
) -> Option<Arc<RetryPolicy>> {
    let Some(retries) = retries else { return fallback.map(Arc::clone) };
    let attempts = read_attempts(retries, scope)?;
    let mut policy = RetryPolicy {
        attempts,
        per_try_timeout_ms: retries
            .per_try_timeout
            .as_deref()
            .and_then(|text| positive_ms(text, "retries.perTryTimeout", scope)),
        ignore_previous_hosts: retries.retry_ignore_previous_hosts.unwrap_or(true),
        remote_localities: retries.retry_remote_localities == Some(true),
        ..default_policy()
    };
    if let Some(backoff) = &retries.backoff {
        let ms = positive_ms(backoff, "retries.backoff", scope).unwrap_or_default();
        policy.backoff_ms = u32::try_from(ms).unwrap_or(u32::MAX);
    }
    if !retries.retry_on.trim().is_empty() {
        read_conditions(&retries.retry_on, &mut policy, scope);
    }
    Some(Arc::new(policy))
}

fn read_attempts(retries: &Retries, scope: &mut Scope<'_>) -> Option<u32> {
    let says_more = Retries { attempts: 0, ..retries.clone() } != Retries::default();
    match u32::try_from(retries.attempts) {
        Ok(0) if says_more => {
            let remedy = "set attempts, or leave the other fields out";
            scope.invalid("retries.attempts", "is 0, yet other retry fields are set", remedy);
            None
        }
        Ok(0) => None,
        Ok(attempts) => Some(attempts),
        Err(_) => {
            let what = format_args!("is {}, out of range", retries.attempts);
            scope.invalid("retries.attempts", what, "use 0 or more");
            None
        }
    }
}

fn read_conditions(list: &str, policy: &mut RetryPolicy, scope: &mut Scope<'_>) {
    policy.on.clear();
    for token in list.split(',').map(str::trim).filter(|token| !token.is_empty()) {
        let status = token.parse::<u16>().ok().filter(|status| (100..=599).contains(status));
        if let Some(status) = status {
            policy.status_codes.push(status);
            policy.on.push(RetryOn::RetriableStatusCodes);
        } else if let Some(condition) = condition(token) {
            policy.on.push(condition);
        } else if CONDITIONS_NOT_IN_FORCE.contains(&token) {
            let what = format_args!("`{token}` is accepted but not in force yet");
            scope.warn(NOT_IN_FORCE, "retries.retryOn", what, "it causes no retry");
        } else {
            let what = format_args!("holds `{token}`, no known condition");
            scope.invalid("retries.retryOn", what, "use names such as 5xx, reset, or a status");
        }
    }
    let mut seen = Vec::new();
    policy.on.retain(|on| {
        !seen.contains(on) && {
            seen.push(*on);
            true
        }
    });
    policy.status_codes.sort_unstable();
    policy.status_codes.dedup();
}

fn condition(token: &str) -> Option<RetryOn> {
    Some(match token {
        "5xx" => RetryOn::FiveXx,
        "gateway-error" => RetryOn::GatewayError,
        "reset" => RetryOn::Reset,
        "reset-before-request" => RetryOn::ResetBeforeRequest,
        "connect-failure" => RetryOn::ConnectFailure,
        "retriable-4xx" => RetryOn::Retriable4xx,
        "refused-stream" => RetryOn::RefusedStream,
        "retriable-status-codes" => RetryOn::RetriableStatusCodes,
        "envoy-ratelimited" => RetryOn::EnvoyRatelimited,
        "cancelled" => RetryOn::Cancelled,
        "deadline-exceeded" => RetryOn::DeadlineExceeded,
        "internal" => RetryOn::Internal,
        "resource-exhausted" => RetryOn::ResourceExhausted,
        "unavailable" => RetryOn::Unavailable,
        _ => return None,
    })
}
