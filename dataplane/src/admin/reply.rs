//! What each page says: a status and a body from what the loop knows. Pure.

use http::StatusCode;
use serde_json::json;

use super::exposition::{self, Form};
use crate::supervisor::crash::Crash;
use crate::supervisor::event::{Overview, Scrape};
use crate::supervisor::listing::Clusters;

/// A page's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// 200 but for readiness.
    pub status: StatusCode,
    /// `content-type`.
    pub media_type: &'static str,
    /// The whole of it.
    pub body: String,
}

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
/// Prometheus' text format.
const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";

/// OpenMetrics.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Plain text; a line end is added.
pub fn text(status: StatusCode, line: &str) -> Reply {
    Reply { status, media_type: TEXT, body: format!("{line}\n") }
}

/// Text that ends its own lines.
pub fn page(body: String) -> Reply {
    Reply { status: StatusCode::OK, media_type: TEXT, body }
}

fn json(value: &serde_json::Value) -> Reply {
    Reply { status: StatusCode::OK, media_type: JSON, body: format!("{value:#}\n") }
}

/// `ready`, or 503 with the reason.
pub fn ready(overview: &Overview) -> Reply {
    match &overview.not_ready {
        None => text(StatusCode::OK, "ready"),
        Some(reason) => text(StatusCode::SERVICE_UNAVAILABLE, &format!("not ready: {reason}")),
    }
}

/// The reference proxy's words for its state (Envoy: `ServerInfo.State`).
fn state_word(overview: &Overview) -> &'static str {
    match (&overview.not_ready, overview.is_draining) {
        (None, _) => "LIVE",
        (Some(_), true) => "DRAINING",
        (Some(_), false) => "INITIALIZING",
    }
}

/// `LIVE`, or 503 with another word.
pub fn state(overview: &Overview) -> Reply {
    let is_live = overview.not_ready.is_none();
    let status = if is_live { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    text(status, state_word(overview))
}

/// One object per slot: the status line's, how its last process ended, and its last crash.
pub fn workers(overview: &Overview) -> Reply {
    let slots = overview.status.workers.iter().enumerate();
    let all = slots.map(|(index, worker)| {
        let mut object = json!(worker);
        object["lastExit"] = json!(overview.last_exits.get(index).and_then(Option::as_deref));
        let crash = overview.last_crashes.get(index).and_then(Option::as_ref);
        object["lastCrash"] = json!(crash.map(Crash::to_json));
        object
    });
    json(&all.collect())
}

/// What is served, and why something is not.
pub fn listeners(overview: &Overview) -> Reply {
    json(&json!({ "listeners": overview.status.listeners, "problems": overview.problems }))
}

/// Clusters with their endpoints, as `query` wants them: `format=json`, else text.
pub fn clusters(clusters: &Clusters, query: Option<&str>) -> Reply {
    let wants_json = query.is_some_and(|query| query.split('&').any(|one| one == "format=json"));
    match wants_json {
        true => json(&super::clusters::json(clusters)),
        false => page(super::clusters::text(clusters)),
    }
}

/// Build, state and age. `node` is the node id; both ages are equal, as one process has them.
pub fn server_info(overview: &Overview, node: &str, uptime_s: u64) -> Reply {
    json(&json!({
        "version": env!("CARGO_PKG_VERSION"),
        "state": state_word(overview),
        "uptime_current_epoch": format!("{uptime_s}s"),
        "uptime_all_epochs": format!("{uptime_s}s"),
        "node": { "id": node },
        "supervisor": overview.status.supervisor,
        "snapshot": overview.status.snapshot,
    }))
}

/// All figures, in the form that is asked for.
pub fn prometheus(scrape: &Scrape, form: Form) -> Reply {
    let (media_type, body) = match form {
        Form::Text => (EXPOSITION, figures(scrape)),
        Form::OpenMetrics => {
            let own = exposition::as_open_metrics(&scrape.own);
            let workers = exposition::render(&scrape.merged, form);
            (OPEN_METRICS, format!("{own}{workers}# EOF\n"))
        }
    };
    Reply { status: StatusCode::OK, media_type, body }
}

/// The form that a scraper's `accept` prefers.
pub fn form(accept: Option<&str>) -> Form {
    match accept.is_some_and(|accept| accept.contains("application/openmetrics-text")) {
        true => Form::OpenMetrics,
        false => Form::Text,
    }
}

/// All figures, a line each.
pub fn stats(scrape: &Scrape) -> Reply {
    page(exposition::as_stats(&figures(scrape)))
}

fn figures(scrape: &Scrape) -> String {
    let workers = exposition::render(&scrape.merged, Form::Text);
    format!("{}\n{workers}", scrape.own.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use fairway_shared::instance::{SupervisorStatus, WorkerStatus};

    fn overview(not_ready: Option<&str>, is_draining: bool) -> Overview {
        Overview { not_ready: not_ready.map(str::to_owned), is_draining, ..Overview::default() }
    }

    #[test]
    fn readiness_is_a_status_with_its_reason() {
        for (overview, code, line, word) in [
            (overview(None, false), 200, "ready\n", "LIVE\n"),
            (overview(Some("why"), false), 503, "not ready: why\n", "INITIALIZING\n"),
            (overview(Some("draining"), true), 503, "not ready: draining\n", "DRAINING\n"),
        ] {
            assert_eq!(
                (ready(&overview).status.as_u16(), &ready(&overview).body[..]),
                (code, line)
            );
            assert_eq!(
                (state(&overview).status.as_u16(), &state(&overview).body[..]),
                (code, word)
            );
        }
    }

    #[test]
    fn a_worker_shows_how_its_last_process_ended() {
        let workers_of = vec![WorkerStatus { id: 3, ..WorkerStatus::default() }];
        let overview = Overview {
            status: SupervisorStatus { workers: workers_of, ..SupervisorStatus::default() },
            last_exits: vec![Some("SIGSEGV".to_owned())],
            ..Overview::default()
        };
        let body: serde_json::Value = serde_json::from_str(&workers(&overview).body).unwrap();
        assert_eq!(body[0]["id"], 3);
        assert_eq!(body[0]["state"], "starting");
        assert_eq!(body[0]["lastExit"], "SIGSEGV");
    }
}
