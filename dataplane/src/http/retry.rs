//! Whether and when a request is tried again (Istio contract 2.9). Pure.

use std::time::Duration;

use fairway_shared::snapshot::route::{RetryOn, RetryPolicy};
use http::{HeaderMap, StatusCode};

use super::reply::ProxyError;
use super::response::grpc_status;

/// Longest back-off, as a multiple of the base.
const BACKOFF_CAP: u32 = 10;

/// How a try ended.
#[derive(Debug, Clone, Copy)]
pub enum TryEnd<'a> {
    /// Without a response.
    Failed(ProxyError),
    /// With this response head.
    Answered(StatusCode, &'a HeaderMap),
}

/// Does the policy want another try after one that ended like this? The number of tries and
/// whether the body is still there is the caller's affair.
pub fn is_wanted(policy: &RetryPolicy, end: TryEnd<'_>) -> bool {
    policy.on.iter().any(|condition| matches(*condition, policy, end))
}

/// May the policy want a try after the request was sent, so that a copy must be kept? Conditions
/// on gRPC statuses need gRPC, refused streams an HTTP/2 upstream.
pub fn may_follow_sending(policy: &RetryPolicy, is_grpc: bool, is_http2: bool) -> bool {
    policy.on.iter().any(|condition| match condition {
        RetryOn::ConnectFailure | RetryOn::ResetBeforeRequest => false,
        RetryOn::RetriableStatusCodes => !policy.status_codes.is_empty(),
        RetryOn::Cancelled
        | RetryOn::DeadlineExceeded
        | RetryOn::Internal
        | RetryOn::ResourceExhausted
        | RetryOn::Unavailable => is_grpc,
        RetryOn::RefusedStream => is_http2,
        RetryOn::FiveXx
        | RetryOn::GatewayError
        | RetryOn::Reset
        | RetryOn::Retriable4xx
        | RetryOn::EnvoyRatelimited => true,
    })
}

fn matches(condition: RetryOn, policy: &RetryPolicy, end: TryEnd<'_>) -> bool {
    match end {
        TryEnd::Failed(error) => matches_failure(condition, error),
        TryEnd::Answered(status, headers) => {
            let code = status.as_u16();
            let grpc = || grpc_status(headers);
            match condition {
                RetryOn::FiveXx => status.is_server_error(),
                RetryOn::GatewayError => matches!(code, 502..=504),
                RetryOn::Retriable4xx => code == 409,
                RetryOn::RetriableStatusCodes => policy.status_codes.contains(&code),
                RetryOn::EnvoyRatelimited => headers.contains_key("x-envoy-ratelimited"),
                RetryOn::Cancelled => grpc() == Some(1),
                RetryOn::DeadlineExceeded => grpc() == Some(4),
                RetryOn::ResourceExhausted => grpc() == Some(8),
                RetryOn::Internal => grpc() == Some(13),
                RetryOn::Unavailable => grpc() == Some(14),
                RetryOn::Reset
                | RetryOn::ResetBeforeRequest
                | RetryOn::ConnectFailure
                | RetryOn::RefusedStream => false,
            }
        }
    }
}

fn matches_failure(condition: RetryOn, error: ProxyError) -> bool {
    let is_connect = matches!(
        error,
        ProxyError::ConnectFailed | ProxyError::ConnectTimedOut | ProxyError::TlsFailed(_)
    );
    let is_upstream = is_connect
        || matches!(
            error,
            ProxyError::UpstreamClosed
                | ProxyError::UpstreamReset
                | ProxyError::UpstreamRefused
                | ProxyError::UpstreamProtocol
                | ProxyError::TryTimedOut
        );
    match condition {
        RetryOn::FiveXx | RetryOn::GatewayError | RetryOn::Reset => is_upstream,
        RetryOn::ConnectFailure | RetryOn::ResetBeforeRequest => is_connect,
        RetryOn::RefusedStream => error == ProxyError::UpstreamRefused,
        RetryOn::Retriable4xx
        | RetryOn::RetriableStatusCodes
        | RetryOn::EnvoyRatelimited
        | RetryOn::Cancelled
        | RetryOn::DeadlineExceeded
        | RetryOn::Internal
        | RetryOn::ResourceExhausted
        | RetryOn::Unavailable => false,
    }
}

/// How long to wait before try number `retry` (1 is the first repetition): exponential with full
/// jitter; `chance` is in `0.0..1.0`.
pub fn backoff(policy: &RetryPolicy, retry: u32, chance: f64) -> Duration {
    let base = u64::from(policy.backoff_ms.max(1));
    let doubled = base.saturating_mul(1 << retry.saturating_sub(1).min(16));
    let longest = doubled.min(base * u64::from(BACKOFF_CAP));
    Duration::from_millis(longest).mul_f64(chance.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(on: &[RetryOn]) -> RetryPolicy {
        RetryPolicy {
            attempts: 2,
            per_try_timeout_ms: None,
            on: on.to_vec(),
            status_codes: vec![418],
            backoff_ms: 25,
            ignore_previous_hosts: true,
            remote_localities: false,
        }
    }

    #[test]
    fn each_condition_takes_its_ends_and_no_others() {
        use RetryOn::*;
        let failures = [
            ProxyError::ConnectFailed,
            ProxyError::UpstreamClosed,
            ProxyError::UpstreamRefused,
            ProxyError::TryTimedOut,
            ProxyError::TimedOut,
        ];
        for (condition, expected) in [
            (FiveXx, [true, true, true, true, false]),
            (Reset, [true, true, true, true, false]),
            (GatewayError, [true, true, true, true, false]),
            (ConnectFailure, [true, false, false, false, false]),
            (RefusedStream, [false, false, true, false, false]),
            (RetriableStatusCodes, [false; 5]),
        ] {
            let policy = policy(&[condition]);
            let found = failures.map(|error| is_wanted(&policy, TryEnd::Failed(error)));
            assert_eq!(found, expected, "{condition:?}");
        }
        let answers = [200, 409, 418, 500, 503].map(|code| StatusCode::from_u16(code).unwrap());
        for (condition, expected) in [
            (FiveXx, [false, false, false, true, true]),
            (GatewayError, [false, false, false, false, true]),
            (Retriable4xx, [false, true, false, false, false]),
            (RetriableStatusCodes, [false, false, true, false, false]),
            (Reset, [false; 5]),
            (ConnectFailure, [false; 5]),
        ] {
            let (policy, headers) = (policy(&[condition]), HeaderMap::new());
            let found = answers.map(|code| is_wanted(&policy, TryEnd::Answered(code, &headers)));
            assert_eq!(found, expected, "{condition:?}");
        }
    }

    #[test]
    fn a_copy_is_kept_only_where_a_condition_can_hold_after_sending() {
        let default =
            policy(&[RetryOn::ConnectFailure, RetryOn::RefusedStream, RetryOn::Unavailable]);
        for (is_grpc, is_http2, expected) in
            [(false, false, false), (true, false, true), (false, true, true)]
        {
            assert_eq!(may_follow_sending(&default, is_grpc, is_http2), expected);
        }
    }

    #[test]
    fn grpc_statuses_are_looked_at_in_the_head() {
        let headers: HeaderMap =
            [("grpc-status".parse().unwrap(), "14".parse().unwrap())].into_iter().collect();
        let end = TryEnd::Answered(StatusCode::OK, &headers);
        assert!(is_wanted(&policy(&[RetryOn::Unavailable]), end));
        assert!(!is_wanted(&policy(&[RetryOn::Cancelled]), end));
    }

    #[test]
    fn waits_double_up_to_the_cap() {
        let waits = [1, 2, 3, 4, 5, 60].map(|retry| backoff(&policy(&[]), retry, 1.0).as_millis());
        assert_eq!(waits, [25, 50, 100, 200, 250, 250]);
        assert_eq!(backoff(&policy(&[]), 3, 0.0), Duration::ZERO);
    }
}
