//! Figures of all workers as one: counters that survive the process that counted, gauges that
//! vanish with it. Pure.

use std::collections::BTreeMap;

use fairway_shared::id::WorkerSlot;
use fairway_shared::ipc::message::{Figures, Sample, SampleValue};

/// A series: metric name, then label names and values.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Series {
    /// Metric name.
    pub name: String,
    /// Label names and values, in the order of the metric's definition.
    pub labels: Vec<(String, String)>,
}

/// The last figures of living workers, and the sum of what ended ones had counted.
#[derive(Debug, Default)]
pub struct FigureStore {
    living: BTreeMap<WorkerSlot, Figures>,
    ended: BTreeMap<Series, SampleValue>,
}

impl FigureStore {
    /// The newest figures of a slot's process.
    pub fn heard(&mut self, slot: WorkerSlot, figures: Figures) {
        self.living.insert(slot, figures);
    }

    /// The slot's process has ended: what it counted stays, what it measured goes.
    pub fn ended(&mut self, slot: WorkerSlot) {
        for sample in self.living.remove(&slot).unwrap_or_default().samples {
            if !matches!(sample.value, SampleValue::Gauge(_)) {
                merge(&mut self.ended, sample);
            }
        }
    }

    /// Everything, each series once.
    pub fn merged(&self) -> BTreeMap<Series, SampleValue> {
        let mut all = self.ended.clone();
        for figures in self.living.values() {
            for sample in &figures.samples {
                merge(&mut all, sample.clone());
            }
        }
        all
    }
}

fn merge(into: &mut BTreeMap<Series, SampleValue>, sample: Sample) {
    let series = Series { name: sample.name, labels: sample.labels };
    match into.get_mut(&series) {
        Some(sum) => add(sum, &sample.value),
        None => {
            into.insert(series, sample.value);
        }
    }
}

/// Values of different kinds or bucket counts cannot come from one build; such a one is ignored.
fn add(sum: &mut SampleValue, value: &SampleValue) {
    match (sum, value) {
        (SampleValue::Counter(sum), SampleValue::Counter(value)) => {
            *sum = sum.saturating_add(*value);
        }
        (SampleValue::Gauge(sum), SampleValue::Gauge(value)) => *sum += value,
        (
            SampleValue::Histogram { buckets: into, sum },
            SampleValue::Histogram { buckets, sum: more },
        ) if into.len() == buckets.len() => {
            for (count, more) in into.iter_mut().zip(buckets) {
                *count = count.saturating_add(*more);
            }
            *sum += more;
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use SampleValue::{Counter, Gauge, Histogram};
    use proptest::prelude::*;

    const ONE: WorkerSlot = WorkerSlot(0);
    const TWO: WorkerSlot = WorkerSlot(1);

    fn figures<const N: usize>(samples: [(&str, SampleValue); N]) -> Figures {
        let sample = |(name, value): (&str, _)| Sample { name: name.into(), labels: vec![], value };
        Figures { samples: samples.into_iter().map(sample).collect() }
    }

    fn value(store: &FigureStore, name: &str) -> Option<SampleValue> {
        store.merged().get(&Series { name: name.into(), labels: vec![] }).cloned()
    }

    #[test]
    fn workers_are_added_and_the_newest_report_replaces_the_older() {
        let mut store = FigureStore::default();
        store.heard(ONE, figures([("requests", Counter(1))]));
        store.heard(ONE, figures([("requests", Counter(5)), ("open", Gauge(2.0))]));
        store.heard(TWO, figures([("requests", Counter(7)), ("open", Gauge(1.0))]));
        assert_eq!(value(&store, "requests"), Some(Counter(12)));
        assert_eq!(value(&store, "open"), Some(Gauge(3.0)));
    }

    #[test]
    fn counts_survive_their_process_and_gauges_do_not() {
        let histogram = |count, sum| Histogram { buckets: vec![count, 0], sum };
        let mut store = FigureStore::default();
        let first = [("n", Counter(5)), ("g", Gauge(2.0)), ("h", histogram(3, 1.5))];
        store.heard(ONE, figures(first));
        store.ended(ONE);
        assert_eq!(value(&store, "g"), None);
        store.heard(ONE, figures([("n", Counter(1)), ("h", histogram(1, 0.5))]));
        assert_eq!(value(&store, "n"), Some(Counter(6)));
        assert_eq!(value(&store, "h"), Some(histogram(4, 2.0)));
        store.ended(ONE);
        store.ended(ONE);
        assert_eq!(value(&store, "n"), Some(Counter(6)));
    }

    #[test]
    fn values_that_do_not_fit_together_are_ignored() {
        let mut store = FigureStore::default();
        store.heard(
            ONE,
            figures([("a", Counter(5)), ("b", Histogram { buckets: vec![1], sum: 1.0 })]),
        );
        let other = Histogram { buckets: vec![1, 2], sum: 1.0 };
        store.heard(TWO, figures([("a", Gauge(2.0)), ("b", other)]));
        assert_eq!(value(&store, "a"), Some(Counter(5)));
        assert_eq!(value(&store, "b"), Some(Histogram { buckets: vec![1], sum: 1.0 }));
    }

    proptest! {
        /// Each step: a slot's process counts on, or ends and a new one starts from zero.
        #[test]
        fn a_merged_counter_never_goes_back(
            walk in proptest::collection::vec((0..3_u16, proptest::option::of(0..100_u64)), 1..100)
        ) {
            let (mut store, mut counts, mut last) = (FigureStore::default(), [0; 3], 0);
            for (slot, more) in walk {
                let count = &mut counts[usize::from(slot)];
                match more {
                    Some(more) => {
                        *count += more;
                        store.heard(WorkerSlot(slot), figures([("n", Counter(*count))]));
                    }
                    None => {
                        *count = 0;
                        store.ended(WorkerSlot(slot));
                    }
                }
                let now = match value(&store, "n") {
                    Some(Counter(now)) => now,
                    _ => 0,
                };
                prop_assert!(now >= last, "{now} after {last}");
                last = now;
            }
        }
    }
}
