//! Route tables: what is tested of a request. What is done with it is in `action`.

use std::collections::BTreeSet;
use std::sync::Arc;

use fairway_shared::id::RouteTableId;
use fairway_shared::snapshot::route::{
    CorsPolicy, HeaderMatch, PathMatch, QueryMatch, Route, RouteAction, RouteMatch, RouteSpec,
    RouteTable, StringMatch, VirtualHost,
};

use super::action::{direct, fault, forward, header_ops, redirect};
use super::check::{At, FieldError, Problem, each, named, required};
use crate::wire;
use wire::path_match::Test as PathTest;
use wire::route::Action;
use wire::string_match::Test as StringTest;

pub(super) fn route_table(
    from: wire::RouteTable,
) -> Result<(RouteTableId, RouteTable), FieldError> {
    let id = RouteTableId(named(from.id).at("id")?);
    let virtual_hosts = each("virtual_hosts", from.virtual_hosts, virtual_host)?;
    let mut domains = BTreeSet::new();
    for (index, host) in virtual_hosts.iter().enumerate() {
        if !domains.insert(&host.domain) {
            let key = host.domain.clone();
            let twice = Err(FieldError::from(Problem::Duplicate { key }));
            return twice.at("domain").at_index("virtual_hosts", index);
        }
    }
    Ok((id, RouteTable { virtual_hosts }))
}

fn virtual_host(from: wire::VirtualHost) -> Result<Arc<VirtualHost>, FieldError> {
    Ok(Arc::new(VirtualHost {
        domain: named(from.domain).at("domain")?,
        routes: each("routes", from.routes, route)?,
        https_redirect: from.https_redirect,
    }))
}

/// One route.
///
/// # Errors
/// The field that does not hold.
pub fn route(from: wire::Route) -> Result<Arc<Route>, FieldError> {
    let action = match required(from.action).at("action")? {
        Action::Forward(action) => RouteAction::Forward(forward(action).at("forward")?),
        Action::Redirect(action) => RouteAction::Redirect(redirect(action).at("redirect")?),
        Action::Direct(action) => RouteAction::Direct(direct(action).at("direct")?),
    };
    let spec = RouteSpec {
        matches: from.r#match.map(route_match).transpose().at("match")?.unwrap_or_default(),
        action,
        headers: header_ops(from.headers).at("headers")?,
        cors: from.cors.map(cors).transpose().at("cors")?.map(Arc::new),
        fault: from.fault.map(fault).transpose().at("fault")?.map(Arc::new),
    };
    Ok(Arc::new(Route { name: from.name, origin: from.origin, spec: Arc::new(spec) }))
}

fn route_match(from: wire::RouteMatch) -> Result<RouteMatch, FieldError> {
    Ok(RouteMatch {
        path: from.path.map(path_match).transpose().at("path")?.unwrap_or_default(),
        ignore_case: from.ignore_case,
        headers: each("headers", from.headers, header_match)?,
        query: each("query", from.query, query_match)?,
    })
}

fn path_match(from: wire::PathMatch) -> Result<PathMatch, FieldError> {
    Ok(match required(from.test).at("test")? {
        PathTest::Exact(text) => PathMatch::Exact(text),
        PathTest::Prefix(text) => PathMatch::Prefix(text),
        PathTest::Regex(text) => PathMatch::Regex(text),
    })
}

fn string_match(from: wire::StringMatch) -> Result<StringMatch, FieldError> {
    Ok(match required(from.test).at("test")? {
        StringTest::Present(wire::Present {}) => StringMatch::Present,
        StringTest::Exact(text) => StringMatch::Exact(text),
        StringTest::Prefix(text) => StringMatch::Prefix(text),
        StringTest::Regex(text) => StringMatch::Regex(text),
    })
}

fn header_match(from: wire::HeaderMatch) -> Result<HeaderMatch, FieldError> {
    Ok(HeaderMatch {
        name: named(from.name).at("name")?,
        value: required(from.value).and_then(string_match).at("value")?,
        inverted: from.inverted,
        absent_is_empty: from.absent_is_empty,
    })
}

fn query_match(from: wire::QueryMatch) -> Result<QueryMatch, FieldError> {
    let value = required(from.value).and_then(string_match).at("value")?;
    Ok(QueryMatch { name: from.name, value })
}

fn cors(from: wire::CorsPolicy) -> Result<CorsPolicy, FieldError> {
    Ok(CorsPolicy {
        allow_origins: each("allow_origins", from.allow_origins, string_match)?,
        allow_methods: from.allow_methods,
        allow_headers: from.allow_headers,
        expose_headers: from.expose_headers,
        max_age_secs: from.max_age_secs,
        allow_credentials: from.allow_credentials,
        forward_unmatched_preflights: from.forward_unmatched_preflights,
    })
}
