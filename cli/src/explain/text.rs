//! An explanation for people: the verdict first, then how it came about.

use std::fmt::Write;

use fairway_proto::wire::{ExplainResponse, ExplainedCluster, ObjectPlace, TriedRule};

/// The whole explanation. `is_wide` adds every rule's match.
pub(super) fn text(answer: &ExplainResponse, is_wide: bool) -> String {
    let mut out = String::new();
    // Writing to a `String` cannot fail.
    let _ = write(answer, is_wide, &mut out);
    out
}

fn write(answer: &ExplainResponse, is_wide: bool, out: &mut String) -> std::fmt::Result {
    writeln!(out, "{}", answer.verdict)?;
    if let Some(listener) = &answer.listener {
        writeln!(out, "\nlistener      {} {}", listener.id, listener.protocol)?;
        for gateway in &listener.gateways {
            writeln!(out, "              {}", place(gateway))?;
        }
    }
    if !answer.virtual_host.is_empty() {
        writeln!(out, "virtual host  {}", answer.virtual_host)?;
    }
    if !answer.rules.is_empty() {
        writeln!(out, "\nrules, in the order tried")?;
        answer.rules.iter().try_for_each(|rule| write_rule(rule, is_wide, out))?;
    }
    if !answer.actions.is_empty() {
        writeln!(out, "\nwhat the route does")?;
        answer.actions.iter().try_for_each(|line| writeln!(out, "  {line}"))?;
    }
    answer.clusters.iter().try_for_each(|cluster| write_cluster(cluster, out))?;
    if !answer.hints.is_empty() {
        writeln!(out, "\nworth a look")?;
        answer.hints.iter().try_for_each(|hint| writeln!(out, "  {hint}"))?;
    }
    Ok(())
}

fn write_rule(rule: &TriedRule, is_wide: bool, out: &mut String) -> std::fmt::Result {
    let mark = if rule.matched { "✓" } else { "✗" };
    let name = if rule.name.is_empty() { String::new() } else { format!(" `{}`", rule.name) };
    let object = rule.object.as_ref().map(place).unwrap_or_default();
    let entry = rule.origin.rsplit_once('#').map(|(_, entry)| entry).unwrap_or_default();
    write!(out, "  {mark} {object} spec.http[{entry}]{name}")?;
    match rule.matched {
        true => writeln!(out, ": matches {}", rule.r#match)?,
        false => writeln!(out, ": {}", rule.failed)?,
    }
    if is_wide && !rule.matched {
        writeln!(out, "      asks for {}", rule.r#match)?;
    }
    Ok(())
}

fn write_cluster(cluster: &ExplainedCluster, out: &mut String) -> std::fmt::Result {
    writeln!(out, "\ncluster       {} ({:.4} %)", cluster.name, Percent(cluster.percent))?;
    for object in &cluster.objects {
        writeln!(out, "              {}", place(object))?;
    }
    if !cluster.exists {
        writeln!(out, "              does not exist: requests sent here are answered 503")?;
    } else if cluster.endpoints.is_empty() {
        writeln!(out, "              no ready endpoint: requests sent here are answered 503")?;
    }
    for endpoint in &cluster.endpoints {
        writeln!(out, "  endpoint    {} ready", endpoint.address)?;
    }
    Ok(())
}

/// A percentage without the zeros behind it.
struct Percent(f64);

impl std::fmt::Display for Percent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digits = f.precision().unwrap_or(0);
        let text = format!("{:.digits$}", self.0);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// `VirtualService dk-shop/user dk-shop.yaml:23`
fn place(object: &ObjectPlace) -> String {
    let mut text = format!("{} {}/{}", object.kind, object.namespace, object.name);
    if !object.file.is_empty() {
        let _ = write!(text, " {}:{}", object.file, object.line);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verdict_comes_first_and_each_rule_has_its_reason() {
        let rule = TriedRule {
            origin: "shop/user#3".into(),
            object: Some(ObjectPlace {
                kind: "VirtualService".into(),
                namespace: "shop".into(),
                name: "user".into(),
                file: "a.yaml".into(),
                line: 9,
            }),
            failed: "path is `/x`, not `/y`".into(),
            ..Default::default()
        };
        let answer = ExplainResponse {
            verdict: "404: no route".into(),
            virtual_host: "a.b".into(),
            rules: vec![rule],
            clusters: vec![ExplainedCluster {
                name: "c".into(),
                percent: 12.5,
                ..Default::default()
            }],
            ..Default::default()
        };
        let text = text(&answer, false);
        assert!(text.starts_with("404: no route\n"), "{text}");
        let line = "✗ VirtualService shop/user a.yaml:9 spec.http[3]: path is `/x`, not `/y`\n";
        assert!(text.contains(line), "{text}");
        assert!(text.contains("c (12.5 %)"), "{text}");
        assert!(text.contains("does not exist"), "{text}");
    }
}
