use super::*;
use SampleValue::{Counter, Gauge, Histogram};
use fairway_shared::ipc::message;
use proptest::prelude::*;

const ONE: WorkerSlot = WorkerSlot(0);
const TWO: WorkerSlot = WorkerSlot(1);

/// A report that names each series anew, as a process that just started does.
fn figures<const N: usize>(samples: [(&str, SampleValue); N]) -> Figures {
    let mut figures = Figures::default();
    for (number, (name, value)) in (0..).zip(samples) {
        let labels = vec![];
        figures.defined.push(message::Series { number, name: name.into(), labels });
        figures.samples.push((number, value));
    }
    figures
}

fn later(samples: Vec<(u32, SampleValue)>) -> Figures {
    Figures { samples, ..Figures::default() }
}

fn value(store: &mut FigureStore, name: &str) -> Option<SampleValue> {
    value_at(store, name, 0)
}

fn value_at(store: &mut FigureStore, name: &str, now_ms: Millis) -> Option<SampleValue> {
    store.merged(now_ms).get(&Series { name: name.into(), labels: vec![] }).cloned()
}

#[test]
fn workers_are_added_and_a_report_changes_only_what_it_tells() {
    let mut store = FigureStore::default();
    store.heard(ONE, figures([("requests", Counter(1)), ("open", Gauge(2.0))]), 0);
    store.heard(ONE, later(vec![(0, Counter(5)), (7, Counter(9))]), 0);
    store.heard(TWO, figures([("requests", Counter(7)), ("open", Gauge(1.0))]), 0);
    assert_eq!(value(&mut store, "requests"), Some(Counter(12)));
    assert_eq!(value(&mut store, "open"), Some(Gauge(3.0)));
}

#[test]
fn counts_survive_their_process_and_gauges_do_not() {
    let histogram = |count, sum| Histogram { buckets: vec![count, 0], sum };
    let mut store = FigureStore::default();
    let first = [("n", Counter(5)), ("g", Gauge(2.0)), ("h", histogram(3, 1.5))];
    store.heard(ONE, figures(first), 0);
    store.ended(ONE, 0);
    assert_eq!(value(&mut store, "g"), None);
    store.heard(ONE, figures([("n", Counter(1)), ("h", histogram(1, 0.5))]), 0);
    assert_eq!(value(&mut store, "n"), Some(Counter(6)));
    assert_eq!(value(&mut store, "h"), Some(histogram(4, 2.0)));
    store.ended(ONE, 0);
    store.ended(ONE, 0);
    assert_eq!(value(&mut store, "n"), Some(Counter(6)));
}

#[test]
fn a_series_expires_once_every_worker_is_done_with_it() {
    let mut store = FigureStore::default();
    store.heard(ONE, figures([("n", Counter(5))]), 0);
    store.heard(TWO, figures([("n", Counter(2))]), 0);
    let retired = || Figures { retired: vec![0], ..Figures::default() };
    store.heard(ONE, retired(), 10);
    assert_eq!(value_at(&mut store, "n", RETIRED_MS * 2), Some(Counter(7)));
    store.heard(TWO, retired(), 20);
    assert_eq!(value_at(&mut store, "n", 19 + RETIRED_MS), Some(Counter(7)));
    assert_eq!(value_at(&mut store, "n", 20 + RETIRED_MS), None);
}

#[test]
fn a_series_that_comes_back_goes_on_where_it_was() {
    let mut store = FigureStore::default();
    store.heard(ONE, figures([("n", Counter(5))]), 0);
    store.ended(ONE, 0);
    assert_eq!(value_at(&mut store, "n", ORPHANED_MS - 1), Some(Counter(5)));
    store.heard(ONE, figures([("n", Counter(1))]), ORPHANED_MS - 1);
    assert_eq!(value_at(&mut store, "n", ORPHANED_MS * 2), Some(Counter(6)));
}

#[test]
fn values_that_do_not_fit_together_are_ignored() {
    let mut store = FigureStore::default();
    let first = [("a", Counter(5)), ("b", Histogram { buckets: vec![1], sum: 1.0 })];
    store.heard(ONE, figures(first), 0);
    let other = Histogram { buckets: vec![1, 2], sum: 1.0 };
    store.heard(TWO, figures([("a", Gauge(2.0)), ("b", other)]), 0);
    assert_eq!(value(&mut store, "a"), Some(Counter(5)));
    assert_eq!(value(&mut store, "b"), Some(Histogram { buckets: vec![1], sum: 1.0 }));
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
                    store.heard(WorkerSlot(slot), figures([("n", Counter(*count))]), 0);
                }
                None => {
                    *count = 0;
                    store.ended(WorkerSlot(slot), 0);
                }
            }
            let now = match value(&mut store, "n") {
                Some(Counter(now)) => now,
                _ => 0,
            };
            prop_assert!(now >= last, "{now} after {last}");
            last = now;
        }
    }
}
