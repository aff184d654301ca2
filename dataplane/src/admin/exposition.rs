//! The workers' figures in Prometheus' text format 0.0.4. Written here because the exporter
//! takes single observations, not the bucket counts that workers report.

use std::collections::BTreeMap;
use std::fmt::Write;

use fairway_shared::ipc::message::SampleValue;
use fairway_shared::metric::{self, Kind, Metric};

use crate::supervisor::OWN_METRICS;
use crate::supervisor::figures::Series;

/// Renders each series, a metric's `HELP` and `TYPE` before its first. Names that are not in
/// [`metric::ALL`], values that are not of their metric's kind, and names that the supervisor
/// answers for itself are left out.
pub fn render(merged: &BTreeMap<Series, SampleValue>) -> String {
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
            head(&mut out, metric);
        }
        samples(&mut out, series, value, metric.kind);
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

fn head(out: &mut String, metric: &Metric) {
    let kind = match metric.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram(_) => "histogram",
    };
    let Metric { name, help, .. } = metric;
    push(out, format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
}

fn samples(out: &mut String, series: &Series, value: &SampleValue, kind: Kind) {
    match (value, kind) {
        (SampleValue::Counter(count), _) => line(out, series, "", None, count),
        (SampleValue::Gauge(level), _) => line(out, series, "", None, level),
        (SampleValue::Histogram { buckets, sum }, Kind::Histogram(bounds)) => {
            let mut total = 0_u64;
            let bounds = bounds.iter().map(ToString::to_string);
            for (bound, count) in bounds.chain(["+Inf".to_owned()]).zip(buckets) {
                total = total.saturating_add(*count);
                line(out, series, "_bucket", Some(&bound), &total);
            }
            line(out, series, "_sum", None, sum);
            line(out, series, "_count", None, &total);
        }
        (SampleValue::Histogram { .. }, _) => {}
    }
}

fn line(
    out: &mut String,
    series: &Series,
    suffix: &str,
    bound: Option<&str>,
    value: &dyn std::fmt::Display,
) {
    push(out, format_args!("{}{suffix}", series.name));
    let labels = series.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let mut before = '{';
    for (name, value) in labels.chain(bound.map(|bound| ("le", bound))) {
        push(out, format_args!("{before}{name}=\""));
        escape(out, value);
        out.push('"');
        before = ',';
    }
    if before == ',' {
        out.push('}');
    }
    push(out, format_args!(" {value}\n"));
}

fn escape(out: &mut String, value: &str) {
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
    fn check(samples: &[Case<'_>], expected: &str) {
        let merged = samples.iter().map(|(name, labels, value)| {
            let labels = labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
            (Series { name: (*name).to_owned(), labels }, value.clone())
        });
        assert_eq!(render(&merged.collect()), expected);
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
