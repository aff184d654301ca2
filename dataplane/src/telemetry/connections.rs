//! Figures of connections of opaque bytes, counted while they live (Istio contract 6.3).

use std::cell::{Cell, RefCell};

use fairway_shared::ipc::message::SampleValue;
use fairway_shared::metric::{self, Metric};
use fairway_shared::snapshot::settings::StandardMetric;

use super::destination::Destination;
use super::labels::Shapes;
use super::report::Reporter;
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

    /// Tells how many there were. Nothing if there was none.
    pub fn report(&self, destination: &Destination, shapes: &Shapes, to: &mut Reporter) {
        if self.opened.get() == 0 {
            return;
        }
        let mut push = |standard, metric: Metric, flags: Flags, count| {
            if let Some(labels) = shapes.labels(standard, || destination.connection(flags), &[]) {
                to.push(metric.name, labels, SampleValue::Counter(count));
            }
        };
        let (received, sent) = (self.received_bytes.get(), self.sent_bytes.get());
        let none = Flags::NONE;
        push(StandardMetric::TcpOpenedConnections, metric::TCP_OPENED, none, self.opened.get());
        push(StandardMetric::TcpReceivedBytes, metric::TCP_RECEIVED_BYTES, none, received);
        push(StandardMetric::TcpSentBytes, metric::TCP_SENT_BYTES, none, sent);
        for (flags, count) in &*self.closed.borrow() {
            push(StandardMetric::TcpClosedConnections, metric::TCP_CLOSED, *flags, *count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fairway_shared::ipc::message::Series;

    #[test]
    fn what_ended_is_counted_by_its_flags_and_nothing_is_said_of_nothing() {
        let figures = ConnectionFigures::default();
        let (unknown, shapes) = (Destination::unknown(), Shapes::default());
        let mut reporter = Reporter::default();
        figures.report(&unknown, &shapes, &mut reporter);
        assert_eq!(reporter.finish()[0].samples, []);
        figures.opened();
        figures.closed(Flags::NONE);
        figures.refused(Flags::NO_CLUSTER);
        let (received, sent) = figures.bytes();
        received.set(5);
        sent.set(7);
        figures.report(&unknown, &shapes, &mut reporter);
        let report = reporter.finish().remove(0);
        let flags = |series: &Series| {
            let found = series.labels.iter().find(|(name, _)| name == "response_flags");
            found.map(|(_, value)| value.clone()).unwrap()
        };
        let pairs = report.defined.iter().zip(&report.samples);
        let found: Vec<_> = pairs
            .map(|(series, (_, value))| (series.name.as_str(), flags(series), value.clone()))
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
