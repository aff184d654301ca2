//! What control says on stderr about the configuration: new findings, and one line per published
//! version. Texts are made by pure functions.

use std::collections::BTreeSet;
use std::io::Write;

use fairway_shared::diagnostic::{Diagnostic, Severity};

use crate::compile::{BAD_CREDENTIAL, NOT_FOUND, SECRET_DELETED};
use crate::publish::version::Version;

/// Sorts worst first, then by code, object and place, and drops repeats.
pub fn order(diagnostics: &mut Vec<Diagnostic>) {
    diagnostics.sort_by(|a, b| b.severity.cmp(&a.severity).then_with(|| a.cmp(b)));
    diagnostics.dedup();
}

/// The findings of `now` that are not in `before`.
fn new_findings<'a>(before: &[Diagnostic], now: &'a [Diagnostic]) -> Vec<&'a Diagnostic> {
    let known: BTreeSet<&Diagnostic> = before.iter().collect();
    now.iter().filter(|finding| !known.contains(finding)).collect()
}

/// How many new findings say that a Secret is missing, broken or out of date.
pub(crate) fn certificate_errors(before: &[Diagnostic], now: &[Diagnostic]) -> u64 {
    let is_one = |finding: &&&Diagnostic| match finding.code {
        BAD_CREDENTIAL | SECRET_DELETED => true,
        NOT_FOUND => finding.message.contains("credentialName"),
        _ => false,
    };
    new_findings(before, now).iter().filter(is_one).count() as u64
}

/// Prints new findings, one a line; those that are only worth knowing go to the debug log.
pub(crate) fn print_new(before: &[Diagnostic], now: &[Diagnostic]) {
    let mut lines = String::new();
    for finding in new_findings(before, now) {
        match finding.severity {
            Severity::Info => tracing::debug!("{finding}"),
            Severity::Warning | Severity::Error => {
                lines.push_str(&finding.to_string());
                lines.push('\n');
            }
        }
    }
    // Nobody is left to tell if stderr is closed.
    let _ = std::io::stderr().write_all(lines.as_bytes());
}

/// `snapshot 3 published: 1 listener, 1 route, 2 clusters, 4 endpoints (12 ms)`
pub fn summary(version: &Version) -> String {
    let counts = version.counts;
    format!(
        "snapshot {} published: {}, {}, {}, {} ({} ms)",
        version.number(),
        plural(counts.listeners, "listener"),
        plural(counts.routes, "route"),
        plural(counts.clusters, "cluster"),
        plural(counts.endpoints, "endpoint"),
        version.compile_ms,
    )
}

fn plural(count: usize, noun: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::history::History;
    use crate::publish::testing::snapshot_with;

    fn finding(severity: Severity, code: &'static str) -> Diagnostic {
        let (object, place) = Default::default();
        Diagnostic { severity, code, object, place, message: "m".into(), remedy: String::new() }
    }

    #[test]
    fn the_worst_findings_come_first_and_once() {
        let info = finding(Severity::Info, "FWY0001");
        let error = finding(Severity::Error, "FWY0002");
        let mut findings = vec![info.clone(), error.clone(), info.clone()];
        order(&mut findings);
        assert_eq!(findings, [error, info]);
    }

    #[test]
    fn errors_of_certificates_are_counted_once() {
        let missing = Diagnostic {
            message: "servers[0].tls.credentialName `x` is no Secret".into(),
            ..finding(Severity::Error, NOT_FOUND)
        };
        let other = finding(Severity::Error, NOT_FOUND);
        let broken = finding(Severity::Error, BAD_CREDENTIAL);
        let all = [missing.clone(), other, broken];
        assert_eq!(certificate_errors(&[], &all), 2);
        assert_eq!(certificate_errors(&[missing], &all), 1);
        assert_eq!(certificate_errors(&all, &all), 0);
    }

    #[test]
    fn only_findings_that_were_not_there_before_are_news() {
        let old = finding(Severity::Error, "FWY0001");
        let new = finding(Severity::Error, "FWY0002");
        assert_eq!(new_findings(std::slice::from_ref(&old), &[old.clone(), new.clone()]), [&new]);
        assert!(new_findings(&[old, new], &[]).is_empty());
    }

    #[test]
    fn a_version_is_summed_up_in_one_line() {
        let version = History::default().advance(snapshot_with(&["a", "b"]), 0, 12).unwrap();
        assert_eq!(
            summary(&version),
            "snapshot 1 published: 1 listener, 2 routes, 2 clusters, 2 endpoints (12 ms)"
        );
    }
}
