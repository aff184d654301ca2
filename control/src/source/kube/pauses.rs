//! How long to wait before an API server is asked again: doubling to a cap, with jitter, so that
//! many controls do not return to a restarted API server all at once.

use std::time::Duration;

use kube::runtime::utils::Backoff;

/// First pause.
const FIRST: Duration = Duration::from_millis(200);
/// Longest pause, before jitter.
const LONGEST: Duration = Duration::from_secs(4);

/// See the module.
#[derive(Debug)]
pub(super) struct Pauses {
    next: Duration,
}

impl Default for Pauses {
    fn default() -> Self {
        Self { next: FIRST }
    }
}

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let pause = self.next;
        self.next = (pause * 2).min(LONGEST);
        Some(pause.mul_f64(0.75 + fastrand::f64() / 2.0))
    }
}

impl Backoff for Pauses {
    fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_the_cap_and_begin_anew_after_a_success() {
        let mut pauses = Pauses::default();
        for expected_ms in [200, 400, 800, 1600, 3200, 4000, 4000] {
            let pause = pauses.next().unwrap();
            let expected = Duration::from_millis(expected_ms);
            assert!(
                pause >= expected.mul_f64(0.75) && pause <= expected.mul_f64(1.25),
                "{pause:?}"
            );
        }
        pauses.reset();
        assert!(pauses.next().unwrap() <= FIRST.mul_f64(1.25));
    }
}
