//! What becomes of a request, and why: from a compiled snapshot and the objects it came from.
//! Pure; agrees with the workers because it tries rules with what their tests are held to
//! ([`fairway_shared::trial`]).
//!
//! | module | owns |
//! | --- | --- |
//! | `question` | the request as described, checked |
//! | `listener` | who takes the connection |
//! | `rules` | the rules tried, and the predicate that each failed |
//! | `clusters` | where the route may send the request |
//! | `objects` | from names to objects and places |
//! | `hints` | objects that name the host and do not apply, and what is wrong with them |

mod clusters;
mod hints;
mod listener;
mod objects;
mod question;
mod rules;

use fairway_proto::{to_wire, wire};
use fairway_shared::diagnostic::Diagnostic;
use fairway_shared::snapshot::Snapshot;
use fairway_shared::snapshot::route::{Route, RouteAction, RouteTable, VirtualHost};
use fairway_shared::trial;

use crate::compile::render;
use crate::object::ConfigSet;
use listener::Way;
use objects::Objects;
pub use question::{BadQuestion, Question};

/// What explanations are drawn from: a compile result and what it was compiled from.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'e> {
    /// The result.
    pub snapshot: &'e Snapshot,
    /// What was compiled.
    pub config: &'e ConfigSet,
    /// What was found on the way.
    pub diagnostics: &'e [Diagnostic],
}

/// Explains one request.
pub fn explain(evidence: Evidence<'_>, question: &Question) -> wire::ExplainResponse {
    let mut answer =
        wire::ExplainResponse { version: evidence.snapshot.version.0, ..Default::default() };
    let mode = evidence.snapshot.settings.path_normalization;
    let Ok(question) = &question.normalised(mode) else {
        answer.status = BAD_REQUEST;
        answer.verdict = "400: the path holds an encoded NUL".to_owned();
        return answer;
    };
    let objects = Objects::new(evidence.config);
    let Some((id, listener)) = listener::choose(evidence.snapshot, question) else {
        answer.verdict = listener::nothing_listens(evidence.snapshot, question);
        answer.hints = hints::hints(evidence, question, None);
        return answer;
    };
    let mut explained = listener::explained(id, listener, &objects);
    match listener::way(listener, question) {
        Way::Closed { verdict } => answer.verdict = verdict,
        Way::Bytes { server, route } => {
            explained.tls_server = server.to_owned();
            (answer.found, answer.actions) = (true, vec![listener::bytes_action(route)]);
            answer.clusters = clusters::of_bytes(evidence, route);
            (answer.verdict, _) = clusters::verdict(&answer.clusters);
        }
        Way::ByServerName { server } => {
            explained.tls_server = server.to_owned();
            answer.found = true;
            answer.verdict = format!("sent to the cluster that `{}` spells", question.sni);
        }
        Way::Http { server, table } => {
            explained.tls_server = server.to_owned();
            explained.route_table.clone_from(&table.0);
            answer.status = NOT_FOUND;
            if let Some(table) = evidence.snapshot.route_tables.get(table) {
                in_table(evidence, question, table, &objects, &mut answer);
            }
        }
    }
    answer.listener = Some(explained);
    let taken_by = answer.route.as_ref().map(|route| route.origin.clone());
    answer.hints = hints::hints(evidence, question, taken_by.as_deref());
    answer
}

const BAD_REQUEST: u32 = 400;
const NOT_FOUND: u32 = 404;
const MOVED: u32 = 301;
const UNAVAILABLE: u32 = 503;

/// The part that needs a route table.
fn in_table(
    evidence: Evidence<'_>,
    question: &Question,
    table: &RouteTable,
    objects: &Objects<'_>,
    answer: &mut wire::ExplainResponse,
) {
    let Some(host) = trial::virtual_host(table, question.host()) else {
        answer.verdict = no_virtual_host(table, question);
        return;
    };
    answer.virtual_host.clone_from(&host.domain);
    if host.https_redirect && question.scheme == "http" {
        (answer.found, answer.status) = (true, MOVED);
        answer.verdict = format!("301 to https: a server of {} says httpsRedirect", host.domain);
        return;
    }
    let request = question.request();
    let tried = trial::try_routes(host, &request);
    answer.rules = rules::tried(&tried, &request, objects);
    match tried.last() {
        Some((route, None)) => taken(evidence, route, answer),
        _ => answer.verdict = no_rule(host, question),
    }
}

fn taken(evidence: Evidence<'_>, route: &Route, answer: &mut wire::ExplainResponse) {
    (answer.found, answer.status) = (true, 0);
    answer.route = Some(to_wire::route(route));
    answer.actions = render::action_lines(route);
    match &route.spec.action {
        RouteAction::Forward(forward) => {
            answer.clusters = clusters::explained(evidence, forward);
            (answer.verdict, answer.status) = clusters::verdict(&answer.clusters);
        }
        RouteAction::Redirect(redirect) => {
            answer.status = redirect.status.into();
            answer.verdict = format!("answered with a redirect, status {}", redirect.status);
        }
        RouteAction::Direct(direct) => {
            answer.status = direct.status.into();
            answer.verdict = format!("answered by the gateway, status {}", direct.status);
        }
    }
}

/// Names listed in a verdict; more are counted.
const NAMES_MAX: usize = 8;

fn no_virtual_host(table: &RouteTable, question: &Question) -> String {
    let names: Vec<String> = table.virtual_hosts.iter().map(|host| host.domain.clone()).collect();
    let there = match names.is_empty() {
        true => "there are none".to_owned(),
        false => format!("there are {}", few(&names)),
    };
    format!("404: no virtual host takes `{}`: {there}", question.host())
}

fn no_rule(host: &VirtualHost, question: &Question) -> String {
    let rules = match host.routes.len() {
        1 => "its only rule does not match".to_owned(),
        count => format!("none of its {count} rules matches"),
    };
    let request = question.request();
    let (method, path) = (request.method, request.path);
    format!("404: virtual host `{}` has no route for {method} {path}: {rules}", host.domain)
}

fn few(names: &[String]) -> String {
    let shown = names.iter().take(NAMES_MAX).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMES_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests;
