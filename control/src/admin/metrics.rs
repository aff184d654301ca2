//! Metrics as a scrape sees them, computed from the view: nothing is counted here. Pure.

use std::collections::BTreeMap;

use fairway_shared::diagnostic::Diagnostic;
use fairway_shared::metric::{self, Kind, Metric};
use metrics::{Key, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::PrometheusBuilder;

use crate::compile::{SECRET_DELETED, SERVER_CONFLICT, SNI_CONFLICT};
use crate::object::Spec;
use crate::publish::view::View;

/// The Prometheus text of a view.
pub(super) fn exposition(view: &View) -> String {
    let recorder = PrometheusBuilder::new().build_recorder();
    for (metric, labels, value) in samples(view) {
        record(&recorder, metric, labels, value);
    }
    recorder.handle().render()
}

type Sample = (Metric, Vec<Label>, u64);

fn samples(view: &View) -> Vec<Sample> {
    let objects = || view.config.iter().flat_map(|config| &config.objects);
    let virtual_services =
        objects().filter(|object| matches!(object.spec, Spec::VirtualService(_))).count();
    let services = objects().filter(|object| matches!(object.spec, Spec::Service(_))).count();
    let in_sync = view.subscribers.iter().filter(|one| view.is_in_sync(one)).count();
    let deleted = view.diagnostics.iter().filter(|one| one.code == SECRET_DELETED).count();
    let snapshot_type = vec![Label::new("type", "snapshot")];
    let mut samples = vec![
        (metric::PILOT_PUSHES, snapshot_type, view.tally.sent),
        (metric::PILOT_REJECTS, Vec::new(), view.tally.nacked),
        (metric::PILOT_CERTIFICATE_ERRORS, Vec::new(), view.tally.certificate_errors),
        (metric::CONTROL_DELETED_SECRETS, Vec::new(), deleted as u64),
        (metric::PILOT_CONNECTED, Vec::new(), view.subscribers.len() as u64),
        (metric::PILOT_VIRTUAL_SERVICES, Vec::new(), virtual_services as u64),
        (metric::PILOT_SERVICES, Vec::new(), services as u64),
        (metric::CONTROL_SNAPSHOT_VERSION, Vec::new(), view.current_number().0),
        (metric::CONTROL_IN_SYNC, Vec::new(), in_sync as u64),
        (metric::CONTROL_DIAGNOSTICS, Vec::new(), view.diagnostics.len() as u64),
    ];
    samples.extend(rejected(&view.diagnostics));
    samples
}

/// What lost to an older object, as Istio counts it: by kind and name (Istio contract 1.6).
fn rejected(diagnostics: &[Diagnostic]) -> impl Iterator<Item = Sample> {
    let mut counts: BTreeMap<(String, String), u64> = BTreeMap::new();
    let conflicts = [SERVER_CONFLICT, SNI_CONFLICT];
    for found in diagnostics.iter().filter(|found| conflicts.contains(&found.code)) {
        let object = &found.object;
        let name = format!("{}/{}", object.namespace, object.name);
        *counts.entry((object.kind.to_lowercase(), name)).or_default() += 1;
    }
    counts.into_iter().map(|((kind, name), count)| {
        let labels = vec![Label::new("type", kind), Label::new("name", name)];
        (metric::PILOT_REJECTED_CONFIGS, labels, count)
    })
}

fn record(recorder: &impl Recorder, metric: Metric, labels: Vec<Label>, value: u64) {
    const METADATA: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, None);
    let key = Key::from_parts(metric.name, labels);
    match metric.kind {
        Kind::Counter => {
            recorder.describe_counter(metric.name.into(), None, metric.help.into());
            recorder.register_counter(&key, &METADATA).absolute(value);
        }
        Kind::Gauge | Kind::Histogram(_) => {
            recorder.describe_gauge(metric.name.into(), None, metric.help.into());
            // Counts of things in memory: far below what a double holds exactly.
            recorder.register_gauge(&key, &METADATA).set(value as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::history::History;
    use crate::publish::testing::snapshot_with;
    use crate::publish::view::Tally;
    use fairway_shared::diagnostic::{ObjectRef, Severity};

    #[test]
    fn a_scrape_has_kind_help_and_value() {
        let mut history = History::default();
        history.advance(snapshot_with(&["user"]), 0, 0);
        let versions = history.newest_first().cloned().collect();
        let tally = Tally { sent: 4, nacked: 1, certificate_errors: 2 };
        let lost = Diagnostic {
            severity: Severity::Error,
            code: SERVER_CONFLICT,
            object: ObjectRef {
                kind: "Gateway".into(),
                namespace: "shop".into(),
                name: "young".into(),
            },
            place: None,
            message: String::new(),
            remedy: String::new(),
        };
        let diagnostics = vec![lost.clone(), lost].into();
        let text = exposition(&View { versions, tally, diagnostics, ..View::default() });
        for line in [
            "# TYPE pilot_xds_pushes counter",
            "pilot_xds_pushes{type=\"snapshot\"} 4",
            "pilot_total_xds_rejects 1",
            "pilot_sds_certificate_errors_total 2",
            "fairway_control_deleted_secrets 0",
            "pilot_total_rejected_configs{type=\"gateway\",name=\"shop/young\"} 2",
            "# TYPE pilot_xds gauge",
            "fairway_control_snapshot_version 1",
            "pilot_services 0",
        ] {
            assert!(text.lines().any(|found| found == line), "no `{line}` in\n{text}");
        }
    }
}
