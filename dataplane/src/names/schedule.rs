//! When a name is asked for again. Pure.

use std::net::IpAddr;
use std::time::Duration;

/// Where an answer says nothing usable of how long it holds, unless the mesh says otherwise.
pub const REFRESH: Duration = Duration::from_secs(60);
/// However short an answer says that it holds.
const REFRESH_MIN: Duration = Duration::from_secs(1);
/// After a first failure; doubles with each further one.
const RETRY_MIN: Duration = Duration::from_secs(1);
/// However often it has failed.
const RETRY_MAX: Duration = Duration::from_secs(60);

/// What asking for a name has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It has these addresses, in the order of the answer.
    Found {
        /// At least one.
        addresses: Vec<IpAddr>,
        /// How long that holds; zero = not said.
        ttl: Duration,
    },
    /// There is no such name, or it has no address.
    Nothing,
    /// Nobody knows.
    Failed,
}

/// How long to wait. `failures` counts those in a row, this one included; `refresh` is for answers
/// that do not say how long they hold (Istio: `dnsRefreshRate`).
pub fn next_after(outcome: &Outcome, failures: u32, refresh: Duration) -> Duration {
    match outcome {
        Outcome::Found { ttl, .. } if ttl.is_zero() => REFRESH_MIN.max(refresh),
        Outcome::Found { ttl, .. } => REFRESH_MIN.max(*ttl),
        Outcome::Nothing | Outcome::Failed => {
            let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
            RETRY_MIN.saturating_mul(doubled).min(RETRY_MAX)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_hold_as_long_as_they_say_and_failures_back_off() {
        let found = |ttl_ms| Outcome::Found {
            addresses: vec![[127, 0, 0, 1].into()],
            ttl: Duration::from_millis(ttl_ms),
        };
        for (outcome, failures, expected_secs) in [
            (found(0), 0, 60),
            (found(10), 0, 1),
            (found(5_000), 0, 5),
            (found(86_400_000), 0, 86_400),
            (Outcome::Failed, 1, 1),
            (Outcome::Failed, 2, 2),
            (Outcome::Nothing, 4, 8),
            (Outcome::Failed, 7, 60),
            (Outcome::Failed, u32::MAX, 60),
        ] {
            let found = next_after(&outcome, failures, REFRESH);
            assert_eq!(found, Duration::from_secs(expected_secs), "{outcome:?} {failures}");
        }
        let own = Duration::from_secs(300);
        assert_eq!(next_after(&found(0), 0, own), own);
        assert_eq!(next_after(&found(5_000), 0, own), Duration::from_secs(5));
    }
}
