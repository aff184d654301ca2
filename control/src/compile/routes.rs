//! `http` entries of one VirtualService flattened: one route per match entry, in the order
//! written, with what decides where it applies (Istio contract 2.5).

use std::collections::HashSet;
use std::sync::Arc;

use fairway_shared::snapshot::route::{PathMatch, Route, RouteMatch, RouteSpec};

use super::actions::{Action, fill_server_port, needs_server_port, read_action};
use super::destinations::Resolver;
use super::findings::{FieldPath, Scope, UNREACHABLE};
use super::index::is_subset;
use super::matches::{PathKind, Predicates, read_match};
use super::names::GatewayRef;
use crate::object::virtual_service::{HttpMatch, HttpRoute};

/// One route to be, for those Gateway servers that its gate admits.
#[derive(Debug)]
pub(super) struct FlatRoute {
    gate: Gate,
    /// Ends the object's list, and goes to the end of its virtual host.
    is_catch_all: bool,
    needs_server_port: bool,
    route: Arc<Route>,
}

/// A route and whether it takes everything.
#[derive(Debug, Clone)]
pub(super) struct PlacedRoute {
    /// Goes to the end of its virtual host.
    pub(super) is_catch_all: bool,
    /// The route.
    pub(super) route: Arc<Route>,
}

/// Which Gateway servers a flat route is for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Gate {
    /// Written port; 0 = any.
    port: u32,
    /// Gateways; none = any.
    gateways: Vec<String>,
}

impl Gate {
    /// Is it for that Gateway's server with that written port?
    pub(super) fn admits(&self, gateway: &str, written_port: u16) -> bool {
        (self.port == 0 || self.port == u32::from(written_port))
            && (self.gateways.is_empty() || self.gateways.iter().any(|key| key == gateway))
    }
}

/// An `http` entry with its place.
#[derive(Clone, Copy)]
pub(super) struct Entry<'e> {
    /// Place in `spec.http`.
    pub(super) at: usize,
    /// Where it came from, for explanations.
    pub(super) origin: &'e str,
    /// What it says.
    pub(super) http: &'e HttpRoute,
}

/// Flattens one entry. `None` if it has to be left out; an entry that never applies to this pod
/// is an empty list.
pub(super) fn flatten(
    entry: Entry<'_>,
    resolver: Resolver<'_, '_>,
    scope: &mut Scope<'_>,
) -> Option<Vec<FlatRoute>> {
    let action = read_action(entry.http, entry.at, resolver, scope);
    let unconditional = [HttpMatch::default()];
    let matches = match &entry.http.matches[..] {
        [] => &unconditional[..],
        some => some,
    };
    let mut flat = Vec::with_capacity(matches.len());
    let mut usable = 0_usize;
    for (nth, written) in matches.iter().enumerate() {
        let mut part = scope.part(FieldPath::Match(entry.at, nth));
        let mut predicates = read_match(written, &mut part);
        let tests = (written.port, &written.gateways[..]);
        let gate = read_gate(tests, resolver.namespace, &mut part);
        if let Some(action) = &action {
            suit_path(&mut predicates, action, &mut part);
        }
        if part.is_broken() {
            continue;
        }
        usable += 1;
        let Some(action) = &action else { continue };
        if predicates.needs_claim || !is_for_pod(written, resolver) {
            continue;
        }
        let is_catch_all = predicates.is_catch_all();
        let action_behind = action.behind(predicates.path_kind);
        flat.push(FlatRoute {
            gate,
            is_catch_all,
            needs_server_port: needs_server_port(&action_behind),
            route: Arc::new(Route {
                name: route_name(&entry.http.name, &written.name),
                origin: entry.origin.to_owned(),
                spec: Arc::new(RouteSpec {
                    matches: predicates.tests,
                    action: action_behind,
                    headers: action.headers.clone(),
                    cors: action.cors.clone(),
                    fault: action.fault.clone(),
                }),
            }),
        });
    }
    // Were an entry kept whose every match is broken, it would match without condition.
    (usable > 0 && !scope.is_broken()).then_some(flat)
}

/// Makes path test and rewrite fit each other.
fn suit_path(predicates: &mut Predicates, action: &Action, scope: &mut Scope<'_>) {
    if action.needs_prefix() && predicates.path_kind == PathKind::Whole {
        let remedy = "match by prefix, or redirect to uri";
        scope.invalid("uri", "is no prefix test, which redirect.prefixRewrite needs", remedy);
    }
    // No path test counts as prefix `/`, and that prefix is what the rewrite replaces.
    if action.replaces_prefix() && predicates.tests.path == PathMatch::Any {
        predicates.tests.path = PathMatch::Prefix("/".to_owned());
    }
}

/// Reads `port` and `gateways` of a match.
pub(super) fn read_gate(
    (port, written): (u32, &[String]),
    namespace: &str,
    scope: &mut Scope<'_>,
) -> Gate {
    if port > u32::from(u16::MAX) {
        scope.invalid("port", format_args!("is {port}"), "use 1 to 65535");
    }
    let mut gateways = Vec::with_capacity(written.len());
    for name in written {
        match GatewayRef::resolve(name, namespace) {
            Some(resolved) => gateways.push(resolved.key().unwrap_or("mesh").to_owned()),
            None => {
                let what = format_args!("holds `{name}`, no gateway name");
                scope.invalid("gateways", what, "write `namespace/name` or `name`");
            }
        }
    }
    Gate { port, gateways }
}

/// Source tests compare with the gateway pod, and only where no gateways are named.
fn is_for_pod(written: &HttpMatch, resolver: Resolver<'_, '_>) -> bool {
    let pod = resolver.world.index.pod;
    let namespace = written.source_namespace.as_str();
    !written.gateways.is_empty()
        || (is_subset(&written.source_labels, &pod.labels)
            && (namespace.is_empty() || namespace == pod.namespace))
}

fn route_name(http: &str, entry: &str) -> String {
    match (http, entry) {
        (http, "") => http.to_owned(),
        ("", entry) => entry.to_owned(),
        (http, entry) => format!("{http}.{entry}"),
    }
}

/// Tells entries that no request can reach: after a catch-all, or each match seen before.
#[derive(Default)]
pub(super) struct Reachability {
    /// Place of the entry that takes everything.
    catch_all: Option<usize>,
    seen: HashSet<(Gate, RouteMatch)>,
}

impl Reachability {
    /// Looks at the next entry of the object.
    pub(super) fn visit(&mut self, at: usize, flat: &[FlatRoute], scope: &mut Scope<'_>) {
        let remedy = "move it up, or remove it";
        if let Some(earlier) = self.catch_all {
            let what = format_args!("is never reached: spec.http[{earlier}] takes every request");
            scope.warn(UNREACHABLE, "", what, remedy);
            return;
        }
        let mut is_new = flat.is_empty();
        for route in flat {
            let key = (route.gate.clone(), route.route.spec.matches.clone());
            is_new |= self.seen.insert(key);
            if route.is_catch_all && route.gate == Gate::default() {
                self.catch_all = Some(at);
            }
        }
        if !is_new {
            let what = "is never reached: an earlier entry has the same match";
            scope.warn(UNREACHABLE, "", what, remedy);
        }
    }
}

/// The routes that a Gateway server gets of one VirtualService, up to the first catch-all.
pub(super) fn place(flat: &[FlatRoute], gateway: &str, written_port: u16) -> Vec<PlacedRoute> {
    let mut placed = Vec::new();
    for flat in flat.iter().filter(|flat| flat.gate.admits(gateway, written_port)) {
        let mut route = Arc::clone(&flat.route);
        if flat.needs_server_port {
            let spec = Arc::make_mut(&mut Arc::make_mut(&mut route).spec);
            fill_server_port(&mut spec.action, written_port);
        }
        placed.push(PlacedRoute { is_catch_all: flat.is_catch_all, route });
        if flat.is_catch_all {
            break;
        }
    }
    placed
}
