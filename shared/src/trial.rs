//! Which route takes a request, tried rule by rule in the order of the table: slow, and able to
//! say why a rule did not match. Workers look routes up through indexes; their tests hold the
//! two to the same answers.

use std::borrow::Cow;
use std::sync::Arc;

use crate::matching::covers;
use crate::pattern;
use crate::snapshot::route::{
    HeaderMatch, PathMatch, QueryMatch, Route, RouteMatch, RouteTable, StringMatch, VirtualHost,
};

/// What predicates look at.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Canonical host: lower case, without port.
    pub host: &'a str,
    /// `:authority` or Host as received, port included.
    pub authority: &'a str,
    /// Canonical, without query.
    pub path: &'a str,
    /// Raw, without the question mark.
    pub query: Option<&'a str>,
    /// Method.
    pub method: &'a str,
    /// `http` or `https`.
    pub scheme: &'a str,
    /// Lower-case names and values; a name may repeat.
    pub headers: &'a [(String, String)],
}

/// The first predicate of a rule that a request fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure<'a> {
    /// The path test.
    Path(&'a PathMatch),
    /// A header test.
    Header(&'a HeaderMatch),
    /// A query test.
    Query(&'a QueryMatch),
}

/// The virtual host that takes a canonical host: the exact name, then the longest wildcard suffix,
/// then `*` (Istio contract 2.4).
pub fn virtual_host<'t>(table: &'t RouteTable, host: &str) -> Option<&'t Arc<VirtualHost>> {
    let takes = table.virtual_hosts.iter().filter(|candidate| covers(&candidate.domain, host));
    takes.max_by_key(|candidate| (!candidate.domain.starts_with('*'), candidate.domain.len()))
}

/// The routes of a virtual host in the order tried, up to and with the one that takes the request,
/// each with what it failed. If the last of them failed too, no route takes the request.
pub fn try_routes<'t>(
    host: &'t VirtualHost,
    request: &Request<'_>,
) -> Vec<(&'t Arc<Route>, Option<Failure<'t>>)> {
    let mut tried = Vec::new();
    for route in &host.routes {
        let failure = first_failure(&route.spec.matches, request);
        tried.push((route, failure));
        if failure.is_none() {
            break;
        }
    }
    tried
}

/// The first predicate that does not hold: path, then headers, then query (Istio contract 2.6).
pub fn first_failure<'m>(matches: &'m RouteMatch, request: &Request<'_>) -> Option<Failure<'m>> {
    if !path_holds(matches, request.path) {
        return Some(Failure::Path(&matches.path));
    }
    let header = matches.headers.iter().find(|test| !header_holds(test, request));
    if let Some(test) = header {
        return Some(Failure::Header(test));
    }
    let query = matches.query.iter().find(|test| !query_holds(test, request.query));
    query.map(Failure::Query)
}

fn path_holds(matches: &RouteMatch, path: &str) -> bool {
    let fold = |text: &str| match matches.ignore_case {
        true => text.to_ascii_lowercase(),
        false => text.to_owned(),
    };
    match &matches.path {
        PathMatch::Any => true,
        PathMatch::Exact(text) => fold(path) == fold(text),
        PathMatch::Prefix(text) => fold(path).starts_with(&fold(text)),
        PathMatch::Regex(text) => is_full_match(text, path),
    }
}

fn header_holds(test: &HeaderMatch, request: &Request<'_>) -> bool {
    let values = header_values(&test.name, request);
    let holds = match values.is_empty() {
        true => test.absent_is_empty && text_holds(&test.value, ""),
        false => values.iter().any(|value| text_holds(&test.value, value)),
    };
    holds != test.inverted
}

/// The values that a header test sees; pseudo headers have one.
pub fn header_values<'r>(name: &str, request: &Request<'r>) -> Vec<Cow<'r, str>> {
    let one = |value: &'r str| vec![Cow::Borrowed(value)];
    match name {
        ":method" => one(request.method),
        ":scheme" => one(request.scheme),
        ":authority" | "host" => one(request.authority),
        ":path" => match request.query {
            None => one(request.path),
            Some(query) => vec![Cow::Owned(format!("{}?{query}", request.path))],
        },
        name => {
            let named = request.headers.iter().filter(|(of, _)| of == name);
            named.map(|(_, value)| Cow::Borrowed(value.as_str())).collect()
        }
    }
}

fn query_holds(test: &QueryMatch, query: Option<&str>) -> bool {
    query_value(&test.name, query).is_some_and(|value| text_holds(&test.value, value))
}

/// The first raw value of a query parameter; a parameter without `=` has an empty one.
pub fn query_value<'r>(name: &str, query: Option<&'r str>) -> Option<&'r str> {
    let mut pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    pairs.find_map(|pair| {
        let (of, value) = pair.split_once('=').unwrap_or((pair, ""));
        (of == name).then_some(value)
    })
}

fn text_holds(test: &StringMatch, value: &str) -> bool {
    match test {
        StringMatch::Present => true,
        StringMatch::Exact(text) => value == text,
        StringMatch::Prefix(text) => value.starts_with(text),
        StringMatch::Regex(text) => is_full_match(text, value),
    }
}

/// Control lets no pattern pass that does not compile; one that does not takes nothing.
fn is_full_match(text: &str, value: &str) -> bool {
    pattern::full_match(text).is_ok_and(|regex| regex.is_match(value.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(name: &str, value: StringMatch, inverted: bool) -> HeaderMatch {
        HeaderMatch { name: name.into(), value, inverted, absent_is_empty: false }
    }

    /// The first failure of a rule on `GET /a/b?x=1&y` to `shop.example:8080` with `h: v`.
    fn check(matches: &RouteMatch, expected: Option<Failure<'_>>) {
        let request = Request {
            host: "shop.example",
            authority: "shop.example:8080",
            path: "/a/b",
            query: Some("x=1&y"),
            method: "GET",
            scheme: "http",
            headers: &[("h".into(), "v".into()), ("h".into(), "w".into())],
        };
        assert_eq!(first_failure(matches, &request), expected, "{matches:?}");
    }

    #[test]
    fn the_first_predicate_that_fails_is_named() {
        let path = PathMatch::Prefix("/b".into());
        check(&RouteMatch { path: path.clone(), ..Default::default() }, Some(Failure::Path(&path)));
        for (test, holds) in [
            (header("h", StringMatch::Exact("w".into()), false), true),
            (header("h", StringMatch::Exact("x".into()), false), false),
            (header("h", StringMatch::Exact("w".into()), true), false),
            (header("none", StringMatch::Present, false), false),
            (header("none", StringMatch::Present, true), true),
            (header(":method", StringMatch::Exact("GET".into()), false), true),
            (header(":authority", StringMatch::Prefix("shop.example:80".into()), false), true),
            (header(":path", StringMatch::Regex("/a/b.x=1.*".into()), false), true),
        ] {
            let matches = RouteMatch { headers: vec![test.clone()], ..Default::default() };
            check(&matches, (!holds).then_some(Failure::Header(&test)));
        }
        for (name, value, holds) in [
            ("x", StringMatch::Exact("1".into()), true),
            ("y", StringMatch::Exact(String::new()), true),
            ("z", StringMatch::Present, false),
        ] {
            let test = QueryMatch { name: name.into(), value };
            let matches = RouteMatch { query: vec![test.clone()], ..Default::default() };
            check(&matches, (!holds).then_some(Failure::Query(&test)));
        }
    }

    #[test]
    fn the_most_specific_virtual_host_takes_the_request() {
        let host = |domain: &&str| {
            let domain = (*domain).to_owned();
            Arc::new(VirtualHost { domain, routes: vec![], https_redirect: false })
        };
        let domains = ["*", "*.b", "*.a.b", "x.a.b"];
        let table = RouteTable { virtual_hosts: domains.iter().map(host).collect() };
        for (name, expected) in
            [("x.a.b", "x.a.b"), ("y.a.b", "*.a.b"), ("a.b", "*.b"), ("b", "*"), ("", "*")]
        {
            let found = virtual_host(&table, name).map(|host| host.domain.as_str());
            assert_eq!(found, Some(expected), "{name}");
        }
        assert!(virtual_host(&RouteTable::default(), "b").is_none());
    }
}
