//! When an endpoint is ejected and when it returns (Istio contract 3.5). Pure: who calls it, and
//! where the numbers live, is `cluster/health`'s affair.

use fairway_shared::snapshot::cluster::OutlierPolicy;

/// Longest ejection, in milliseconds, unless the base is longer (Envoy: max_ejection_time).
const EJECTION_MS_MAX: u64 = 300_000;

/// How a request to an endpoint went, as far as its health is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Answered well.
    Success,
    /// Answered with an error.
    Error,
    /// Answered with 502, 503 or 504.
    GatewayError,
    /// Not answered: no connection, reset, timeout.
    LocalFailure,
}

/// Failures in a row, and how often the endpoint was ejected lately. Fits one word.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Streaks {
    /// Of any kind.
    pub errors: u16,
    /// Of the gateway kind.
    pub gateway_errors: u16,
    /// Of our own making.
    pub local_failures: u16,
    /// Rises with each ejection, falls with each quiet sweep.
    pub ejections: u16,
}

impl Streaks {
    /// As one word.
    pub fn to_word(self) -> u64 {
        [self.ejections, self.local_failures, self.gateway_errors, self.errors]
            .into_iter()
            .fold(0, |word, part| word << 16 | u64::from(part))
    }

    /// From what [`Self::to_word`] returned.
    pub fn from_word(word: u64) -> Self {
        let part = |index: u32| (word >> (16 * index)) as u16;
        let (errors, gateway_errors) = (part(0), part(1));
        Self { errors, gateway_errors, local_failures: part(2), ejections: part(3) }
    }

    /// No failure is counted, so that a success changes nothing.
    pub fn is_clean(self) -> bool {
        (self.errors, self.gateway_errors, self.local_failures) == (0, 0, 0)
    }

    fn without_failures(self) -> Self {
        Self { ejections: self.ejections, ..Self::default() }
    }
}

/// What a response's status says of the endpoint.
pub fn of_status(policy: &OutlierPolicy, status: u16) -> Outcome {
    match status {
        _ if !policy.error_statuses.is_empty() => match policy.error_statuses.contains(&status) {
            true => Outcome::Error,
            false => Outcome::Success,
        },
        502..=504 => Outcome::GatewayError,
        500..=599 => Outcome::Error,
        _ => Outcome::Success,
    }
}

/// Counts an outcome. The flag says that a threshold was reached: an ejection is due, and
/// counting begins anew whether it happens or not.
pub fn count(policy: &OutlierPolicy, streaks: Streaks, outcome: Outcome) -> (Streaks, bool) {
    let is_split = policy.consecutive_local_failures.is_some();
    let mut next = streaks;
    let more = |count: u16| count.saturating_add(1);
    match outcome {
        Outcome::Success => return (streaks.without_failures(), false),
        Outcome::LocalFailure if is_split => next.local_failures = more(next.local_failures),
        Outcome::Error => {
            next.errors = more(next.errors);
            (next.gateway_errors, next.local_failures) = (0, 0);
        }
        Outcome::GatewayError | Outcome::LocalFailure => {
            next.errors = more(next.errors);
            next.gateway_errors = more(next.gateway_errors);
            next.local_failures = 0;
        }
    }
    let is_reached = |limit: Option<u32>, count| limit.is_some_and(|n| u32::from(count) >= n);
    let is_due = is_reached(policy.consecutive_errors, next.errors)
        || is_reached(policy.consecutive_gateway_errors, next.gateway_errors)
        || is_reached(policy.consecutive_local_failures, next.local_failures);
    if is_due { (next.without_failures(), true) } else { (next, false) }
}

/// May so many of so many endpoints be ejected at once? The limit is rounded down.
pub fn is_allowed(policy: &OutlierPolicy, ejected: usize, all: usize) -> bool {
    ejected * 100 <= all * usize::from(policy.max_ejection_pct)
}

/// How long an ejection lasts that is the endpoint's `ejections`th lately.
pub fn ejection_ms(policy: &OutlierPolicy, ejections: u16) -> u64 {
    let longest = EJECTION_MS_MAX.max(policy.base_ejection_ms);
    policy.base_ejection_ms.saturating_mul(ejections.max(1).into()).min(longest)
}

/// What a sweep finds: an ejected endpoint returns when its time is over, a quiet one's
/// ejections are forgotten one by one.
pub fn sweep(
    policy: &OutlierPolicy,
    streaks: Streaks,
    ejected_for_ms: Option<u64>,
) -> (Streaks, bool) {
    match ejected_for_ms {
        Some(age_ms) => {
            let is_over = age_ms >= ejection_ms(policy, streaks.ejections);
            (if is_over { streaks.without_failures() } else { streaks }, is_over)
        }
        None => (Streaks { ejections: streaks.ejections.saturating_sub(1), ..streaks }, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Outcome::{Error, GatewayError, LocalFailure, Success};

    fn policy() -> OutlierPolicy {
        OutlierPolicy {
            consecutive_errors: Some(5),
            consecutive_gateway_errors: None,
            consecutive_local_failures: None,
            interval_ms: 10_000,
            base_ejection_ms: 30_000,
            max_ejection_pct: 10,
            error_statuses: vec![],
        }
    }

    /// The number of the outcome at which an ejection is due.
    fn due(policy: &OutlierPolicy, outcomes: &[Outcome]) -> Option<usize> {
        let mut streaks = Streaks::default();
        outcomes.iter().position(|outcome| {
            let (next, is_due) = count(policy, streaks, *outcome);
            streaks = next;
            is_due
        })
    }

    #[test]
    fn only_failures_in_a_row_count() {
        let gateway = OutlierPolicy { consecutive_gateway_errors: Some(2), ..policy() };
        let split = OutlierPolicy { consecutive_local_failures: Some(2), ..policy() };
        let none = OutlierPolicy { consecutive_errors: None, ..policy() };
        for (policy, outcomes, expected) in [
            (&policy(), &[Error; 5][..], Some(4)),
            (&policy(), &[Error, Error, Error, Error, Success, Error], None),
            (&policy(), &[Error, GatewayError, LocalFailure, Error, Error], Some(4)),
            (&gateway, &[GatewayError, Error, GatewayError], None),
            (&gateway, &[GatewayError, LocalFailure], Some(1)),
            (&split, &[LocalFailure, LocalFailure], Some(1)),
            (&split, &[LocalFailure, Error, LocalFailure], None),
            (&split, &[Error, Error, LocalFailure, Error, Error], None),
            (&none, &[GatewayError; 20], None),
        ] {
            assert_eq!(due(policy, outcomes), expected, "{policy:?} {outcomes:?}");
        }
    }

    #[test]
    fn statuses_are_judged_by_the_policy() {
        let own = OutlierPolicy { error_statuses: vec![418, 503], ..policy() };
        for (policy, status, expected) in [
            (&policy(), 200, Success),
            (&policy(), 499, Success),
            (&policy(), 500, Error),
            (&policy(), 503, GatewayError),
            (&own, 418, Error),
            (&own, 503, Error),
            (&own, 500, Success),
        ] {
            assert_eq!(of_status(policy, status), expected, "{status}");
        }
    }

    #[test]
    fn the_share_that_may_be_ejected_is_rounded_down() {
        for (percent, all, most) in [(10, 3, 0), (10, 10, 1), (10, 19, 1), (50, 3, 1), (100, 3, 3)]
        {
            let policy = OutlierPolicy { max_ejection_pct: percent, ..policy() };
            let found = (0..=all).rev().find(|ejected| is_allowed(&policy, *ejected, all));
            assert_eq!(found, Some(most), "{percent} % of {all}");
        }
    }

    #[test]
    fn ejections_grow_longer_up_to_a_limit_and_are_forgotten() {
        let long = OutlierPolicy { base_ejection_ms: 400_000, ..policy() };
        for (policy, ejections, expected) in [
            (&policy(), 1, 30_000),
            (&policy(), 3, 90_000),
            (&policy(), 99, 300_000),
            (&long, 2, 400_000),
        ] {
            assert_eq!(ejection_ms(policy, ejections), expected);
        }
        let twice = Streaks { ejections: 2, errors: 1, ..Streaks::default() };
        assert_eq!(sweep(&policy(), twice, Some(59_999)), (twice, false));
        let back = Streaks { ejections: 2, ..Streaks::default() };
        assert_eq!(sweep(&policy(), twice, Some(60_000)), (back, true));
        assert_eq!(sweep(&policy(), back, None).0.ejections, 1);
    }

    #[test]
    fn streaks_survive_their_word() {
        let streaks =
            Streaks { errors: 1, gateway_errors: u16::MAX, local_failures: 3, ejections: 4 };
        assert_eq!(Streaks::from_word(streaks.to_word()), streaks);
    }
}
