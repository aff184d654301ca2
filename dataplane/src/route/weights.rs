//! Choice by weight with exact proportions over time: a cursor steps through the unit interval by
//! the golden ratio, which spreads any number of steps evenly, and its place is looked up among
//! the cumulative weights. No chance is involved, so small shares do not cluster.

/// 2³² / φ, odd: a full-period step through all 32-bit places.
const STEP: u32 = 0x9E37_79B9;

/// Cumulative weights.
#[derive(Debug, Clone, Default)]
pub struct Weights {
    cumulative: Box<[u64]>,
}

impl Weights {
    /// Weights of zero are never chosen, unless all are zero: then the first is.
    pub fn new(weights: impl IntoIterator<Item = u32>) -> Self {
        let mut sum = 0_u64;
        let cumulative = weights.into_iter().map(|weight| {
            sum += u64::from(weight);
            sum
        });
        Self { cumulative: cumulative.collect() }
    }

    /// The choice at the `step`-th turn; 0 if there is nothing to choose.
    pub fn choose(&self, step: u32) -> usize {
        self.at(step.wrapping_mul(STEP))
    }

    /// The choice at a place of the unit interval, in units of 2⁻³².
    pub fn at(&self, place: u32) -> usize {
        let [.., total] = *self.cumulative else { return 0 };
        if self.cumulative.len() == 1 || total == 0 {
            return 0;
        }
        let place = (u128::from(place) * u128::from(total)) >> 32;
        self.cumulative.partition_point(|upper| u128::from(*upper) <= place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn proportions_are_exact_within_one_in_a_hundred_turns() {
        let weights = Weights::new([90, 0, 9, 1]);
        for start in [0_u32, 12_345, u32::MAX - 50] {
            let mut counts = [0; 4];
            (0..1000).for_each(|turn| counts[weights.choose(start.wrapping_add(turn))] += 1);
            for (count, expected) in counts.iter().zip([900_i32, 0, 90, 10]) {
                assert!((count - expected).abs() <= 3, "from {start}: {counts:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn a_choice_is_always_there_and_never_of_weight_zero(
            weights in proptest::collection::vec(0_u32.., 1..8),
            step: u32,
        ) {
            let chosen = Weights::new(weights.iter().copied()).choose(step);
            prop_assert!(chosen < weights.len());
            prop_assert!(weights[chosen] > 0 || weights.iter().all(|weight| *weight == 0));
        }
    }
}
