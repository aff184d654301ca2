//! Counts per bucket, as plain numbers of one thread.

use fairway_shared::ipc::message::SampleValue;

/// Counts of observations by upper bound, and their sum.
#[derive(Debug, Clone)]
pub struct Histogram {
    bounds: &'static [f64],
    counts: Box<[u64]>,
    sum: f64,
}

impl Histogram {
    /// Empty, with these upper bounds, ascending.
    pub fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, counts: vec![0; bounds.len() + 1].into(), sum: 0.0 }
    }

    /// Counts one.
    pub fn observe(&mut self, value: f64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        self.counts[bucket] += 1;
        self.sum += value;
    }

    /// As reported.
    pub fn sample(&self) -> SampleValue {
        SampleValue::Histogram { buckets: self.counts.to_vec(), sum: self.sum }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket_and_the_rest_to_the_last() {
        let mut histogram = Histogram::new(&[1.0, 5.0]);
        [0.5, 1.0, 1.1, 5.0, 99.0].into_iter().for_each(|value| histogram.observe(value));
        let expected = SampleValue::Histogram { buckets: vec![2, 2, 1], sum: 106.6 };
        assert_eq!(histogram.sample(), expected);
    }
}
