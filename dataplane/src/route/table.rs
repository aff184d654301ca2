//! The route table: virtual host by name, route by path and predicates, lowest order wins.
//!
//! Exact hosts are found by hash, wildcards by their suffix from the left, routes by
//! [`RouteSet`]. Cost grows with the length of host and path.

use std::collections::HashMap;
use std::sync::Arc;

use fairway_shared::id::ClusterId;
use fairway_shared::pattern::PatternError;
use fairway_shared::snapshot::route::{self, Route, VirtualHost};

use super::predicate::RequestView;
use super::route_set::{CompiledRoute, Compiler, RouteSet};

/// Why a snapshot's table cannot be built.
#[derive(Debug, thiserror::Error)]
#[error("route `{route}` of virtual host {domain}")]
pub struct TableError {
    /// The virtual host.
    pub domain: String,
    /// Origin of the route.
    pub route: String,
    /// What is wrong with it.
    #[source]
    pub cause: RouteError,
}

/// Why a route cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    /// A pattern.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// A header name or value that HTTP does not allow.
    #[error("header `{name}` with value `{value}` is not valid HTTP")]
    Header {
        /// As configured.
        name: String,
        /// As configured.
        value: String,
    },
    /// A redirect, authority or status that HTTP does not allow.
    #[error("`{value}` is not valid in a {place}")]
    Value {
        /// As configured.
        value: String,
        /// Which field.
        place: &'static str,
    },
}

/// The virtual hosts of a listener. See the module.
#[derive(Debug, Default)]
pub struct RouteTable {
    exact: HashMap<Box<str>, u32>,
    /// Keyed by the suffix with its leading dot.
    wildcards: HashMap<Box<str>, u32>,
    any: Option<u32>,
    hosts: Vec<HostRoutes>,
    /// What the destinations' numbers stand for.
    clusters: Vec<ClusterId>,
    cursors: u32,
}

/// The routes of one virtual host.
#[derive(Debug)]
struct HostRoutes {
    /// For the names and origins of its routes.
    source: Arc<VirtualHost>,
    routes: Arc<RouteSet>,
    /// Cursor of its first route; the others follow.
    first_cursor: u32,
}

/// Where a route stands in its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteIndex {
    host: u32,
    rule: u32,
}

/// What a lookup finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup {
    /// No virtual host takes the request's host, or none of its routes the request: 404 `NR`.
    NotFound,
    /// The virtual host sends all requests to https.
    HttpsRedirect,
    /// This one.
    Route(RouteIndex),
}

impl RouteTable {
    /// Builds the table; everything that can be wrong is found here.
    ///
    /// # Errors
    /// The first route that cannot be built.
    pub fn new(source: &route::RouteTable) -> Result<Self, TableError> {
        let mut table = Self::default();
        let mut compiler = Compiler::default();
        for (index, host) in source.virtual_hosts.iter().enumerate() {
            let index = index as u32;
            match host.domain.strip_prefix('*') {
                None => drop(table.exact.insert(host.domain.as_str().into(), index)),
                Some("") => table.any = Some(index),
                Some(suffix) => drop(table.wildcards.insert(suffix.into(), index)),
            }
            table.hosts.push(HostRoutes {
                source: Arc::clone(host),
                routes: compiler.set(host)?,
                first_cursor: table.cursors,
            });
            table.cursors += host.routes.len() as u32;
        }
        table.clusters = compiler.numbering.into_clusters();
        Ok(table)
    }

    /// The clusters that routes point to by number.
    pub fn clusters(&self) -> &[ClusterId] {
        &self.clusters
    }

    /// How many cursors there are: one a route of each virtual host.
    pub fn cursors(&self) -> u32 {
        self.cursors
    }

    /// The route at an index that [`Self::lookup`] of this table returned.
    pub fn route(&self, index: RouteIndex) -> &CompiledRoute {
        self.hosts[index.host as usize].routes.route(index.rule)
    }

    /// Name and origin of the route at such an index.
    pub fn source(&self, index: RouteIndex) -> &Arc<Route> {
        &self.hosts[index.host as usize].source.routes[index.rule as usize]
    }

    /// The cursor of the route at such an index.
    pub fn cursor(&self, index: RouteIndex) -> u32 {
        self.hosts[index.host as usize].first_cursor + index.rule
    }

    /// The route of a request.
    pub fn lookup(&self, request: &RequestView<'_>) -> Lookup {
        let Some(host) = self.virtual_host(request.host) else { return Lookup::NotFound };
        let HostRoutes { source, routes, .. } = &self.hosts[host as usize];
        if source.https_redirect && request.scheme == "http" {
            return Lookup::HttpsRedirect;
        }
        match routes.first_match(request) {
            Some(rule) => Lookup::Route(RouteIndex { host, rule }),
            None => Lookup::NotFound,
        }
    }

    /// Exact, then the longest wildcard suffix, then `*` (Istio contract 2.4).
    fn virtual_host(&self, host: &str) -> Option<u32> {
        if let Some(found) = self.exact.get(host) {
            return Some(*found);
        }
        if !self.wildcards.is_empty() {
            // A suffix starts at a dot and leaves at least one character in front.
            let dots = host.match_indices('.').map(|(at, _)| at).filter(|at| *at > 0);
            if let Some(found) = dots.filter_map(|at| self.wildcards.get(&host[at..])).next() {
                return Some(*found);
            }
        }
        self.any
    }
}
