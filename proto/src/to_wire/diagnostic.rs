//! Findings.

use fairway_shared::diagnostic::{Diagnostic, Severity};

use crate::wire;

/// One finding.
pub fn diagnostic(from: &Diagnostic) -> wire::Diagnostic {
    let severity = match from.severity {
        Severity::Info => wire::Severity::Info,
        Severity::Warning => wire::Severity::Warning,
        Severity::Error => wire::Severity::Error,
    };
    let place = from.place.clone().unwrap_or_default();
    wire::Diagnostic {
        severity: severity.into(),
        code: from.code.to_owned(),
        kind: from.object.kind.clone(),
        namespace: from.object.namespace.clone(),
        name: from.object.name.clone(),
        file: place.file,
        line: place.line,
        message: from.message.clone(),
        remedy: from.remedy.clone(),
        text: from.to_string(),
    }
}
