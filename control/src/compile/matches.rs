//! One `match` entry of a VirtualService's `http` route to predicates (Istio contract 2.6).

use fairway_shared::snapshot::route::{
    HeaderMatch, PathMatch, QueryMatch, RouteMatch, StringMatch,
};

use super::findings::{NOT_IN_FORCE, Scope};
use crate::object::virtual_service as object;

/// Header key of a test on a token's claim.
const CLAIM_PREFIX: &str = "@request.auth.claims";

/// Predicates of one match entry.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Predicates {
    /// The tests.
    pub(super) tests: RouteMatch,
    /// How the path was tested, which decides what a rewrite replaces.
    pub(super) path_kind: PathKind,
    /// Tests a token's claim, so it can never hold as long as no token is verified.
    pub(super) needs_claim: bool,
}

/// How a path is tested.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum PathKind {
    /// By prefix, or not at all, which counts as prefix `/`.
    #[default]
    Prefix,
    /// As a whole: exact or regex.
    Whole,
}

impl Predicates {
    /// Holds for every request: path prefix `/`, none, or regex `.*`, and nothing else
    /// (Istio contract 2.5).
    pub(super) fn is_catch_all(&self) -> bool {
        let takes_all_paths = match &self.tests.path {
            PathMatch::Any => true,
            PathMatch::Prefix(prefix) => prefix == "/",
            PathMatch::Regex(regex) => regex == ".*",
            PathMatch::Exact(_) => false,
        };
        let is_alone = self.tests.headers.is_empty() && self.tests.query.is_empty();
        takes_all_paths && is_alone && !self.needs_claim
    }
}

/// Reads one match entry. What is wrong goes to `scope`.
pub(super) fn read_match(entry: &object::HttpMatch, scope: &mut Scope<'_>) -> Predicates {
    let (path, path_kind) = match &entry.uri {
        None => (PathMatch::Any, PathKind::Prefix),
        Some(uri) => read_path(uri, scope),
    };
    let mut predicates = Predicates {
        tests: RouteMatch { path, ignore_case: entry.ignore_uri_case, ..RouteMatch::default() },
        path_kind,
        needs_claim: false,
    };
    let pseudo = [
        (":method", "method", &entry.method),
        (":scheme", "scheme", &entry.scheme),
        (":authority", "authority", &entry.authority),
    ];
    for (name, field, test) in pseudo {
        let Some(test) = test else { continue };
        let value = read_string(test, field, scope);
        predicates.tests.headers.push(header(name, value, false));
    }
    if !entry.stat_prefix.is_empty() {
        scope.ignored("statPrefix");
    }
    read_headers(entry, &mut predicates, scope);
    for (name, test) in &entry.query_params {
        if name.is_empty() {
            scope.invalid("queryParams", "has an empty name", "name the parameter");
        }
        let value = read_string(test, "queryParams", scope);
        predicates.tests.query.push(QueryMatch { name: name.clone(), value });
    }
    predicates
}

fn read_headers(entry: &object::HttpMatch, predicates: &mut Predicates, scope: &mut Scope<'_>) {
    let wanted = entry.headers.iter().map(|pair| (pair, "headers", false));
    let unwanted = entry.without_headers.iter().map(|pair| (pair, "withoutHeaders", true));
    for ((name, test), field, inverted) in wanted.chain(unwanted) {
        if name.starts_with(CLAIM_PREFIX) {
            predicates.needs_claim = true;
            scope.warn(
                NOT_IN_FORCE,
                field,
                format_args!("`{name}` tests a token, and tokens are not verified yet"),
                "this match never holds",
            );
            continue;
        }
        if !is_header_name(name.strip_prefix(':').unwrap_or(name)) {
            let remedy = "use letters, digits and `-`";
            scope.invalid(field, format_args!("holds `{name}`, no header name"), remedy);
        }
        let value = read_string(test, field, scope);
        predicates.tests.headers.push(header(&name.to_ascii_lowercase(), value, inverted));
    }
}

fn header(name: &str, value: StringMatch, inverted: bool) -> HeaderMatch {
    // The truth table of Istio contract 2.6: only the presence test tells absent from empty.
    let absent_is_empty = inverted && value != StringMatch::Present;
    HeaderMatch { name: name.to_owned(), value, inverted, absent_is_empty }
}

fn read_path(uri: &object::StringMatch, scope: &mut Scope<'_>) -> (PathMatch, PathKind) {
    // Only here an empty prefix is allowed.
    if let (None, Some(prefix), None) = (&uri.exact, &uri.prefix, &uri.regex) {
        return (PathMatch::Prefix(prefix.clone()), PathKind::Prefix);
    }
    match read_string(uri, "uri", scope) {
        StringMatch::Present => (PathMatch::Any, PathKind::Prefix),
        StringMatch::Exact(path) => (PathMatch::Exact(path), PathKind::Whole),
        StringMatch::Prefix(prefix) => (PathMatch::Prefix(prefix), PathKind::Prefix),
        StringMatch::Regex(regex) => (PathMatch::Regex(regex), PathKind::Whole),
    }
}

/// Reads a text test. If it is broken the scope knows, and the value does not matter.
pub(super) fn read_string(
    test: &object::StringMatch,
    field: &str,
    scope: &mut Scope<'_>,
) -> StringMatch {
    match (&test.exact, &test.prefix, &test.regex) {
        (None, None, None) => StringMatch::Present,
        (Some(exact), None, None) => StringMatch::Exact(exact.clone()),
        (None, Some(prefix), None) => {
            if prefix.is_empty() {
                scope.invalid(field, "has an empty prefix", "use `{}` to test for presence");
            }
            StringMatch::Prefix(prefix.clone())
        }
        (None, None, Some(regex)) if regex == "*" => StringMatch::Present,
        (None, None, Some(regex)) => {
            if let Err(problem) = scope.check_regex(regex) {
                let remedy = "use RE2 syntax of at most 1024 characters";
                scope.invalid(field, format_args!("regex `{}` {problem}", brief(regex)), remedy);
            }
            StringMatch::Regex(regex.clone())
        }
        _ => {
            scope.invalid(field, "sets more than one of exact, prefix and regex", "keep one");
            StringMatch::Present
        }
    }
}

/// The beginning of a text that may be long, for a message.
pub(super) fn brief(text: &str) -> String {
    const CHARS_MAX: usize = 60;
    match text.char_indices().nth(CHARS_MAX) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or(text)),
        None => text.to_owned(),
    }
}

/// A field name (RFC 9110 5.1).
pub(super) fn is_header_name(name: &str) -> bool {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !name.is_empty() && name.bytes().all(is_token)
}
