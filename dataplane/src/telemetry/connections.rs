//! Figures of connections of opaque bytes, counted while they live (Istio contract 6.3).

use std::cell::{Cell, RefCell};

use fairway_shared::id::ClusterId;
use fairway_shared::ipc::message::{Sample, SampleValue};
use fairway_shared::metric::{self, Metric};

use super::requests::destination_labels;
use crate::http::flag::Flags;

/// The connections of one cluster, or of none.
#[derive(Debug, Default)]
pub struct ConnectionFigures {
    opened: Cell<u64>,
    received_bytes: Cell<u64>,
    sent_bytes: Cell<u64>,
    /// A handful: outcomes of one cluster repeat.
    closed: RefCell<Vec<(Flags, u64)>>,
}

impl ConnectionFigures {
    /// Counts one that begins.
    pub fn opened(&self) {
        self.opened.set(self.opened.get() + 1);
    }

    /// Counts one that ended.
    pub fn closed(&self, flags: Flags) {
        let mut closed = self.closed.borrow_mut();
        match closed.iter_mut().find(|(known, _)| *known == flags) {
            Some((_, count)) => *count += 1,
            None => closed.push((flags, 1)),
        }
    }

    /// Counts one that was closed at once.
    pub fn refused(&self, flags: Flags) {
        self.opened();
        self.closed(flags);
    }

    /// Bytes from clients and to clients, to add to.
    pub fn bytes(&self) -> (&Cell<u64>, &Cell<u64>) {
        (&self.received_bytes, &self.sent_bytes)
    }

    /// As reported; `source` labels name the gateway itself. Nothing if there was no connection.
    pub fn samples(&self, cluster: Option<&ClusterId>, source: &[(String, String)]) -> Vec<Sample> {
        if self.opened.get() == 0 {
            return Vec::new();
        }
        let sample = |metric: Metric, flags: Flags, count: u64| {
            let mut labels = destination_labels(cluster, source);
            let pair = |name: &str, value: String| (name.to_owned(), value);
            labels.push(pair("request_protocol", "tcp".to_owned()));
            labels.push(pair("response_flags", flags.to_string()));
            labels.push(pair("connection_security_policy", "unknown".to_owned()));
            let (name, value) = (metric.name.to_owned(), SampleValue::Counter(count));
            Sample { name, labels, value }
        };
        let mut samples = vec![
            sample(metric::TCP_OPENED, Flags::NONE, self.opened.get()),
            sample(metric::TCP_RECEIVED_BYTES, Flags::NONE, self.received_bytes.get()),
            sample(metric::TCP_SENT_BYTES, Flags::NONE, self.sent_bytes.get()),
        ];
        let closed = self.closed.borrow();
        samples
            .extend(closed.iter().map(|(flags, count)| sample(metric::TCP_CLOSED, *flags, *count)));
        samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ended_is_counted_by_its_flags_and_nothing_is_said_of_nothing() {
        let figures = ConnectionFigures::default();
        assert_eq!(figures.samples(None, &[]), []);
        figures.opened();
        figures.closed(Flags::NONE);
        figures.refused(Flags::NO_CLUSTER);
        let (received, sent) = figures.bytes();
        received.set(5);
        sent.set(7);
        let samples = figures.samples(None, &[]);
        let flags = |sample: &Sample| {
            let found = sample.labels.iter().find(|(name, _)| name == "response_flags");
            found.map(|(_, value)| value.clone()).unwrap()
        };
        let found: Vec<_> = samples
            .iter()
            .map(|sample| (sample.name.as_str(), flags(sample), sample.value.clone()))
            .collect();
        let expected =
            |name, flags: &str, count| (name, flags.to_owned(), SampleValue::Counter(count));
        assert_eq!(
            found,
            [
                expected("istio_tcp_connections_opened_total", "-", 2),
                expected("istio_tcp_received_bytes_total", "-", 5),
                expected("istio_tcp_sent_bytes_total", "-", 7),
                expected("istio_tcp_connections_closed_total", "-", 1),
                expected("istio_tcp_connections_closed_total", "NC", 1),
            ]
        );
    }
}
