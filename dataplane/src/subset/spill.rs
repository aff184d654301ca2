//! How traffic is divided between priorities, or localities with shares, when some of their
//! endpoints may not be used (Istio contract 3.3, spill-over). Pure.

/// A priority or locality carries its whole load as long as this share of its endpoints is
/// healthy, in percent: 100 / 1.4 (Envoy: overprovisioning_factor).
const OVERPROVISIONING_PCT: u64 = 140;
/// Loads are parts of this.
pub const WHOLE: u32 = 10_000;

/// The endpoints of one priority or locality, by weight or by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    /// Those that may be used.
    pub healthy: u64,
    /// All of them.
    pub all: u64,
}

/// What a priority carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// Part of [`WHOLE`].
    pub share: u32,
    /// All of its endpoints are used, whether healthy or not.
    pub is_panic: bool,
}

/// How much of its load it can carry, as a part of [`WHOLE`].
pub fn capacity(health: Health) -> u32 {
    let possible = health.healthy * OVERPROVISIONING_PCT * u64::from(WHOLE) / 100;
    (possible / health.all.max(1)).min(WHOLE.into()) as u32
}

/// Divides the traffic between priorities, the first first. Below `panic_threshold_pct` healthy
/// endpoints a priority uses all of its endpoints, unless others carry what it cannot.
pub fn loads(priorities: &[Health], panic_threshold_pct: u8) -> Vec<Load> {
    let capacities: Vec<u32> = priorities.iter().map(|health| capacity(*health)).collect();
    let total: u32 = capacities.iter().fold(0, |sum, one| (sum + one).min(WHOLE));
    let is_alone = priorities.len() == 1;
    let is_panic = |health: &Health| {
        let is_below = health.healthy * 100 < health.all * u64::from(panic_threshold_pct);
        is_below && (is_alone || total < WHOLE)
    };
    let mut left = WHOLE;
    let mut loads: Vec<Load> = priorities
        .iter()
        .zip(&capacities)
        .map(|(health, capacity)| {
            // What is missing in all is missing in each.
            let scaled = u64::from(*capacity) * u64::from(WHOLE) / u64::from(total.max(1));
            let share = (scaled as u32).min(left);
            left -= share;
            Load { share, is_panic: is_panic(health) }
        })
        .collect();
    if total == 0 {
        // Nobody is healthy: those who panic share by size.
        let size = |load: &Load, health: &Health| if load.is_panic { health.all } else { 0 };
        let sum: u64 = loads.iter().zip(priorities).map(|(l, h)| size(l, h)).sum();
        for (load, health) in loads.iter_mut().zip(priorities) {
            load.share = (size(load, health) * u64::from(WHOLE) / sum.max(1)) as u32;
        }
    } else if let Some(first) = loads.iter_mut().find(|load| load.share > 0) {
        first.share += left; // lost in rounding
    }
    loads
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(healthy: &[u64], threshold: u8, expected: &[(u32, bool)]) {
        let priorities: Vec<_> =
            healthy.iter().map(|healthy| Health { healthy: *healthy, all: 100 }).collect();
        let found: Vec<_> =
            loads(&priorities, threshold).iter().map(|l| (l.share, l.is_panic)).collect();
        assert_eq!(found, expected, "{healthy:?} at {threshold} %");
    }

    #[test]
    fn the_next_priority_takes_what_the_first_cannot_carry() {
        check(&[100], 0, &[(10_000, false)]);
        check(&[72, 100], 0, &[(10_000, false), (0, false)]);
        check(&[50, 100], 0, &[(7_000, false), (3_000, false)]);
        check(&[0, 100], 0, &[(0, false), (10_000, false)]);
        check(&[25, 25, 100], 0, &[(3_500, false), (3_500, false), (3_000, false)]);
        check(&[25, 25], 0, &[(5_000, false), (5_000, false)]);
        check(&[0, 0], 0, &[(0, false), (0, false)]);
        check(&[10], 0, &[(10_000, false)]);
    }

    #[test]
    fn below_the_threshold_all_endpoints_are_used() {
        check(&[49], 50, &[(10_000, true)]);
        check(&[50], 50, &[(10_000, false)]);
        check(&[0], 1, &[(10_000, true)]);
        check(&[49, 100], 50, &[(6_860, false), (3_140, false)]);
        check(&[25, 25], 50, &[(5_000, true), (5_000, true)]);
        check(&[0, 0], 50, &[(5_000, true), (5_000, true)]);
    }

    proptest! {
        #[test]
        fn all_of_the_traffic_goes_somewhere_if_anybody_is_healthy(
            healthy in proptest::collection::vec(0_u64..=100, 1..6),
            threshold in 0_u8..=100,
        ) {
            let priorities: Vec<_> =
                healthy.iter().map(|healthy| Health { healthy: *healthy, all: 100 }).collect();
            let loads = loads(&priorities, threshold);
            let sum: u32 = loads.iter().map(|load| load.share).sum();
            if healthy.iter().any(|one| *one > 0) {
                prop_assert_eq!(sum, WHOLE);
            }
            for (load, healthy) in loads.iter().zip(&healthy) {
                prop_assert!(load.share == 0 || *healthy > 0 || load.is_panic);
            }
        }
    }
}
