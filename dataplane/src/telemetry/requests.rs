//! Figures of requests: found once per cluster, then counted without names, hashes or locks.

use std::cell::RefCell;
use std::time::Duration;

use fairway_shared::id::ClusterId;
use fairway_shared::ipc::message::{Sample, SampleValue};
use fairway_shared::metric;

use super::histogram::Histogram;
use crate::http::flag::Flags;

/// What tells two series of one cluster apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// The requests of one cluster, or of none.
#[derive(Debug, Default)]
pub struct RequestFigures {
    /// A handful: outcomes of one cluster repeat.
    series: RefCell<Vec<Series>>,
}

#[derive(Debug)]
struct Series {
    outcome: Outcome,
    count: u64,
    duration_ms: Histogram,
}

impl RequestFigures {
    /// Counts a request that ended.
    pub fn record(&self, outcome: Outcome, duration: Duration) {
        let mut series = self.series.borrow_mut();
        let at = match series.iter().position(|one| one.outcome == outcome) {
            Some(at) => at,
            None => {
                let duration_ms = Histogram::new(metric::ISTIO_BOUNDS);
                series.push(Series { outcome, count: 0, duration_ms });
                series.len() - 1
            }
        };
        series[at].count += 1;
        series[at].duration_ms.observe(duration.as_secs_f64() * 1000.0);
    }

    /// As reported; `source` labels name the gateway itself.
    pub fn samples(&self, cluster: Option<&ClusterId>, source: &[(String, String)]) -> Vec<Sample> {
        let series = self.series.borrow();
        let samples = series.iter().flat_map(|one| {
            let labels = labels(cluster, source, one.outcome);
            let sample =
                |name: &str, value| Sample { name: name.to_owned(), labels: labels.clone(), value };
            [
                sample(metric::REQUESTS.name, SampleValue::Counter(one.count)),
                sample(metric::REQUEST_DURATION.name, one.duration_ms.sample()),
            ]
        });
        samples.collect()
    }
}

/// The labels of all of a destination's figures (Istio contract 6.3).
pub fn destination_labels(
    cluster: Option<&ClusterId>,
    source: &[(String, String)],
) -> Vec<(String, String)> {
    let host = cluster.map_or("unknown", |cluster| cluster.service.host.as_str());
    let mut names = host.split('.');
    let service = names.next().unwrap_or("unknown");
    // Only names below a namespace tell one.
    let namespace = names.next().filter(|_| names.next() == Some("svc")).unwrap_or("unknown");
    let subset = cluster.map_or("", |cluster| cluster.subset.as_str());
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut labels = source.to_vec();
    labels.extend([
        pair("destination_service", host),
        pair("destination_service_name", service),
        pair("destination_service_namespace", namespace),
        pair("destination_subset", subset),
    ]);
    labels
}

fn labels(
    cluster: Option<&ClusterId>,
    source: &[(String, String)],
    outcome: Outcome,
) -> Vec<(String, String)> {
    let protocol = if outcome.is_grpc { "grpc" } else { "http" };
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut labels = destination_labels(cluster, source);
    labels.extend([
        pair("request_protocol", protocol),
        pair("response_code", &outcome.status.to_string()),
        pair("response_flags", &outcome.flags.to_string()),
        pair("connection_security_policy", "unknown"),
    ]);
    if outcome.is_grpc {
        let status = outcome.grpc_status.map(|status| status.to_string()).unwrap_or_default();
        labels.push(pair("grpc_response_status", &status));
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;
    use fairway_shared::id::ServicePort;

    #[test]
    fn requests_of_one_outcome_are_one_series() {
        let figures = RequestFigures::default();
        let ok = Outcome { status: 200, flags: Flags::NONE, is_grpc: false, grpc_status: None };
        let lost = Outcome { status: 503, flags: Flags::UPSTREAM_CLOSED, ..ok };
        for outcome in [ok, ok, lost] {
            figures.record(outcome, Duration::from_millis(2));
        }
        let cluster = ClusterId {
            service: ServicePort { host: "user.dk-shop.svc.cluster.local".into(), port: 80 },
            subset: "v1".into(),
        };
        let samples = figures.samples(Some(&cluster), &[]);
        let label = |sample: &Sample, name: &str| {
            sample.labels.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone())
        };
        let counts: Vec<_> = samples
            .iter()
            .filter(|sample| sample.name == metric::REQUESTS.name)
            .map(|sample| (label(sample, "response_flags").unwrap(), sample.value.clone()))
            .collect();
        assert_eq!(
            counts,
            [("-".to_owned(), SampleValue::Counter(2)), ("UC".to_owned(), SampleValue::Counter(1))]
        );
        assert_eq!(label(&samples[0], "destination_service_namespace").as_deref(), Some("dk-shop"));
    }
}
