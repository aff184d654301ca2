//! Figures of all workers as one: counters that survive the process that counted, gauges that
//! vanish with it, series that expire when nobody counts them any more. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use fairway_shared::id::WorkerSlot;
use fairway_shared::ipc::message::{Figures, SampleValue};

use super::slot::Millis;

/// How long a series stays after the last worker said that it is over: long enough to be scraped.
const RETIRED_MS: Millis = 5 * 60 * 1000;
/// How long a series stays that ended with its process and was not counted on since.
const ORPHANED_MS: Millis = 60 * 60 * 1000;
/// Series kept; what is named beyond is not counted.
const SERIES_MAX: usize = 200_000;

/// A series: metric name, then label names and values.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Series {
    /// Metric name.
    pub name: String,
    /// Label names and values, in the order of the metric's definition.
    pub labels: Vec<(String, String)>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct FigureStore {
    series: BTreeMap<Arc<Series>, Entry>,
    /// What the numbers of each slot's process mean.
    numbers: BTreeMap<WorkerSlot, BTreeMap<u32, Arc<Series>>>,
}

#[derive(Debug, Default)]
struct Entry {
    /// Of processes that ended, and of series that are over.
    ended: Option<SampleValue>,
    living: BTreeMap<WorkerSlot, SampleValue>,
    /// When it goes, while no worker has it.
    until_ms: Option<Millis>,
}

impl FigureStore {
    /// Part of a report of a slot's process.
    pub fn heard(&mut self, slot: WorkerSlot, figures: Figures, now_ms: Millis) {
        let numbers = self.numbers.entry(slot).or_default();
        for named in figures.defined {
            let series = Arc::new(Series { name: named.name, labels: named.labels });
            if self.series.len() < SERIES_MAX || self.series.contains_key(&series) {
                numbers.insert(named.number, series);
            }
        }
        for (number, value) in figures.samples {
            let Some(series) = numbers.get(&number) else { continue };
            let entry = match self.series.get_mut(series) {
                Some(entry) => entry,
                None => self.series.entry(Arc::clone(series)).or_default(),
            };
            entry.living.insert(slot, value);
            entry.until_ms = None;
        }
        for number in figures.retired {
            let Some(series) = numbers.remove(&number) else { continue };
            end(&mut self.series, &series, slot, now_ms + RETIRED_MS);
        }
    }

    /// The slot's process has ended: what it counted stays, what it measured goes.
    pub fn ended(&mut self, slot: WorkerSlot, now_ms: Millis) {
        for series in self.numbers.remove(&slot).unwrap_or_default().values() {
            end(&mut self.series, series, slot, now_ms + ORPHANED_MS);
        }
    }

    /// Everything, each series once, without what has expired.
    pub fn merged(&mut self, now_ms: Millis) -> BTreeMap<Arc<Series>, SampleValue> {
        self.series.retain(|_, entry| entry.until_ms.is_none_or(|until| now_ms < until));
        let all = self.series.iter();
        all.filter_map(|(series, entry)| Some((Arc::clone(series), entry.sum()?))).collect()
    }
}

/// The slot's share of a series becomes history.
fn end(
    all: &mut BTreeMap<Arc<Series>, Entry>,
    series: &Arc<Series>,
    slot: WorkerSlot,
    until_ms: Millis,
) {
    let Some(entry) = all.get_mut(series) else { return };
    let last = entry.living.remove(&slot);
    if let Some(value) = last.filter(|value| !matches!(value, SampleValue::Gauge(_))) {
        match &mut entry.ended {
            Some(sum) => add(sum, &value),
            None => entry.ended = Some(value),
        }
    }
    if entry.living.is_empty() {
        entry.until_ms = Some(until_ms);
        if entry.ended.is_none() {
            all.remove(series);
        }
    }
}

impl Entry {
    fn sum(&self) -> Option<SampleValue> {
        let mut values = self.ended.iter().chain(self.living.values());
        let mut sum = values.next()?.clone();
        values.for_each(|value| add(&mut sum, value));
        Some(sum)
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
#[path = "figures/tests.rs"]
mod tests;
