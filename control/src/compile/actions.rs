//! What one `http` entry does with a request (Istio contract 2.8 to 2.10), as a template: the
//! path test and the Gateway server that complete it differ from flat route to flat route.

use std::sync::Arc;

use fairway_shared::id::ClusterId;
use fairway_shared::snapshot::route::{
    CorsPolicy, Fault, Forward, HeaderOps, PathRewrite, RetryPolicy, Rewrite, RouteAction,
};

use super::cors::read_cors;
use super::destinations::{Resolver, SERVER_PORT, read_destinations, read_mirrors, set_authority};
use super::faults::read_fault;
use super::findings::{DUBIOUS, Scope};
use super::headers::read_headers;
use super::matches::PathKind;
use super::quantities::read_ms;
use super::replies::{is_default_port, read_direct, read_redirect};
use super::retries::read_retries;
use crate::object::virtual_service::{self as object, HttpRoute};

/// What an `http` entry does.
pub(super) struct Action {
    /// With [`SERVER_PORT`] where the Gateway server decides.
    template: RouteAction,
    /// Route-level header operations.
    pub(super) headers: HeaderOps,
    /// Cross-origin policy.
    pub(super) cors: Option<Arc<CorsPolicy>>,
    /// Injected faults.
    pub(super) fault: Option<Arc<Fault>>,
}

/// The parts of an `http` entry that belong to no single action, read and checked.
struct Extras {
    rewrite: Option<Rewrite>,
    timeout_ms: Option<u64>,
    retry: Option<Arc<RetryPolicy>>,
    headers: HeaderOps,
    authority: Option<String>,
    cors: Option<Arc<CorsPolicy>>,
    fault: Option<Arc<Fault>>,
}

/// Reads the action of an `http` entry at place `at`. `None` if it has none, or too many; what
/// else is wrong the scope knows.
pub(super) fn read_action(
    http: &HttpRoute,
    at: usize,
    resolver: Resolver<'_, '_>,
    scope: &mut Scope<'_>,
) -> Option<Action> {
    let extras = read_extras(http, resolver, scope);
    let mirrors = read_mirrors(http, resolver, scope);
    let template = match (&http.route[..], &http.redirect, &http.direct_response) {
        ([_, ..], None, None) => {
            let mut forward = Forward {
                destinations: Vec::new(),
                rewrite: extras.rewrite,
                timeout_ms: extras.timeout_ms,
                retry: extras.retry,
                mirrors,
            };
            add_destinations(&mut forward, extras.authority, http, (at, resolver), scope);
            RouteAction::Forward(forward)
        }
        ([], Some(redirect), None) => {
            check_alone(http, "redirect", scope);
            RouteAction::Redirect(read_redirect(redirect, scope))
        }
        ([], None, Some(response)) => {
            check_alone(http, "directResponse", scope);
            RouteAction::Direct(read_direct(response, scope))
        }
        _ => {
            let remedy = "set exactly one of them";
            scope.invalid("", "has none or several of route, redirect, directResponse", remedy);
            return None;
        }
    };
    let Extras { headers, cors, fault, .. } = extras;
    Some(Action { template, headers, cors, fault })
}

/// Checks what an `http` entry that delegates lends to its delegate's routes.
pub(super) fn check_lent(http: &HttpRoute, resolver: Resolver<'_, '_>, scope: &mut Scope<'_>) {
    read_extras(http, resolver, scope);
    read_mirrors(http, resolver, scope);
}

fn read_extras(http: &HttpRoute, resolver: Resolver<'_, '_>, scope: &mut Scope<'_>) -> Extras {
    let plan = read_headers(http.headers.as_ref(), scope);
    let timeout_ms = http.timeout.as_deref().and_then(|text| read_ms(text, "timeout", scope));
    Extras {
        rewrite: http.rewrite.as_ref().and_then(|rewrite| read_rewrite(rewrite, scope)),
        // Zero says explicitly that there is no limit.
        timeout_ms: timeout_ms.filter(|ms| *ms > 0),
        retry: read_retries(
            http.retries.as_ref(),
            resolver.world.mesh.default_retry.as_ref(),
            scope,
        ),
        headers: plan.ops,
        authority: plan.authority,
        cors: read_cors(http.cors_policy.as_ref(), scope),
        fault: read_fault(http.fault.as_ref(), scope),
    }
}

fn check_alone(http: &HttpRoute, action: &str, scope: &mut Scope<'_>) {
    for (field, is_set) in [("fault", http.fault.is_some()), ("rewrite", http.rewrite.is_some())] {
        if is_set {
            scope.invalid(field, format_args!("cannot be combined with {action}"), "remove one");
        }
    }
    let unused = [
        ("timeout", http.timeout.is_some()),
        ("retries", http.retries.is_some()),
        ("mirror", http.mirror.is_some() || !http.mirrors.is_empty()),
        ("headers.request", http.headers.as_ref().is_some_and(|headers| headers.request.is_some())),
    ];
    for (field, _) in unused.iter().filter(|(_, is_set)| *is_set) {
        scope.warn(DUBIOUS, field, format_args!("has no effect on a {action}"), "remove it");
    }
}

fn read_rewrite(rewrite: &object::Rewrite, scope: &mut Scope<'_>) -> Option<Rewrite> {
    let authority = (!rewrite.authority.is_empty()).then(|| rewrite.authority.clone());
    let path = match (&rewrite.uri[..], &rewrite.uri_regex_rewrite) {
        ("", None) if authority.is_none() => {
            let remedy = "set uri, uriRegexRewrite or authority";
            scope.invalid("rewrite", "changes nothing", remedy);
            return None;
        }
        ("", None) => None,
        (uri, None) => Some(PathRewrite::Prefix(uri.to_owned())),
        ("", Some(by_regex)) => Some(read_regex_rewrite(by_regex, scope)),
        (_, Some(_)) => {
            scope.invalid("rewrite.uri", "excludes uriRegexRewrite", "keep one");
            None
        }
    };
    Some(Rewrite { path, authority })
}

fn read_regex_rewrite(rewrite: &object::RegexRewrite, scope: &mut Scope<'_>) -> PathRewrite {
    let field = "rewrite.uriRegexRewrite";
    match scope.check_regex(&rewrite.pattern) {
        Err(problem) => scope.invalid(field, format_args!("match {problem}"), "use RE2 syntax"),
        Ok(groups) if !is_substitution(&rewrite.rewrite, groups) => {
            let what = format_args!("rewrite uses a group beyond the {groups} of match");
            scope.invalid(field, what, "use \\0 for the whole match, \\1 for the first group");
        }
        Ok(_) if rewrite.rewrite.is_empty() => {
            scope.invalid(field, "lacks rewrite", "set both match and rewrite");
        }
        Ok(_) => {}
    }
    PathRewrite::Regex { pattern: rewrite.pattern.clone(), substitution: rewrite.rewrite.clone() }
}

/// Is every backslash followed by another, or by the number of a group that exists?
fn is_substitution(text: &str, groups: usize) -> bool {
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            continue;
        }
        let is_known = match chars.next() {
            Some('\\') => true,
            Some(digit) => digit.to_digit(10).is_some_and(|group| group as usize <= groups),
            None => false,
        };
        if !is_known {
            return false;
        }
    }
    true
}

/// Adds the destinations, and decides the upstream Host: the rewrite's, else the route's
/// headers', else the destinations'.
fn add_destinations(
    forward: &mut Forward,
    route_authority: Option<String>,
    http: &HttpRoute,
    (at, resolver): (usize, Resolver<'_, '_>),
    scope: &mut Scope<'_>,
) {
    let written = forward.rewrite.as_ref().and_then(|rewrite| rewrite.authority.clone());
    let mut decided = written.or(route_authority);
    let weighted = read_destinations(http, at, resolver, scope);
    let is_single = weighted.len() == 1;
    for mut to in weighted {
        match to.authority {
            Some(authority) if decided.is_none() && is_single => decided = Some(authority),
            Some(authority) if decided.is_none() => {
                set_authority(&mut to.destination.headers.request, authority);
            }
            _ => {}
        }
        forward.destinations.push(to.destination);
    }
    let is_said = http.retries.as_ref().is_some_and(|r| r.retry_ignore_previous_hosts.is_some());
    let hashes = forward.destinations.iter().any(|to| to.hash.is_some());
    // A key belongs to one endpoint, so another is not sought unless the route says so
    // (Istio contract 2.9).
    if let Some(retry) = forward.retry.as_mut().filter(|_| hashes && !is_said) {
        Arc::make_mut(retry).ignore_previous_hosts = false;
    }
    if decided.is_some() {
        let rewrite = forward.rewrite.get_or_insert(Rewrite { path: None, authority: None });
        rewrite.authority = decided;
    }
}

impl Action {
    /// Replaces a matched prefix, which asks for a path tested by prefix.
    pub(super) fn replaces_prefix(&self) -> bool {
        matches!(self.path_rewrite(), Some(PathRewrite::Prefix(_)))
    }

    /// Redirects to a new prefix, which only a prefix test allows.
    pub(super) fn needs_prefix(&self) -> bool {
        matches!(&self.template, RouteAction::Redirect(_)) && self.replaces_prefix()
    }

    fn path_rewrite(&self) -> Option<&PathRewrite> {
        match &self.template {
            RouteAction::Forward(forward) => forward.rewrite.as_ref()?.path.as_ref(),
            RouteAction::Redirect(redirect) => redirect.path.as_ref(),
            RouteAction::Direct(_) => None,
        }
    }

    /// The action behind a path test: with an exact or regex test the whole path is replaced.
    pub(super) fn behind(&self, path: PathKind) -> RouteAction {
        let mut action = self.template.clone();
        if let RouteAction::Forward(Forward { rewrite: Some(rewrite), .. }) = &mut action
            && path == PathKind::Whole
            && let Some(PathRewrite::Prefix(uri)) = &rewrite.path
        {
            rewrite.path = Some(PathRewrite::Full(uri.clone()));
        }
        action
    }
}

fn clusters_mut(forward: &mut Forward) -> impl Iterator<Item = &mut ClusterId> {
    let destinations = forward.destinations.iter_mut().map(|to| &mut to.cluster);
    destinations.chain(forward.mirrors.iter_mut().map(|mirror| &mut mirror.cluster))
}

/// Does the Gateway server decide a port of this action?
pub(super) fn needs_server_port(action: &RouteAction) -> bool {
    match action {
        RouteAction::Forward(forward) => {
            let destinations = forward.destinations.iter().map(|to| &to.cluster);
            let mut clusters = destinations.chain(forward.mirrors.iter().map(|m| &m.cluster));
            clusters.any(|cluster| cluster.service.port == SERVER_PORT)
        }
        RouteAction::Redirect(redirect) => redirect.port == Some(SERVER_PORT),
        RouteAction::Direct(_) => false,
    }
}

/// Puts the Gateway server's written port where it decides.
pub(super) fn fill_server_port(action: &mut RouteAction, written_port: u16) {
    match action {
        RouteAction::Forward(forward) => {
            for cluster in clusters_mut(forward) {
                if cluster.service.port == SERVER_PORT {
                    cluster.service.port = written_port;
                }
            }
        }
        RouteAction::Redirect(redirect) if redirect.port == Some(SERVER_PORT) => {
            let is_default = is_default_port(written_port, redirect.scheme.as_deref());
            redirect.port = (!is_default).then_some(written_port);
        }
        RouteAction::Redirect(_) | RouteAction::Direct(_) => {}
    }
}
