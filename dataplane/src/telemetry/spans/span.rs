//! What a span says: its name and tags, from a finished record (Istio contract 6.4).

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use fairway_shared::ipc::message::NodeIdentity;
use fairway_shared::snapshot::route::{PathMatch, Route, RouteAction};

use super::{Context, Tracer};
use crate::telemetry::destination;
use crate::telemetry::record::{Record, Slot};

/// A span on its way to the helper thread.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// Its place in the trace.
    pub context: Context,
    /// `<host>:<port>/<path match>`
    pub name: String,
    /// Since the epoch, in microseconds.
    pub start_us: u64,
    /// In microseconds, at least one.
    pub duration_us: u64,
    /// In order.
    pub tags: Vec<(String, String)>,
    /// The endpoint.
    pub upstream: Option<SocketAddr>,
    /// The response is a 5xx, or there is none.
    pub is_error: bool,
}

/// Tags that name the gateway.
pub(super) fn fixed_tags(node: &NodeIdentity) -> Vec<(String, String)> {
    let source = destination::source(node);
    let of_source = |name: &str| {
        let found = source.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    [
        ("component", "proxy".to_owned()),
        ("node_id", node.id.clone()),
        ("istio.mesh_id", "cluster.local".to_owned()),
        ("istio.namespace", node.namespace.clone()),
        ("istio.canonical_service", of_source("source_canonical_service")),
        ("istio.canonical_revision", of_source("source_canonical_revision")),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

impl Tracer {
    /// The span of a request that ended at `now`.
    pub(super) fn span(&self, context: &Context, record: &Record, now: SystemTime) -> Span {
        let micros = |duration: std::time::Duration| u64::try_from(duration.as_micros());
        let end_us = micros(now.duration_since(UNIX_EPOCH).unwrap_or_default());
        let duration_us = micros(record.duration).unwrap_or(u64::MAX).max(1);
        Span {
            context: *context,
            name: name(record),
            start_us: end_us.unwrap_or(u64::MAX).saturating_sub(duration_us),
            duration_us,
            tags: self.tags(record),
            upstream: record.upstream,
            is_error: record.status == 0 || record.status >= 500,
        }
    }

    fn tags(&self, record: &Record) -> Vec<(String, String)> {
        let field = |slot: Slot| {
            let value = record.fields.get(slot).map(|value| value.as_bytes());
            String::from_utf8_lossy(value.unwrap_or(b"-")).into_owned()
        };
        let host = record.authority.as_ref().map(|value| value.as_bytes()).unwrap_or_default();
        let path = record.path.as_ref().map_or("", |path| path.as_str());
        let url = format!("{}://{}{path}", record.scheme, String::from_utf8_lossy(host));
        let method = record.method.as_ref().map(ToString::to_string).unwrap_or_default();
        let cluster = record.cluster.as_ref().map(ToString::to_string);
        let mut tags = self.fixed.clone();
        let own = [
            ("http.url", url),
            ("http.method", method),
            ("http.status_code", record.status.to_string()),
            ("http.protocol", record.protocol.unwrap_or_default().to_owned()),
            ("request_size", record.received_bytes.to_string()),
            ("response_size", record.sent_bytes.to_string()),
            ("response_flags", record.flags.to_string()),
            ("upstream_cluster", cluster.unwrap_or_else(|| "-".to_owned())),
            ("user_agent", field(self.user_agent)),
            ("guid:x-request-id", field(self.request_id)),
        ];
        tags.extend(own.map(|(name, value)| (name.to_owned(), value)));
        for (name, slot, default) in &self.from_headers {
            let value =
                if record.fields.get(*slot).is_some() { field(*slot) } else { default.clone() };
            tags.push((name.clone(), value));
        }
        if record.status == 0 || record.status >= 500 {
            tags.push(("error".to_owned(), "true".to_owned()));
        }
        tags
    }
}

/// By the one destination, else by the VirtualService.
fn name(record: &Record) -> String {
    let Some(route) = record.route.as_deref() else { return "unknown".to_owned() };
    let path = match &route.spec.matches.path {
        PathMatch::Any => "/*".to_owned(),
        PathMatch::Exact(path) | PathMatch::Regex(path) => path.clone(),
        PathMatch::Prefix(path) => format!("{path}*"),
    };
    match only_destination(route) {
        Some((host, port)) => format!("{host}:{port}{path}"),
        None => {
            let object = route.origin.split('#').next().unwrap_or_default();
            let service = object.rsplit('/').next().unwrap_or_default();
            let port = record.ends.map_or(0, |ends| ends.local.port());
            format!("{service}:{port}{path}")
        }
    }
}

fn only_destination(route: &Route) -> Option<(&str, u16)> {
    match &route.spec.action {
        RouteAction::Forward(forward) => match forward.destinations.as_slice() {
            [only] => Some((&only.cluster.service.host, only.cluster.service.port)),
            _ => None,
        },
        RouteAction::Redirect(_) | RouteAction::Direct(_) => None,
    }
}
