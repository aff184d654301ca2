use super::*;
use fairway_shared::ipc::message::{Figures, Series};

const OK: Outcome = Outcome { status: 200, flags: Flags::NONE, is_grpc: false, grpc_status: None };

fn figures() -> DestinationFigures {
    DestinationFigures::new(Destination::unknown())
}

fn report(figures: &DestinationFigures, reporter: &mut Reporter) -> Figures {
    figures.report(&Shapes::default(), reporter);
    let mut parts = reporter.finish();
    assert_eq!(parts.len(), 1);
    parts.remove(0)
}

fn label<'a>(series: &'a Series, name: &str) -> &'a str {
    let pair = series.labels.iter().find(|(known, _)| known == name);
    pair.map_or("", |(_, value)| value.as_str())
}

fn counts(report: &Figures) -> Vec<(&str, u64)> {
    let counter = |series: &Series| {
        let (_, value) = report.samples.iter().find(|(number, _)| *number == series.number)?;
        match value {
            SampleValue::Counter(count) if series.name == metric::REQUESTS.name => Some(*count),
            _ => None,
        }
    };
    let all = report.defined.iter();
    all.filter_map(|one| Some((label(one, "response_flags"), counter(one)?))).collect()
}

#[test]
fn requests_of_one_outcome_are_one_series() {
    let (figures, mut reporter) = (figures(), Reporter::default());
    let lost = Outcome { status: 503, flags: Flags::UPSTREAM_CLOSED, ..OK };
    for outcome in [OK, OK, lost] {
        figures.record(outcome, &[], &Sizes::default());
    }
    assert_eq!(counts(&report(&figures, &mut reporter)), [("-", 2), ("UC", 1)]);
}

#[test]
fn a_second_report_names_nothing_again_and_tells_only_what_moved() {
    let (figures, mut reporter) = (figures(), Reporter::default());
    figures.record(OK, &[], &Sizes::default());
    figures.record(Outcome { status: 404, ..OK }, &[], &Sizes::default());
    let first = report(&figures, &mut reporter);
    // A counter and three histograms each: without gRPC there are no messages.
    assert_eq!((first.defined.len(), first.samples.len()), (8, 8));
    assert_eq!(report(&figures, &mut reporter), Figures::default());
    figures.record(OK, &[], &Sizes::default());
    let third = report(&figures, &mut reporter);
    assert_eq!((third.defined.len(), third.samples.len()), (0, 4));
    figures.retire(&mut reporter);
    let mut last = reporter.finish();
    assert_eq!(last.remove(0).retired.len(), 8);
}

#[test]
fn grpc_has_messages_and_a_status() {
    let (figures, mut reporter) = (figures(), Reporter::default());
    let outcome = Outcome { is_grpc: true, grpc_status: Some(14), ..OK };
    let sizes = Sizes { received_messages: 2, sent_messages: 3, ..Sizes::default() };
    figures.record(outcome, &[], &sizes);
    let report = report(&figures, &mut reporter);
    assert_eq!(report.defined.len(), 6);
    let sent = &report.defined[5];
    assert_eq!(sent.name, metric::RESPONSE_MESSAGES.name);
    assert_eq!(label(sent, "grpc_response_status"), "14");
    assert_eq!(label(sent, "request_protocol"), "grpc");
    assert_eq!(report.samples[5], (sent.number, SampleValue::Counter(3)));
}

#[test]
fn outcomes_beyond_the_limit_are_counted_as_one() {
    let (figures, mut reporter) = (figures(), Reporter::default());
    for status in 0..OUTCOMES_MAX as u16 + 3 {
        figures.record(Outcome { status, ..OK }, &[], &Sizes::default());
    }
    assert_eq!(figures.folded(), 3);
    let report = report(&figures, &mut reporter);
    assert_eq!(counts(&report).last(), Some(&("other", 3)));
    assert_eq!(counts(&report).len(), OUTCOMES_MAX + 1);
}
