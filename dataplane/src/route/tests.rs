//! The table against a naive interpreter of the same rules.

use std::sync::Arc;

use fairway_shared::id::{ClusterId, ServicePort};
use fairway_shared::snapshot::route::{
    Destination, DirectResponse, Forward, HeaderMatch, HeaderOps, PathMatch, QueryMatch, Route,
    RouteAction, RouteMatch, RouteSpec, RouteTable, StringMatch, VirtualHost,
};
use fairway_shared::trial;
use http::HeaderMap;
use proptest::prelude::*;

use super::predicate::RequestView;
use super::table::{self, Lookup};

fn route(name: String, matches: RouteMatch) -> Arc<Route> {
    Arc::new(Route {
        name: name.clone(),
        origin: name,
        spec: Arc::new(RouteSpec {
            matches,
            action: RouteAction::Direct(DirectResponse { status: 200, body: vec![] }),
            headers: HeaderOps::default(),
            cors: None,
            fault: None,
        }),
    })
}

/// First match, rule by rule, the way the contract tells it.
fn interpret<'a>(table: &'a RouteTable, request: &trial::Request<'_>) -> Option<&'a str> {
    let host = trial::virtual_host(table, request.host)?;
    let tried = trial::try_routes(host, request);
    tried.last().filter(|(_, failure)| failure.is_none()).map(|(route, _)| route.name.as_str())
}

fn paths() -> impl Strategy<Value = PathMatch> {
    prop_oneof![
        Just(PathMatch::Any),
        "/[abA]{0,2}(/[ab]{0,2})?".prop_map(PathMatch::Exact),
        "(/[abA]{0,2}){0,2}".prop_map(PathMatch::Prefix),
        prop::sample::select(vec!["/a.*", "/[ab]+", ".*b", "/"])
            .prop_map(|text| PathMatch::Regex(text.to_owned())),
    ]
}

fn texts() -> impl Strategy<Value = StringMatch> {
    prop_oneof![
        Just(StringMatch::Present),
        "[xy]{0,2}".prop_map(StringMatch::Exact),
        "[xy]{1,2}".prop_map(StringMatch::Prefix),
        prop::sample::select(vec!["x.*", ".*", "[xy]?"])
            .prop_map(|text| StringMatch::Regex(text.to_owned())),
    ]
}

fn matches() -> impl Strategy<Value = RouteMatch> {
    let header = ("h[12]", texts(), any::<bool>(), any::<bool>()).prop_map(
        |(name, value, inverted, absent_is_empty)| HeaderMatch {
            name,
            value,
            inverted,
            absent_is_empty,
        },
    );
    let query = ("q[12]", texts()).prop_map(|(name, value)| QueryMatch { name, value });
    (
        paths(),
        any::<bool>(),
        prop::collection::vec(header, 0..2),
        prop::collection::vec(query, 0..2),
    )
        .prop_map(|(path, ignore_case, headers, query)| RouteMatch {
            path,
            ignore_case,
            headers,
            query,
        })
}

fn hosts() -> impl Strategy<Value = Vec<Arc<VirtualHost>>> {
    let domains = ["*", "*.a.b", "*.b", "x.a.b", "a.b", "c"];
    let rules = prop::collection::vec(prop::collection::vec(matches(), 0..6), domains.len());
    (rules, prop::sample::subsequence(domains.to_vec(), 1..=domains.len())).prop_map(
        |(rules, domains)| {
            let host = |(domain, rules): (&str, Vec<RouteMatch>)| {
                let named = |(index, matches)| route(format!("{domain}#{index}"), matches);
                Arc::new(VirtualHost {
                    domain: domain.to_owned(),
                    routes: rules.into_iter().enumerate().map(named).collect(),
                    https_redirect: false,
                })
            };
            domains.into_iter().zip(rules).map(host).collect()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn the_table_chooses_what_a_naive_interpreter_chooses(
        hosts in hosts(),
        requests in prop::collection::vec((
            prop::sample::select(vec!["a.b", "x.a.b", "y.x.a.b", "z.b", "b", "c", ""]),
            "/[abA]{0,3}(/[ab]{0,2})?",
            prop::option::of("q[12](=[xy]{0,2})?(&q[12]=[xy]{0,2})?"),
            prop::option::of("[xy]{0,2}"),
        ), 1..16),
    ) {
        let source = RouteTable { virtual_hosts: hosts };
        let table = table::RouteTable::new(&source).unwrap();
        for (host, path, query, header) in &requests {
            let mut headers = HeaderMap::new();
            if let Some(value) = header {
                headers.insert("h1", value.parse().unwrap());
            }
            let request = RequestView {
                host,
                authority: host,
                path,
                query: query.as_deref(),
                method: "GET",
                scheme: "http",
                headers: &headers,
            };
            let found = match table.lookup(&request) {
                Lookup::Route(index) => Some(table.source(index).name.clone()),
                _ => None,
            };
            let listed: Vec<_> =
                header.iter().map(|value| ("h1".to_owned(), value.clone())).collect();
            let trial = trial::Request {
                host,
                authority: host,
                path,
                query: query.as_deref(),
                method: "GET",
                scheme: "http",
                headers: &listed,
            };
            prop_assert_eq!(found.as_deref(), interpret(&source, &trial), "{:?}", request);
        }
    }
}

#[test]
fn clusters_are_numbered_once_however_often_they_are_named() {
    let id = |host: &str| ClusterId {
        service: ServicePort { host: host.into(), port: 80 },
        subset: String::new(),
    };
    let to = |host: &str| {
        let mut one = Arc::unwrap_or_clone(route(host.into(), RouteMatch::default()));
        Arc::make_mut(&mut one.spec).action = RouteAction::Forward(Forward {
            destinations: vec![Destination {
                cluster: id(host),
                weight: 1,
                headers: HeaderOps::default(),
                hash: None,
            }],
            rewrite: None,
            timeout_ms: None,
            retry: None,
            mirrors: vec![],
        });
        Arc::new(one)
    };
    let host = VirtualHost {
        domain: "*".into(),
        routes: vec![to("b"), to("a"), to("b")],
        https_redirect: false,
    };
    let source = RouteTable { virtual_hosts: vec![Arc::new(host)] };
    let table = table::RouteTable::new(&source).unwrap();
    assert_eq!(table.clusters(), [id("b"), id("a")]);
    assert_eq!(table.cursors(), 3);
}

#[test]
fn hosts_with_the_same_routes_share_what_is_compiled_but_not_cursors() {
    let routes = |names: [&str; 2], shared: &[Arc<Route>]| -> Vec<Arc<Route>> {
        let named = |(name, of): (&str, &Arc<Route>)| {
            let (name, origin) = (name.to_owned(), name.to_owned());
            Arc::new(Route { name, origin, spec: Arc::clone(&of.spec) })
        };
        names.into_iter().zip(shared).map(named).collect()
    };
    let path =
        |text: &str| RouteMatch { path: PathMatch::Prefix(text.into()), ..Default::default() };
    let shared = [route("x".into(), path("/x")), route("y".into(), path("/y"))];
    let host = |domain: &str, names| {
        let (domain, routes) = (domain.to_owned(), routes(names, &shared));
        Arc::new(VirtualHost { domain, routes, https_redirect: false })
    };
    let source =
        RouteTable { virtual_hosts: vec![host("a", ["ax", "ay"]), host("b", ["bx", "by"])] };
    let table = table::RouteTable::new(&source).unwrap();
    let headers = HeaderMap::new();
    let found = |host, path| {
        let request = RequestView {
            host,
            authority: host,
            path,
            query: None,
            method: "GET",
            scheme: "http",
            headers: &headers,
        };
        match table.lookup(&request) {
            Lookup::Route(index) => index,
            other => panic!("{host}{path}: {other:?}"),
        }
    };
    let (in_a, in_b) = (found("a", "/y"), found("b", "/y"));
    assert_eq!((&*table.source(in_a).name, &*table.source(in_b).name), ("ay", "by"));
    assert!(std::ptr::eq(table.route(in_a), table.route(in_b)));
    assert_eq!((table.cursor(in_a), table.cursor(in_b)), (1, 3));
}
