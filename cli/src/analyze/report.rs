//! Findings as JSON and as SARIF 2.1.0 (OASIS). Pure.

use std::collections::BTreeSet;

use fairway_shared::diagnostic::{Diagnostic, Severity};
use serde_json::{Value, json};

/// An array: what `istioctl analyze -o json` has, and the parts by themselves.
pub(super) fn json(findings: &[Diagnostic]) -> Value {
    let one = |finding: &Diagnostic| {
        json!({
            "code": finding.code,
            "level": finding.severity.to_string(),
            "origin": finding.object.to_string(),
            "reference": finding.place.as_ref().map(ToString::to_string).unwrap_or_default(),
            "message": finding.message,
            "remedy": finding.remedy,
            "kind": finding.object.kind,
            "namespace": finding.object.namespace,
            "name": finding.object.name,
            "file": finding.place.as_ref().map(|place| &place.file),
            "line": finding.place.as_ref().map(|place| place.line),
        })
    };
    findings.iter().map(one).collect()
}

/// One run with one result a finding.
pub(super) fn sarif(findings: &[Diagnostic]) -> Value {
    let codes: BTreeSet<&str> = findings.iter().map(|finding| finding.code).collect();
    let rules: Vec<Value> = codes.iter().map(|code| json!({ "id": code })).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "fairway analyze",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "results": findings.iter().map(result).collect::<Vec<_>>(),
        }],
    })
}

fn result(finding: &Diagnostic) -> Value {
    let level = match finding.severity {
        Severity::Info => "note",
        Severity::Warning => "warning",
        Severity::Error => "error",
    };
    let text = match finding.remedy.as_str() {
        "" => finding.message.clone(),
        remedy => format!("{}: {remedy}", finding.message),
    };
    let mut location = json!({
        "logicalLocations": [{ "fullyQualifiedName": finding.object.to_string() }],
    });
    if let Some(place) = &finding.place {
        location["physicalLocation"] = json!({
            "artifactLocation": { "uri": place.file },
            // Lines count from one, also where only the file is known.
            "region": { "startLine": place.line.max(1) },
        });
    }
    json!({
        "ruleId": finding.code,
        "level": level,
        "message": { "text": text },
        "locations": [location],
    })
}

#[cfg(test)]
mod tests {
    use fairway_shared::diagnostic::{ObjectRef, Place};

    use super::*;

    fn finding() -> Diagnostic {
        Diagnostic {
            severity: Severity::Warning,
            code: "IST0132",
            object: ObjectRef {
                kind: "VirtualService".into(),
                namespace: "a".into(),
                name: "b".into(),
            },
            place: Some(Place { file: "c.yaml".into(), line: 7 }),
            message: "hosts fit nothing".into(),
            remedy: "name a host".into(),
        }
    }

    #[test]
    fn json_has_the_line_and_its_parts() {
        let all = json(&[finding()]);
        assert_eq!(all[0]["level"], "Warning");
        assert_eq!(all[0]["origin"], "VirtualService a/b");
        assert_eq!(all[0]["reference"], "c.yaml:7");
        assert_eq!(all[0]["line"], 7);
        assert_eq!(json(&[]), Value::Array(vec![]));
    }

    #[test]
    fn sarif_points_to_the_line() {
        let run = &sarif(&[finding(), finding()])["runs"][0];
        assert_eq!(run["tool"]["driver"]["rules"].as_array().map(Vec::len), Some(1));
        let first = &run["results"][0];
        assert_eq!((&first["ruleId"], &first["level"]), (&json!("IST0132"), &json!("warning")));
        assert_eq!(first["message"]["text"], "hosts fit nothing: name a host");
        let place = &first["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "c.yaml");
        assert_eq!(place["region"]["startLine"], 7);
    }
}
