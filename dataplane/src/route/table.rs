//! The route table: virtual host by name, route by path and predicates, lowest order wins.
//!
//! Exact hosts are found by hash, wildcards by their suffix from the left, paths through
//! [`PathIndex`], path regexes as one set. Cost grows with the length of host and path.

use std::collections::HashMap;
use std::sync::Arc;

use fairway_shared::id::ClusterId;
use fairway_shared::pattern::{self, PatternError};
use fairway_shared::snapshot::route::{self, PathMatch, Route, VirtualHost};
use regex::bytes::RegexSet;

use super::action::Action;
use super::path_index::{Entry, PathIndex};
use super::predicate::{Predicates, RequestView};

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
pub struct HostRoutes {
    /// Requests are redirected to https, whatever they ask for.
    pub https_redirect: bool,
    routes: Vec<CompiledRoute>,
    paths: PathIndex,
    /// Of lower-cased texts.
    folded_paths: PathIndex,
    regexes: RegexSet,
    /// Rule of each pattern in `regexes`, ascending.
    regex_rules: Box<[u32]>,
    /// Rules without a path test, ascending.
    pathless: Box<[u32]>,
}

/// A route ready to be used.
#[derive(Debug)]
pub struct CompiledRoute {
    /// As in the snapshot, for names and explanations.
    pub source: Arc<Route>,
    /// What to do.
    pub action: Action,
    predicates: Predicates,
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
        let mut numbering = Numbering::default();
        for (index, host) in source.virtual_hosts.iter().enumerate() {
            let index = index as u32;
            match host.domain.strip_prefix('*') {
                None => drop(table.exact.insert(host.domain.as_str().into(), index)),
                Some("") => table.any = Some(index),
                Some(suffix) => drop(table.wildcards.insert(suffix.into(), index)),
            }
            table.hosts.push(HostRoutes::new(host, &mut numbering)?);
        }
        table.clusters = numbering.clusters;
        table.cursors = numbering.cursors;
        Ok(table)
    }

    /// The clusters that routes point to by number.
    pub fn clusters(&self) -> &[ClusterId] {
        &self.clusters
    }

    /// How many cursors its routes number.
    pub fn cursors(&self) -> u32 {
        self.cursors
    }

    /// The route at an index that [`Self::lookup`] of this table returned.
    pub fn route(&self, index: RouteIndex) -> &CompiledRoute {
        &self.hosts[index.host as usize].routes[index.rule as usize]
    }

    /// The route of a request.
    pub fn lookup(&self, request: &RequestView<'_>) -> Lookup {
        let Some(host) = self.virtual_host(request.host) else { return Lookup::NotFound };
        let routes = &self.hosts[host as usize];
        if routes.https_redirect && request.scheme == "http" {
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

impl HostRoutes {
    fn new(host: &VirtualHost, numbering: &mut Numbering) -> Result<Self, TableError> {
        let mut routes = Vec::with_capacity(host.routes.len());
        let (mut paths, mut folded) = (Vec::new(), Vec::new());
        let (mut patterns, mut regex_rules, mut pathless) = (Vec::new(), Vec::new(), Vec::new());
        for (rule, route) in host.routes.iter().enumerate() {
            let rule = rule as u32;
            let named = |cause| TableError {
                domain: host.domain.clone(),
                route: route.origin.clone(),
                cause,
            };
            let ignore_case = route.matches.ignore_case;
            let mut index = |text: &str, is_exact| match ignore_case {
                false => paths.push(Entry { text: text.into(), is_exact, rule }),
                true => folded.push(Entry { text: text.to_ascii_lowercase(), is_exact, rule }),
            };
            match &route.matches.path {
                PathMatch::Any => pathless.push(rule),
                PathMatch::Exact(text) => index(text, true),
                PathMatch::Prefix(text) => index(text, false),
                PathMatch::Regex(text) => {
                    pattern::full_match(text).map_err(|cause| named(cause.into()))?;
                    patterns.push(text.as_str());
                    regex_rules.push(rule);
                }
            }
            routes.push(CompiledRoute::new(route, numbering).map_err(named)?);
        }
        let regexes = pattern::full_match_set(&patterns).map_err(|cause| TableError {
            domain: host.domain.clone(),
            route: "all path patterns together".into(),
            cause: cause.into(),
        })?;
        Ok(Self {
            https_redirect: host.https_redirect,
            routes,
            paths: PathIndex::new(paths),
            folded_paths: PathIndex::new(folded),
            regexes,
            regex_rules: regex_rules.into(),
            pathless: pathless.into(),
        })
    }

    /// The lowest rule all of whose tests hold.
    fn first_match(&self, request: &RequestView<'_>) -> Option<u32> {
        let mut best = u32::MAX;
        let mut consider = |rules: &[u32]| {
            let below = rules.iter().take_while(|rule| **rule < best);
            let holds = |rule: &&u32| self.routes[**rule as usize].predicates.hold(request);
            if let Some(rule) = below.copied().find(|rule| holds(&rule)) {
                best = rule;
            }
        };
        self.paths.candidates(request.path).for_each(&mut consider);
        if !self.folded_paths.is_empty() {
            let folded = request.path.to_ascii_lowercase();
            self.folded_paths.candidates(&folded).for_each(&mut consider);
        }
        consider(&self.pathless);
        if self.regex_rules.first().is_some_and(|first| *first < best) {
            for matched in self.regexes.matches(request.path.as_bytes()) {
                let rule = self.regex_rules[matched];
                if rule >= best {
                    break;
                }
                if self.routes[rule as usize].predicates.hold(request) {
                    best = rule;
                }
            }
        }
        (best != u32::MAX).then_some(best)
    }
}

impl CompiledRoute {
    fn new(route: &Arc<Route>, numbering: &mut Numbering) -> Result<Self, RouteError> {
        Ok(Self {
            predicates: Predicates::new(&route.matches)?,
            action: Action::new(route, numbering)?,
            source: Arc::clone(route),
        })
    }
}

/// Numbers what routes refer to, in the order in which they name it.
#[derive(Debug, Default)]
pub struct Numbering {
    clusters: Vec<ClusterId>,
    numbers: HashMap<ClusterId, u32>,
    cursors: u32,
}

impl Numbering {
    /// The cluster's number in this table.
    pub fn cluster(&mut self, id: &ClusterId) -> u32 {
        if let Some(number) = self.numbers.get(id) {
            return *number;
        }
        let number = self.clusters.len() as u32;
        self.clusters.push(id.clone());
        self.numbers.insert(id.clone(), number);
        number
    }

    /// A cursor of its own for a route.
    pub fn cursor(&mut self) -> u32 {
        self.cursors += 1;
        self.cursors - 1
    }
}
