//! The routes of virtual hosts that do the same: tests and actions compiled once, found through
//! [`PathIndex`] and one set of path regexes. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use fairway_shared::id::ClusterId;
use fairway_shared::pattern;
use fairway_shared::snapshot::route::{PathMatch, RouteSpec, VirtualHost};
use regex::bytes::RegexSet;

use super::action::Action;
use super::path_index::{Entry, PathIndex};
use super::predicate::{Predicates, RequestView};
use super::table::{RouteError, TableError};

/// See the module.
#[derive(Debug)]
pub struct RouteSet {
    routes: Box<[Arc<CompiledRoute>]>,
    paths: PathIndex,
    /// Of lower-cased texts.
    folded_paths: PathIndex,
    regexes: Option<Regexes>,
    /// Rules without a path test, ascending.
    pathless: Box<[u32]>,
}

#[derive(Debug)]
struct Regexes {
    set: RegexSet,
    /// Rule of each pattern, ascending.
    rules: Box<[u32]>,
}

/// A route ready to be used.
#[derive(Debug)]
pub struct CompiledRoute {
    /// What to do.
    pub action: Action,
    predicates: Predicates,
}

/// Compiles each specification, and each list of them, once. Equal ones are told by their
/// address: who decodes or compiles a table lets equal ones share it.
#[derive(Debug, Default)]
pub(super) struct Compiler {
    pub(super) numbering: Numbering,
    routes: HashMap<*const RouteSpec, Arc<CompiledRoute>>,
    sets: HashMap<Box<[*const RouteSpec]>, Arc<RouteSet>>,
}

impl Compiler {
    /// The routes of a virtual host.
    ///
    /// # Errors
    /// The first route that cannot be built.
    pub(super) fn set(&mut self, host: &VirtualHost) -> Result<Arc<RouteSet>, TableError> {
        let key: Box<[_]> = host.routes.iter().map(|route| Arc::as_ptr(&route.spec)).collect();
        if let Some(known) = self.sets.get(&key) {
            return Ok(Arc::clone(known));
        }
        let set = Arc::new(self.new_set(host)?);
        self.sets.insert(key, Arc::clone(&set));
        Ok(set)
    }

    fn new_set(&mut self, host: &VirtualHost) -> Result<RouteSet, TableError> {
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
            let ignore_case = route.spec.matches.ignore_case;
            let mut index = |text: &str, is_exact| match ignore_case {
                false => paths.push(Entry { text: text.into(), is_exact, rule }),
                true => folded.push(Entry { text: text.to_ascii_lowercase(), is_exact, rule }),
            };
            match &route.spec.matches.path {
                PathMatch::Any => pathless.push(rule),
                PathMatch::Exact(text) => index(text, true),
                PathMatch::Prefix(text) => index(text, false),
                PathMatch::Regex(text) => {
                    pattern::full_match(text).map_err(|cause| named(cause.into()))?;
                    patterns.push(text.as_str());
                    regex_rules.push(rule);
                }
            }
            routes.push(self.route(&route.spec).map_err(named)?);
        }
        let regexes = regexes(&patterns, regex_rules).map_err(|cause| TableError {
            domain: host.domain.clone(),
            route: "all path patterns together".into(),
            cause,
        })?;
        Ok(RouteSet {
            routes: routes.into(),
            paths: PathIndex::new(paths),
            folded_paths: PathIndex::new(folded),
            regexes,
            pathless: pathless.into(),
        })
    }

    fn route(&mut self, spec: &Arc<RouteSpec>) -> Result<Arc<CompiledRoute>, RouteError> {
        if let Some(known) = self.routes.get(&Arc::as_ptr(spec)) {
            return Ok(Arc::clone(known));
        }
        let compiled = Arc::new(CompiledRoute {
            predicates: Predicates::new(&spec.matches)?,
            action: Action::new(spec, &mut self.numbering)?,
        });
        self.routes.insert(Arc::as_ptr(spec), Arc::clone(&compiled));
        Ok(compiled)
    }
}

fn regexes(patterns: &[&str], rules: Vec<u32>) -> Result<Option<Regexes>, RouteError> {
    if patterns.is_empty() {
        return Ok(None);
    }
    Ok(Some(Regexes { set: pattern::full_match_set(patterns)?, rules: rules.into() }))
}

impl RouteSet {
    /// The route of a number that [`Self::first_match`] returned.
    pub(super) fn route(&self, rule: u32) -> &CompiledRoute {
        &self.routes[rule as usize]
    }

    /// The lowest rule all of whose tests hold.
    pub(super) fn first_match(&self, request: &RequestView<'_>) -> Option<u32> {
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
        if let Some(regexes) = &self.regexes
            && regexes.rules.first().is_some_and(|first| *first < best)
        {
            for matched in regexes.set.matches(request.path.as_bytes()) {
                let rule = regexes.rules[matched];
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

/// Numbers what routes refer to, in the order in which they name it.
#[derive(Debug, Default)]
pub struct Numbering {
    clusters: Vec<ClusterId>,
    numbers: HashMap<ClusterId, u32>,
}

impl Numbering {
    /// What the numbers stand for, by number.
    pub(super) fn into_clusters(self) -> Vec<ClusterId> {
        self.clusters
    }

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
}
