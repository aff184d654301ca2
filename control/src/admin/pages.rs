//! What the pages say. Pure: a path and a view in, a page out.

use fairway_proto::json::json;
use fairway_proto::to_wire;
use hyper::StatusCode;
use serde_json::{Value, json as object};

use super::{Port, metrics};
use crate::api::lists;
use crate::object::Object;
use crate::publish::view::View;

/// An answer without its transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) status: StatusCode,
    pub(super) content_type: &'static str,
    pub(super) body: String,
}

impl Page {
    pub(super) fn text(status: StatusCode, body: String) -> Self {
        Self { status, content_type: "text/plain; charset=utf-8", body }
    }

    fn json(value: &Value) -> Self {
        let (status, content_type) = (StatusCode::OK, "application/json");
        Self { status, content_type, body: format!("{value:#}\n") }
    }
}

/// The paths of a port, for a reader who guessed wrong.
pub(super) fn paths(port: Port) -> &'static [&'static str] {
    match port {
        Port::Debug => &[
            "/ready",
            "/debug/configz",
            "/debug/endpointz",
            "/debug/syncz",
            "/debug/push_status",
            "/debug/config_dump",
        ],
        Port::Monitoring => &["/metrics", "/version"],
    }
}

/// The debug port.
pub(super) fn debug(path: &str, view: &View) -> Option<Page> {
    Some(match path {
        "/ready" => ready(view),
        "/debug/configz" => Page::json(&configz(view)),
        "/debug/endpointz" => Page::json(&json(&lists::endpoints(view, ""))["endpoints"]),
        "/debug/syncz" => Page::json(&json(&lists::dataplanes(view, ""))["dataplanes"]),
        "/debug/push_status" => Page::json(&push_status(view)),
        "/debug/config_dump" => Page::json(&config_dump(view)),
        _ => return None,
    })
}

/// The monitoring port.
pub(super) fn monitoring(path: &str, view: &View) -> Option<Page> {
    match path {
        "/metrics" => {
            let mut page = Page::text(StatusCode::OK, metrics::exposition(view));
            page.content_type = "text/plain; version=0.0.4; charset=utf-8";
            Some(page)
        }
        "/version" => {
            Some(Page::text(StatusCode::OK, concat!(env!("CARGO_PKG_VERSION"), "\n").into()))
        }
        _ => None,
    }
}

fn ready(view: &View) -> Page {
    match view.current() {
        Some(_) => Page::text(StatusCode::OK, "ready\n".to_owned()),
        None => {
            let status = StatusCode::SERVICE_UNAVAILABLE;
            Page::text(status, "not ready: nothing has been compiled yet\n".to_owned())
        }
    }
}

/// Every object that was read, and where.
fn configz(view: &View) -> Value {
    let entry = |object: &Object| {
        object!({
            "kind": object.spec.kind(),
            "namespace": object.meta.namespace,
            "name": object.meta.name,
            "labels": object.meta.labels,
            "place": object.place.as_ref().map(ToString::to_string),
        })
    };
    let objects = view.config.iter().flat_map(|config| &config.objects);
    objects.map(|object| entry(object)).collect()
}

fn push_status(view: &View) -> Value {
    let in_sync = view.subscribers.iter().filter(|one| view.is_in_sync(one)).count();
    let versions = json(&lists::snapshots(view, ""));
    object!({
        "current": versions["snapshots"].get(0),
        "dataplanes": view.subscribers.len(),
        "dataplanes_in_sync": in_sync,
        "updates_sent": view.tally.sent,
        "updates_nacked": view.tally.nacked,
        "diagnostics": json(&lists::diagnostics(view, ""))["diagnostics"],
    })
}

fn config_dump(view: &View) -> Value {
    let dump = |snapshot, published_at| json(&to_wire::snapshot(snapshot, published_at));
    view.current()
        .map_or(Value::Null, |version| dump(&version.snapshot, version.published_at_unix_ms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::history::History;
    use crate::publish::session::{Answer, Session};
    use crate::publish::testing::snapshot_with;
    use crate::publish::view::{Carrier, Subscriber, SubscriberStatus};
    use fairway_shared::id::{SnapshotVersion, WorkerSlot};

    /// One version, one subscriber that nacked it.
    fn view() -> View {
        let mut history = History::default();
        history.advance(snapshot_with(&["user"]), 5, 3);
        let mut session = Session::default();
        session.offer(SnapshotVersion(1));
        session.answer(SnapshotVersion(1), Answer::Nack { reason: "too big".into() }).unwrap();
        let node = Default::default();
        let subscriber = Subscriber { node, slot: WorkerSlot(2), carrier: Carrier::Unix };
        let status = SubscriberStatus {
            subscriber,
            session,
            connected_at_unix_ms: 1,
            changed_at_unix_ms: 2,
        };
        let versions = history.newest_first().cloned().collect();
        View { versions, subscribers: vec![status], ..View::default() }
    }

    fn page(path: &str) -> Value {
        serde_json::from_str(&debug(path, &view()).unwrap().body).unwrap()
    }

    #[test]
    fn control_is_ready_after_the_first_version() {
        assert_eq!(debug("/ready", &View::default()).unwrap().status, 503);
        assert_eq!(debug("/ready", &view()).unwrap().status, 200);
    }

    #[test]
    fn a_nack_shows_in_syncz_with_its_reason() {
        let synced = page("/debug/syncz");
        assert_eq!(synced[0]["slot"], 2);
        assert_eq!(synced[0]["version_nacked"], 1);
        assert_eq!(synced[0]["nack_reason"], "too big");
        assert_eq!(synced[0]["in_sync"], false);
    }

    #[test]
    fn pages_show_what_is_published() {
        assert_eq!(page("/debug/config_dump")["listeners"][0]["id"], "0.0.0.0_80");
        assert_eq!(page("/debug/endpointz")[0]["cluster"], "outbound|80||user");
        assert_eq!(page("/debug/push_status")["current"]["routes"], 1);
        assert_eq!(page("/debug/configz"), Value::Array(Vec::new()));
    }

    #[test]
    fn every_path_that_is_named_exists() {
        for path in paths(Port::Debug) {
            assert!(Port::Debug.page(path, &View::default()).is_some(), "{path}");
        }
        for path in paths(Port::Monitoring) {
            assert!(Port::Monitoring.page(path, &View::default()).is_some(), "{path}");
        }
        assert_eq!(Port::Debug.page("/metrics", &View::default()), None);
    }
}
