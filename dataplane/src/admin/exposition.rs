//! The workers' figures in Prometheus' text format 0.0.4 and as OpenMetrics 1.0. Written here
//! because the exporter takes single observations, not the bucket counts that workers report.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::sync::Arc;

use fairway_shared::ipc::message::SampleValue;
use fairway_shared::metric::{self, Kind, Metric};

use crate::supervisor::OWN_METRICS;
use crate::supervisor::figures::Series;

/// The two forms; they differ in little.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Prometheus' text format 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

/// Suffix of a counter's samples; OpenMetrics names the family without it.
const TOTAL: &str = "_total";

/// Renders each series, a metric's `HELP` and `TYPE` before its first. Names that are not in
/// [`metric::ALL`], values that are not of their metric's kind, and names that the supervisor
/// answers for itself are left out.
pub fn render(merged: &BTreeMap<Arc<Series>, SampleValue>, form: Form) -> String {
    let mut out = String::new();
    let mut current = "";
    for (series, value) in merged {
        let Some(metric) = metric::find(&series.name) else { continue };
        let is_own = OWN_METRICS.iter().any(|own| own.name == metric.name);
        if is_own || !is_of_kind(value, metric.kind) {
            continue;
        }
        if current != metric.name {
            current = metric.name;
            head(&mut out, metric, form);
        }
        samples(&mut out, series, value, (metric.kind, form));
    }
    out
}

fn is_of_kind(value: &SampleValue, kind: Kind) -> bool {
    match (value, kind) {
        (SampleValue::Counter(_), Kind::Counter) | (SampleValue::Gauge(_), Kind::Gauge) => true,
        (SampleValue::Histogram { buckets, .. }, Kind::Histogram(bounds)) => {
            buckets.len() == bounds.len() + 1
        }
        _ => false,
    }
}

fn head(out: &mut String, metric: &Metric, form: Form) {
    let kind = match metric.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram(_) => "histogram",
    };
    let Metric { name, help, .. } = metric;
    let name = match form {
        Form::OpenMetrics => name.strip_suffix(TOTAL).unwrap_or(name),
        Form::Text => name,
    };
    push(out, format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
}

fn samples(out: &mut String, series: &Series, value: &SampleValue, how: (Kind, Form)) {
    let labels = labels(series);
    let line = |out: &mut String, suffix: &str, bound: Option<f64>, value: &dyn Display| {
        push(out, format_args!("{}{suffix}", series.name));
        let comma = if labels.is_empty() { "" } else { "," };
        match (bound, how.1) {
            (None, _) if labels.is_empty() => {}
            (None, _) => push(out, format_args!("{{{labels}}}")),
            (Some(bound), _) if bound.is_infinite() => {
                push(out, format_args!("{{{labels}{comma}le=\"+Inf\"}}"));
            }
            (Some(bound), Form::Text) => {
                push(out, format_args!("{{{labels}{comma}le=\"{bound}\"}}"));
            }
            // A bound is a float there, with its point.
            (Some(bound), Form::OpenMetrics) => {
                push(out, format_args!("{{{labels}{comma}le=\"{bound:?}\"}}"));
            }
        }
        push(out, format_args!(" {value}\n"));
    };
    match (value, how.0) {
        (SampleValue::Counter(count), _) => line(out, "", None, count),
        (SampleValue::Gauge(level), _) => line(out, "", None, level),
        (SampleValue::Histogram { buckets, sum }, Kind::Histogram(bounds)) => {
            let mut total = 0_u64;
            for (bound, count) in bounds.iter().chain([&f64::INFINITY]).zip(buckets) {
                total = total.saturating_add(*count);
                line(out, "_bucket", Some(*bound), &total);
            }
            line(out, "_sum", None, sum);
            line(out, "_count", None, &total);
        }
        (SampleValue::Histogram { .. }, _) => {}
    }
}

/// `a="1",b="2"`, once for all lines of a series.
fn labels(series: &Series) -> String {
    let mut out = String::new();
    for (name, value) in &series.labels {
        let comma = if out.is_empty() { "" } else { "," };
        push(&mut out, format_args!("{comma}{name}=\""));
        escape(&mut out, value);
        out.push('"');
    }
    out
}

fn escape(out: &mut String, value: &str) {
    if !value.contains(['\\', '"', '\n']) {
        return out.push_str(value);
    }
    for character in value.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            other => out.push(other),
        }
    }
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = out.write_fmt(text);
}

/// Another exporter's text in the form of OpenMetrics; its counters end in `_total`.
pub fn as_open_metrics(exposition: &str) -> String {
    exposition.lines().fold(String::new(), |mut out, line| {
        let about = line.strip_prefix("# HELP ").or_else(|| line.strip_prefix("# TYPE "));
        match about.and_then(|about| about.split_once(' ')) {
            Some((name, rest)) => {
                let name = name.strip_suffix(TOTAL).unwrap_or(name);
                push(&mut out, format_args!("{}{name} {rest}\n", &line[..7]));
            }
            // OpenMetrics has no empty lines.
            None if line.is_empty() => {}
            None => push(&mut out, format_args!("{line}\n")),
        }
        out
    })
}

/// The same as `name: value` lines, for people (`/stats`).
pub fn as_stats(exposition: &str) -> String {
    let lines = exposition.lines().filter(|line| !line.starts_with('#'));
    let pairs = lines.filter_map(|line| line.rsplit_once(' '));
    pairs.fold(String::new(), |mut out, (series, value)| {
        push(&mut out, format_args!("{series}: {value}\n"));
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], SampleValue);

    #[track_caller]
    fn check_as(form: Form, samples: &[Case<'_>], expected: &str) {
        let merged = samples.iter().map(|(name, labels, value)| {
            let labels = labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
            (Arc::new(Series { name: (*name).to_owned(), labels }), value.clone())
        });
        assert_eq!(render(&merged.collect(), form), expected);
    }

    #[track_caller]
    fn check(samples: &[Case<'_>], expected: &str) {
        check_as(Form::Text, samples, expected);
    }

    #[test]
    fn open_metrics_names_families_and_writes_floats() {
        let value = SampleValue::Histogram { buckets: vec![1, 0, 2, 0, 0, 4], sum: 9.25 };
        check_as(
            Form::OpenMetrics,
            &[
                ("fairway_snapshot_apply_seconds", &[], value),
                ("istio_requests_total", &[("a", "b")], SampleValue::Counter(3)),
            ],
            "# HELP fairway_snapshot_apply_seconds \
             Seconds that a worker's loop stood still to swap in a snapshot.\n\
             # TYPE fairway_snapshot_apply_seconds histogram\n\
             fairway_snapshot_apply_seconds_bucket{le=\"0.0001\"} 1\n\
             fairway_snapshot_apply_seconds_bucket{le=\"0.001\"} 1\n\
             fairway_snapshot_apply_seconds_bucket{le=\"0.01\"} 3\n\
             fairway_snapshot_apply_seconds_bucket{le=\"0.1\"} 3\n\
             fairway_snapshot_apply_seconds_bucket{le=\"1.0\"} 3\n\
             fairway_snapshot_apply_seconds_bucket{le=\"+Inf\"} 7\n\
             fairway_snapshot_apply_seconds_sum 9.25\n\
             fairway_snapshot_apply_seconds_count 7\n\
             # HELP istio_requests Requests ended, by destination and outcome.\n\
             # TYPE istio_requests counter\n\
             istio_requests_total{a=\"b\"} 3\n",
        );
        let own = "# HELP a_total x\n# TYPE a_total counter\na_total 1\n\n";
        assert_eq!(as_open_metrics(own), "# HELP a x\n# TYPE a counter\na_total 1\n");
    }

    #[test]
    fn a_metric_is_introduced_once_and_label_values_are_escaped() {
        check(
            &[
                (
                    "istio_requests_total",
                    &[("path", "a\\b\"c\nd"), ("code", "200")],
                    SampleValue::Counter(3),
                ),
                ("istio_requests_total", &[], SampleValue::Counter(u64::MAX)),
                ("fairway_downstream_connections", &[("listener", "x")], SampleValue::Gauge(1.5)),
            ],
            "# HELP fairway_downstream_connections Open client connections, by listener.\n\
             # TYPE fairway_downstream_connections gauge\n\
             fairway_downstream_connections{listener=\"x\"} 1.5\n\
             # HELP istio_requests_total Requests ended, by destination and outcome.\n\
             # TYPE istio_requests_total counter\n\
             istio_requests_total 18446744073709551615\n\
             istio_requests_total{path=\"a\\\\b\\\"c\\nd\",code=\"200\"} 3\n",
        );
    }

    #[test]
    fn buckets_are_cumulative_and_end_with_infinity_sum_and_count() {
        let value = SampleValue::Histogram { buckets: vec![1, 0, 2, 0, 0, 4], sum: 9.25 };
        check(
            &[("fairway_snapshot_apply_seconds", &[("slot", "0")], value)],
            "# HELP fairway_snapshot_apply_seconds \
             Seconds that a worker's loop stood still to swap in a snapshot.\n\
             # TYPE fairway_snapshot_apply_seconds histogram\n\
             fairway_snapshot_apply_seconds_bucket{slot=\"0\",le=\"0.0001\"} 1\n\
             fairway_snapshot_apply_seconds_bucket{slot=\"0\",le=\"0.001\"} 1\n\
             fairway_snapshot_apply_seconds_bucket{slot=\"0\",le=\"0.01\"} 3\n\
             fairway_snapshot_apply_seconds_bucket{slot=\"0\",le=\"0.1\"} 3\n\
             fairway_snapshot_apply_seconds_bucket{slot=\"0\",le=\"1\"} 3\n\
             fairway_snapshot_apply_seconds_bucket{slot=\"0\",le=\"+Inf\"} 7\n\
             fairway_snapshot_apply_seconds_sum{slot=\"0\"} 9.25\n\
             fairway_snapshot_apply_seconds_count{slot=\"0\"} 7\n",
        );
    }

    #[test]
    fn what_does_not_fit_the_table_or_is_the_supervisors_own_is_left_out() {
        check(
            &[
                ("made_up_total", &[], SampleValue::Counter(1)),
                ("istio_requests_total", &[], SampleValue::Gauge(1.0)),
                ("fairway_control_connected", &[], SampleValue::Gauge(1.0)),
                (
                    "fairway_snapshot_apply_seconds",
                    &[],
                    SampleValue::Histogram { buckets: vec![1], sum: 0.0 },
                ),
            ],
            "",
        );
    }

    #[test]
    fn stats_are_names_and_values() {
        let exposition = "# HELP a b\na{x=\"1 2\"} 3\nb 4\n";
        assert_eq!(as_stats(exposition), "a{x=\"1 2\"}: 3\nb: 4\n");
    }
}
