//! What a worker tells the supervisor: a series is named once and has a number from then on, and
//! only what changed is told. Also listeners, as people see them.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use fairway_shared::ipc::message::{BoundListener, Figures, SampleValue, Series, WorkerSettings};
use fairway_shared::metric;
use fairway_shared::snapshot::Snapshot;

use super::labels::Labels;
use crate::cluster::handle::ClusterHandle;
use crate::cluster::limits::Count;
use crate::listener::refusals::Refusals;
use crate::tls::accept::HandshakeFigures;
use crate::worker::apply::wanted;

/// Upper bounds of `fairway_snapshot_apply_seconds`.
pub const APPLY_BOUNDS: &[f64] = match metric::SNAPSHOT_APPLY.kind {
    metric::Kind::Histogram(bounds) => bounds,
    _ => &[],
};
/// A part of a report ends at about this size, in bytes, well below what a frame may hold.
const PART_BYTES: usize = 256 * 1024;
/// What a label weighs on the wire beside its texts, and a sample at most.
const LABEL_BYTES: usize = 4;
const SAMPLE_BYTES: usize = 24;
const BUCKET_BYTES: usize = 5;

/// Puts reports together, one after the other.
#[derive(Debug, Default)]
pub struct Reporter {
    next: u32,
    named: BTreeMap<(String, Labels), Named>,
    round: u64,
    parts: Vec<Figures>,
    bytes: usize,
}

/// A series that is found by its name at each report: there are few of them.
#[derive(Debug)]
struct Named {
    number: u32,
    value: SampleValue,
    round: u64,
}

impl Reporter {
    /// No series has this number.
    pub const NONE: u32 = u32::MAX;

    /// Names a series; its number from now on.
    pub fn define(&mut self, name: &str, labels: Labels) -> u32 {
        let texts = labels.iter().map(|(name, value)| name.len() + value.len() + LABEL_BYTES);
        let bytes = name.len() + texts.sum::<usize>();
        let number = self.next;
        // Four billion series later the worker is not of this world any more.
        self.next = self.next.saturating_add(1).min(Self::NONE - 1);
        self.part(bytes).defined.push(Series { number, name: name.to_owned(), labels });
        number
    }

    /// The value of a series that changed.
    pub fn sample(&mut self, number: u32, value: SampleValue) {
        let buckets = match &value {
            SampleValue::Histogram { buckets, .. } => buckets.len(),
            _ => 0,
        };
        self.part(SAMPLE_BYTES + buckets * BUCKET_BYTES).samples.push((number, value));
    }

    /// A series is over.
    pub fn retire(&mut self, number: u32) {
        if number != Self::NONE {
            self.part(LABEL_BYTES).retired.push(number);
        }
    }

    /// A series that is found by its name. One that is not pushed for a whole report is over.
    pub fn push(&mut self, name: &str, labels: Labels, value: SampleValue) {
        let key = (name.to_owned(), labels);
        if let Some(known) = self.named.get_mut(&key) {
            known.round = self.round;
            if known.value != value {
                known.value = value.clone();
                let number = known.number;
                self.sample(number, value);
            }
            return;
        }
        let number = self.define(name, key.1.clone());
        self.sample(number, value.clone());
        self.named.insert(key, Named { number, value, round: self.round });
    }

    /// A level, found by its name.
    pub fn gauge(&mut self, name: &str, labels: Labels, value: f64) {
        self.push(name, labels, SampleValue::Gauge(value));
    }

    /// One bound address.
    pub fn listener(&mut self, bound: SocketAddr, connections: usize) {
        let labels = vec![("listener".to_owned(), bound.to_string())];
        self.gauge(metric::DOWNSTREAM_CONNECTIONS.name, labels, connections as f64);
    }

    /// What happened to a cluster; what never did is left out.
    pub fn cluster_tally(&mut self, cluster: &ClusterHandle) {
        let name = ("cluster".to_owned(), cluster.id.to_string());
        let tally = &cluster.tally;
        for (metric, count) in [
            (metric::UPSTREAM_CONNECTS, tally.connects.get()),
            (metric::UPSTREAM_CONNECT_FAILURES, tally.connect_failures.get()),
            (metric::UPSTREAM_RETRIES, tally.retries.get()),
            (metric::ENDPOINT_EJECTIONS, tally.ejections.get()),
            (metric::CLUSTER_APPLIED, tally.applied.get()),
        ] {
            if count > 0 {
                self.push(metric.name, vec![name.clone()], SampleValue::Counter(count));
            }
        }
        if let Some(counters) = &cluster.policy.load().counters {
            for (limit, count) in [
                ("connections", Count::Connections),
                ("pending_requests", Count::Pending),
                ("requests", Count::Requests),
                ("retries", Count::Retries),
            ] {
                let labels = vec![name.clone(), ("limit".to_owned(), limit.to_owned())];
                let refused = SampleValue::Counter(counters.refused(count));
                self.push(metric::UPSTREAM_OVERFLOWS.name, labels, refused);
            }
        }
        if let Some(ejected) = cluster.ejected() {
            self.gauge(metric::ENDPOINT_EJECTED.name, vec![name], ejected as f64);
        }
    }

    /// The TLS handshakes of one bound address.
    pub fn handshakes(&mut self, bound: SocketAddr, ended: &HandshakeFigures) {
        for (outcome, count) in ended.counts() {
            let label = |name: &str, value: String| (name.to_owned(), value);
            let labels = vec![
                label("listener", bound.to_string()),
                label("outcome", outcome.label().into()),
            ];
            self.push(metric::TLS_HANDSHAKES.name, labels, SampleValue::Counter(count));
        }
    }

    /// What clients of one bound address were refused.
    pub fn refusals(&mut self, bound: SocketAddr, refused: &Refusals) {
        for (refusal, count) in refused.counts() {
            let label = |name: &str, value: String| (name.to_owned(), value);
            let reason = || label("reason", refusal.label().into());
            let labels = vec![label("listener", bound.to_string()), reason()];
            let metric = match refusal.is_overload() {
                true => metric::OVERLOAD_REJECTED,
                false => metric::DOWNSTREAM_REFUSED,
            };
            self.push(metric.name, labels, SampleValue::Counter(count));
        }
    }

    /// Ends the report: its parts, at least one.
    pub fn finish(&mut self) -> Vec<Figures> {
        let round = self.round;
        let mut over = Vec::new();
        self.named.retain(|_, named| {
            let is_kept = named.round == round;
            if !is_kept {
                over.push(named.number);
            }
            is_kept
        });
        over.into_iter().for_each(|number| self.retire(number));
        self.round += 1;
        self.bytes = 0;
        let mut parts = std::mem::take(&mut self.parts);
        if parts.is_empty() {
            parts.push(Figures::default());
        }
        parts
    }

    fn part(&mut self, bytes: usize) -> &mut Figures {
        if self.parts.is_empty() || self.bytes + bytes > PART_BYTES {
            self.parts.push(Figures::default());
            self.bytes = 0;
        }
        self.bytes += bytes;
        self.parts.last_mut().expect("one was pushed if there was none")
    }
}

/// The snapshot's listeners and what became of them; `outcome` says where an address is bound or
/// why it is not.
pub fn listeners(
    snapshot: &Snapshot,
    settings: &WorkerSettings,
    outcome: impl Fn(SocketAddr) -> Option<Result<SocketAddr, String>>,
) -> Vec<BoundListener> {
    let described = snapshot.listeners.values().map(|listener| {
        let outcomes = wanted(listener, settings).into_iter().filter_map(&outcome);
        let (mut addresses, mut problem) = (Vec::new(), None);
        for outcome in outcomes {
            match outcome {
                Ok(bound) => addresses.push(bound),
                Err(reason) => problem = Some(reason),
            }
        }
        BoundListener {
            port: listener.port,
            gateway_ports: listener.gateway_ports.clone(),
            addresses,
            protocol: listener.protocol.clone(),
            gateways: listener.gateways.clone(),
            problem,
        }
    });
    described.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(value: &str) -> Labels {
        vec![("l".to_owned(), value.to_owned())]
    }

    #[test]
    fn only_what_changed_is_told_and_what_is_not_pushed_is_over() {
        let mut reporter = Reporter::default();
        reporter.gauge("a", labels("1"), 1.0);
        reporter.gauge("a", labels("2"), 2.0);
        let first = reporter.finish();
        assert_eq!((first.len(), first[0].defined.len(), first[0].samples.len()), (1, 2, 2));
        reporter.gauge("a", labels("1"), 1.0);
        reporter.gauge("a", labels("2"), 3.0);
        let second = reporter.finish();
        let changed = vec![(1, SampleValue::Gauge(3.0))];
        let expected = Figures { samples: changed, ..Figures::default() };
        assert_eq!(second, [expected]);
        reporter.gauge("a", labels("2"), 3.0);
        assert_eq!(reporter.finish(), [Figures { retired: vec![0], ..Figures::default() }]);
        assert_eq!(reporter.finish(), [Figures { retired: vec![1], ..Figures::default() }]);
        assert_eq!(reporter.finish(), [Figures::default()]);
    }

    #[test]
    fn a_long_report_comes_in_parts_that_fit_a_frame() {
        let mut reporter = Reporter::default();
        for number in 0..1000 {
            reporter.gauge("a", labels(&format!("{number:01000}")), 1.0);
        }
        let parts = reporter.finish();
        assert!(parts.len() >= 4, "{} parts", parts.len());
        for part in &parts {
            let mut frame = Vec::new();
            fairway_shared::ipc::codec::encode(part, &mut frame).unwrap();
            assert!(frame.len() <= PART_BYTES + 16 * 1024, "{} bytes", frame.len());
        }
        assert_eq!(parts.iter().map(|part| part.samples.len()).sum::<usize>(), 1000);
    }
}
