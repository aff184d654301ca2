//! Figures of one destination's requests: found once, then counted without
//! names, hashes or locks.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use fairway_shared::ipc::message::SampleValue;
use fairway_shared::metric::{self, Metric};
use fairway_shared::snapshot::settings::StandardMetric;

use super::destination::Destination;
use super::histogram::Histogram;
use super::labels::{Labels, Shapes};
use super::report::Reporter;
use crate::http::flag::Flags;

/// Outcomes told apart per destination; those beyond are counted as one.
const OUTCOMES_MAX: usize = 64;
/// Label of what is not told apart any more.
const OTHER: &str = "other";

/// What tells two series of one destination apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    /// HTTP status; 0 if the client went away before one was known.
    pub status: u16,
    /// Why.
    pub flags: Flags,
    /// A gRPC request.
    pub is_grpc: bool,
    /// Its `grpc-status`, if it is gRPC and one came.
    pub grpc_status: Option<u16>,
}

/// What is counted of a request that ended.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sizes {
    /// From its head to the last byte of its response.
    pub duration: Duration,
    /// Body bytes from the client.
    pub received_bytes: u64,
    /// Body bytes to the client.
    pub sent_bytes: u64,
    /// gRPC messages from the client.
    pub received_messages: u64,
    /// gRPC messages to the client.
    pub sent_messages: u64,
}

/// The requests of one destination.
#[derive(Debug)]
pub struct DestinationFigures {
    /// Whose.
    pub destination: Destination,
    requests: RefCell<Vec<RequestSeries>>,
    folded: Cell<u64>,
}

#[derive(Debug)]
struct RequestSeries {
    /// `None` = all outcomes beyond the limit.
    outcome: Option<Outcome>,
    /// Values of the labels that settings take from the request.
    extra: Box<[String]>,
    count: u64,
    duration_ms: Histogram,
    received_bytes: Histogram,
    sent_bytes: Histogram,
    received_messages: u64,
    sent_messages: u64,
    reported: Reported,
}

/// What the supervisor knows of a series.
#[derive(Debug, Default)]
struct Reported {
    /// Numbers of its metrics; empty = not told yet.
    numbers: Vec<u32>,
    /// Rises with every change; `told` is where it stood at the last report.
    changes: u64,
    told: u64,
}

impl DestinationFigures {
    /// Nothing counted yet.
    pub fn new(destination: Destination) -> Self {
        Self { destination, requests: RefCell::default(), folded: Cell::default() }
    }

    /// Counts a request that ended. `extra` are the values of labels from the request.
    pub fn record(&self, outcome: Outcome, extra: &[String], sizes: &Sizes) {
        let mut all = self.requests.borrow_mut();
        let is_it = |one: &RequestSeries| one.outcome == Some(outcome) && *one.extra == *extra;
        let at = all.iter().position(is_it).unwrap_or_else(|| {
            let is_full = all.len() >= OUTCOMES_MAX;
            if is_full {
                self.folded.set(self.folded.get() + 1);
            }
            match all.last() {
                Some(last) if last.outcome.is_none() => {}
                _ if is_full => all.push(RequestSeries::new(None, &[])),
                _ => all.push(RequestSeries::new(Some(outcome), extra)),
            }
            all.len() - 1
        });
        all[at].count(sizes);
    }

    /// Requests whose outcome is not told apart.
    pub fn folded(&self) -> u64 {
        self.folded.get()
    }

    /// Tells what changed.
    pub fn report(&self, shapes: &Shapes, to: &mut Reporter) {
        for one in self.requests.borrow_mut().iter_mut().filter(|one| one.reported.is_due()) {
            let values = one.values();
            let (outcome, extra) = (one.outcome, &one.extra);
            let labels =
                |metric| shapes.labels(metric, || self.destination.request(outcome), extra);
            one.reported.report(&REQUEST_METRICS, labels, values, to);
        }
    }

    /// Tells that these series are over, and forgets them.
    pub fn retire(&self, to: &mut Reporter) {
        let told = self.requests.take().into_iter().map(|one| one.reported);
        told.flat_map(|told| told.numbers).for_each(|one| to.retire(one));
    }
}

/// In the order of [`RequestSeries::values`].
const REQUEST_METRICS: [(StandardMetric, Metric); 6] = [
    (StandardMetric::RequestCount, metric::REQUESTS),
    (StandardMetric::RequestDuration, metric::REQUEST_DURATION),
    (StandardMetric::RequestSize, metric::REQUEST_BYTES),
    (StandardMetric::ResponseSize, metric::RESPONSE_BYTES),
    (StandardMetric::GrpcRequestMessages, metric::REQUEST_MESSAGES),
    (StandardMetric::GrpcResponseMessages, metric::RESPONSE_MESSAGES),
];
impl RequestSeries {
    fn new(outcome: Option<Outcome>, extra: &[String]) -> Self {
        let histogram = || Histogram::new(metric::ISTIO_BOUNDS);
        Self {
            outcome,
            extra: extra.into(),
            count: 0,
            duration_ms: histogram(),
            received_bytes: histogram(),
            sent_bytes: histogram(),
            received_messages: 0,
            sent_messages: 0,
            reported: Reported::default(),
        }
    }

    fn count(&mut self, sizes: &Sizes) {
        self.count += 1;
        self.duration_ms.observe(sizes.duration.as_secs_f64() * 1000.0);
        self.received_bytes.observe(sizes.received_bytes as f64);
        self.sent_bytes.observe(sizes.sent_bytes as f64);
        self.received_messages += sizes.received_messages;
        self.sent_messages += sizes.sent_messages;
        self.reported.changes += 1;
    }

    fn values(&self) -> [SampleValue; 6] {
        [
            SampleValue::Counter(self.count),
            self.duration_ms.sample(),
            self.received_bytes.sample(),
            self.sent_bytes.sample(),
            SampleValue::Counter(self.received_messages),
            SampleValue::Counter(self.sent_messages),
        ]
    }
}

impl Outcome {
    /// Values of `request_protocol`, `response_code`, `response_flags` and, for gRPC,
    /// `grpc_response_status`; of what is not told apart, `other`.
    pub(super) fn words(outcome: Option<Self>) -> (&'static str, String, String, Option<String>) {
        let Some(Self { status, flags, is_grpc, grpc_status }) = outcome else {
            return ("http", OTHER.to_owned(), OTHER.to_owned(), None);
        };
        let protocol = if is_grpc { "grpc" } else { "http" };
        let grpc = is_grpc.then(|| grpc_status.map(|s| s.to_string()).unwrap_or_default());
        (protocol, status.to_string(), flags.to_string(), grpc)
    }
}

impl Reported {
    fn is_due(&self) -> bool {
        self.changes != self.told
    }

    /// Counters that are zero are not worth a series: only gRPC has messages.
    fn report<const N: usize>(
        &mut self,
        metrics: &[(StandardMetric, Metric); N],
        labels: impl Fn(StandardMetric) -> Option<Labels>,
        values: [SampleValue; N],
        to: &mut Reporter,
    ) {
        self.told = self.changes;
        if self.numbers.is_empty() {
            self.numbers = vec![Reporter::NONE; N];
        }
        for (((standard, metric), value), number) in
            metrics.iter().zip(values).zip(&mut self.numbers)
        {
            if value == SampleValue::Counter(0) {
                continue;
            }
            if *number == Reporter::NONE {
                let Some(labels) = labels(*standard) else { continue };
                *number = to.define(metric.name, labels);
            }
            to.sample(*number, value);
        }
    }
}

#[cfg(test)]
#[path = "requests_tests.rs"]
mod tests;
