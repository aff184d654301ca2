//! How much of its weight a new endpoint has (Istio contract 3.3, `warmup`). Pure.

use std::time::Duration;

use fairway_shared::snapshot::cluster::{Balancer, Warmup};

/// Weights are multiplied by this before they are reduced, so that small ones can be.
pub const SCALE: u32 = 1_000;

/// The warm-up in force: only round robin and least request have one.
pub fn in_force(warmup: Option<Warmup>, balancer: Balancer) -> Option<Warmup> {
    warmup.filter(|_| matches!(balancer, Balancer::RoundRobin | Balancer::LeastRequest))
}

/// Part of [`SCALE`] that an endpoint of this age has of its weight, at least 1 (Envoy:
/// slow_start).
pub fn factor(warmup: &Warmup, age: Duration) -> u32 {
    let window = Duration::from_millis(warmup.duration_ms.max(1));
    if age >= window {
        return SCALE;
    }
    let time = (age.as_secs_f64() / window.as_secs_f64()).max(0.0);
    let aggression = f64::from(warmup.aggression_thousandths.max(1)) / 1000.0;
    let share = time.powf(1.0 / aggression).max(f64::from(warmup.minimum_pct) / 100.0);
    ((share * f64::from(SCALE)) as u32).clamp(1, SCALE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_grow_from_the_minimum_along_the_curve() {
        let warmup = |aggression_thousandths| Warmup {
            duration_ms: 10_000,
            minimum_pct: 10,
            aggression_thousandths,
        };
        for (aggression, age_ms, expected) in [
            (1_000, 0, 100),
            (1_000, 500, 100),
            (1_000, 5_000, 500),
            (1_000, 10_000, SCALE),
            (1_000, 99_000, SCALE),
            (2_000, 2_500, 500),
            (500, 5_000, 250),
            (0, 9_999, 904),
        ] {
            let found = factor(&warmup(aggression), Duration::from_millis(age_ms));
            assert_eq!(found, expected, "aggression {aggression} at {age_ms} ms");
        }
    }

    #[test]
    fn balancers_that_hash_or_draw_have_no_warmup() {
        let warmup = Warmup { duration_ms: 1, minimum_pct: 10, aggression_thousandths: 1_000 };
        for (balancer, expected) in [
            (Balancer::RoundRobin, true),
            (Balancer::LeastRequest, true),
            (Balancer::Random, false),
            (Balancer::Maglev { table_size: 7 }, false),
        ] {
            assert_eq!(in_force(Some(warmup), balancer).is_some(), expected);
        }
    }
}
