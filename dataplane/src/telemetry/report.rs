//! What a worker tells the supervisor: figures, and listeners as people see them.

use std::net::SocketAddr;

use fairway_shared::ipc::message::{
    BoundListener, Figures, NodeIdentity, Sample, SampleValue, WorkerSettings,
};
use fairway_shared::metric;
use fairway_shared::snapshot::Snapshot;

use super::connections::ConnectionFigures;
use super::requests::RequestFigures;
use crate::cluster::handle::ClusterHandle;
use crate::cluster::limits::Count;
use crate::tls::accept::HandshakeFigures;
use crate::worker::apply::wanted;

/// Upper bounds of `fairway_snapshot_apply_seconds`.
pub const APPLY_BOUNDS: &[f64] = match metric::SNAPSHOT_APPLY.kind {
    metric::Kind::Histogram(bounds) => bounds,
    _ => &[],
};

/// Labels that name the gateway itself (Istio contract 6.3).
pub fn source_labels(node: &NodeIdentity) -> Vec<(String, String)> {
    let label =
        |name: &str, or: &str| node.labels.get(name).map_or_else(|| or.to_owned(), Clone::clone);
    let pair = |name: &str, value: String| (name.to_owned(), value);
    vec![
        pair("reporter", "source".into()),
        pair("source_workload", label("app", "istio-ingressgateway")),
        pair("source_workload_namespace", node.namespace.clone()),
        pair("source_app", label("app", "istio-ingressgateway")),
        pair("source_version", label("version", "unknown")),
    ]
}

/// Puts a report together.
#[derive(Debug)]
pub struct Collector<'a> {
    source: &'a [(String, String)],
    samples: Vec<Sample>,
}

impl<'a> Collector<'a> {
    /// An empty report; `source` is what [`source_labels`] returned.
    pub fn new(source: &'a [(String, String)]) -> Self {
        Self { source, samples: Vec::new() }
    }

    /// Requests that reached no cluster.
    pub fn unrouted(&mut self, figures: &RequestFigures) {
        self.samples.extend(figures.samples(None, self.source));
    }

    /// Connections that reached no cluster.
    pub fn unrouted_connections(&mut self, figures: &ConnectionFigures) {
        self.samples.extend(figures.samples(None, self.source));
    }

    /// One cluster.
    pub fn cluster(&mut self, cluster: &ClusterHandle) {
        self.samples.extend(cluster.connections.samples(Some(&cluster.id), self.source));
        self.samples.extend(cluster.figures.samples(Some(&cluster.id), self.source));
        let open = cluster.open.get();
        if open > 0 {
            let labels = vec![("cluster".to_owned(), cluster.id.to_string())];
            self.gauge(metric::UPSTREAM_CONNECTIONS.name, labels, f64::from(open));
        }
        self.cluster_tally(cluster);
    }

    /// What happened to a cluster; what never did is left out.
    fn cluster_tally(&mut self, cluster: &ClusterHandle) {
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

    /// One bound address.
    pub fn listener(&mut self, bound: SocketAddr, connections: usize) {
        let labels = vec![("listener".to_owned(), bound.to_string())];
        self.gauge(metric::DOWNSTREAM_CONNECTIONS.name, labels, connections as f64);
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

    /// Any series.
    pub fn push(&mut self, name: &str, labels: Vec<(String, String)>, value: SampleValue) {
        self.samples.push(Sample { name: name.to_owned(), labels, value });
    }

    /// The report.
    pub fn finish(self) -> Figures {
        Figures { samples: self.samples }
    }

    fn gauge(&mut self, name: &str, labels: Vec<(String, String)>, value: f64) {
        self.push(name, labels, SampleValue::Gauge(value));
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
