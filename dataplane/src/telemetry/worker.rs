//! All that one worker has of telemetry: what is recorded, where it goes, and figures that belong
//! to no cluster. Owned by the worker's actor; requests hold views.

use std::rc::Rc;
use std::sync::Arc;

use fairway_shared::ipc::message::{Figures, SampleValue, WorkerSettings};
use fairway_shared::metric;
use fairway_shared::snapshot::settings::GatewaySettings;

use super::connections::ConnectionFigures;
use super::destination::{self, Destination};
use super::labels::Shapes;
use super::recording::{Outputs, Recording};
use super::report::Reporter;
use super::requests::DestinationFigures;
use crate::cluster::handle::ClusterHandle;
use crate::worker::published::{Published, View};

/// See the module.
#[derive(Debug)]
pub struct Telemetry {
    settings: Arc<WorkerSettings>,
    hostname: String,
    /// What the recording in force was compiled from.
    applied: Option<Arc<GatewaySettings>>,
    recording: Published<Recording>,
    outputs: Outputs,
    shapes: Shapes,
    reporter: Reporter,
    /// Figures of requests that reach no cluster.
    pub unrouted: Rc<DestinationFigures>,
    /// Figures of connections that reach no cluster.
    pub unrouted_connections: Rc<ConnectionFigures>,
}

impl Telemetry {
    /// Records nothing before the first snapshot.
    pub fn new(settings: Arc<WorkerSettings>, outputs: Outputs) -> Self {
        let shapes = Shapes::new(destination::source(&settings.node), &[]);
        let hostname = nix::unistd::gethostname().unwrap_or_default();
        Self {
            settings,
            hostname: hostname.to_string_lossy().into_owned(),
            applied: None,
            recording: Published::new(Recording::default()),
            outputs,
            shapes,
            reporter: Reporter::default(),
            unrouted: Rc::new(DestinationFigures::new(Destination::unknown())),
            unrouted_connections: Rc::default(),
        }
    }

    /// Takes up a snapshot's settings, for requests that begin from now on. Series whose labels
    /// change are over; new ones begin at zero.
    pub fn apply<'a>(
        &mut self,
        settings: &Arc<GatewaySettings>,
        clusters: impl Iterator<Item = &'a Rc<ClusterHandle>>,
    ) {
        let empty = Vec::new();
        let old = self.applied.as_ref().map_or(&empty, |applied| &applied.metrics);
        if *old != settings.metrics {
            let source = destination::source(&self.settings.node);
            self.shapes = Shapes::new(source, &settings.metrics);
            self.unrouted.retire(&mut self.reporter);
            clusters.for_each(|cluster| cluster.figures.retire(&mut self.reporter));
        }
        if self.applied.as_ref() != Some(settings) {
            let (worker, outputs) = (&self.settings, &self.outputs);
            let recording = Recording::new(settings, worker, &self.hostname, outputs, &self.shapes);
            self.recording.publish(recording);
            self.applied = Some(Arc::clone(settings));
        }
    }

    /// A cluster is gone.
    pub fn retire(&mut self, cluster: &ClusterHandle) {
        cluster.figures.retire(&mut self.reporter);
    }

    /// A report of what changed, in parts. `more` adds what others know.
    pub fn report<'a>(
        &mut self,
        clusters: impl Iterator<Item = &'a Rc<ClusterHandle>>,
        more: impl FnOnce(&mut Reporter),
    ) -> Vec<Figures> {
        let Self { shapes, reporter, .. } = self;
        self.unrouted.report(shapes, reporter);
        self.unrouted_connections.report(&Destination::unknown(), shapes, reporter);
        let mut folded = self.unrouted.folded();
        for cluster in clusters {
            folded += cluster.figures.report(shapes, reporter);
            let destination = &cluster.figures.unknown().destination;
            cluster.connections.report(destination, shapes, reporter);
            reporter.cluster_tally(cluster);
            if cluster.open.get() > 0 {
                let labels = vec![("cluster".to_owned(), cluster.id.to_string())];
                let open = f64::from(cluster.open.get());
                reporter.gauge(metric::UPSTREAM_CONNECTIONS.name, labels, open);
            }
        }
        for (metric, count) in [
            (metric::METRICS_FOLDED, folded),
            (metric::ACCESS_LOG_DROPPED, self.outputs.logs.dropped()),
            (metric::SPANS_DROPPED, self.outputs.spans.dropped()),
        ] {
            reporter.push(metric.name, vec![], SampleValue::Counter(count));
        }
        more(reporter);
        reporter.finish()
    }

    /// What is recorded of each request.
    pub fn recording(&self) -> View<Recording> {
        self.recording.view()
    }

    /// Opens access logs anew.
    pub fn reopen_logs(&self) {
        self.outputs.logs.reopen();
    }
}
