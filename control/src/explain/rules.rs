//! The rules tried, and in words the predicate that each failed.

use std::sync::Arc;

use fairway_proto::wire;
use fairway_shared::snapshot::route::{HeaderMatch, PathMatch, QueryMatch, Route};
use fairway_shared::trial::{Failure, Request, header_values, query_value};

use super::objects::Objects;
use crate::compile::render;

/// Longest text of a request that is quoted, in characters.
const QUOTE_CHARS_MAX: usize = 120;

/// The rules, in the order tried.
pub(super) fn tried(
    rules: &[(&Arc<Route>, Option<Failure<'_>>)],
    request: &Request<'_>,
    objects: &Objects<'_>,
) -> Vec<wire::TriedRule> {
    let rule =
        |(index, (route, failure)): (u32, &(&Arc<Route>, Option<Failure<'_>>))| wire::TriedRule {
            index,
            name: route.name.clone(),
            origin: route.origin.clone(),
            object: Some(objects.origin(&route.origin)),
            r#match: render::match_text(&route.spec.matches),
            matched: failure.is_none(),
            failed: failure
                .map(|failure| in_words(failure, route.spec.matches.ignore_case, request))
                .unwrap_or_default(),
        };
    (0..).zip(rules).map(rule).collect()
}

fn in_words(failure: Failure<'_>, ignore_case: bool, request: &Request<'_>) -> String {
    match failure {
        Failure::Path(test) => path(test, ignore_case, request.path),
        Failure::Header(test) => header(test, request),
        Failure::Query(test) => query(test, request),
    }
}

fn path(test: &PathMatch, ignore_case: bool, path: &str) -> String {
    let case = if ignore_case { " in any case" } else { "" };
    let wanted = match test {
        PathMatch::Any => "anything".to_owned(),
        PathMatch::Exact(text) => format!("`{text}`{case}"),
        PathMatch::Prefix(text) => format!("something that starts with `{text}`{case}"),
        PathMatch::Regex(text) => format!("something that wholly matches `{text}`"),
    };
    format!("path is {}, not {wanted}", quoted(path))
}

fn header(test: &HeaderMatch, request: &Request<'_>) -> String {
    let name = &test.name;
    let what = match name.as_str() {
        ":method" => "method".to_owned(),
        ":scheme" => "scheme".to_owned(),
        ":authority" | "host" => "authority".to_owned(),
        name => format!("header {name}"),
    };
    let wanted = render::text_test(&test.value);
    let values: Vec<String> =
        header_values(name, request).iter().map(|value| quoted(value)).collect();
    let has = if values.is_empty() {
        "is absent".to_owned()
    } else {
        format!("is {}", values.join(" and "))
    };
    match test.inverted {
        false => format!("{what} {has}, not {wanted}"),
        true => format!("{what} {has}, which withoutHeaders excludes by {wanted}"),
    }
}

fn query(test: &QueryMatch, request: &Request<'_>) -> String {
    let wanted = render::text_test(&test.value);
    match query_value(&test.name, request.query) {
        None => format!("query parameter {} is absent, not {wanted}", test.name),
        Some(value) => format!("query parameter {} is {}, not {wanted}", test.name, quoted(value)),
    }
}

fn quoted(text: &str) -> String {
    match text.char_indices().nth(QUOTE_CHARS_MAX) {
        None => format!("`{text}`"),
        Some((end, _)) => format!("`{}…`", &text[..end]),
    }
}
