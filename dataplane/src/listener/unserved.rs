//! A TLS connection that no chain takes: one line of the access log (Istio contract 1.7, 2.12).

use std::rc::Rc;
use std::time::Instant;

use super::dispatch::Ends;
use crate::clock;
use crate::http::flag::Flags;
use crate::telemetry::record::{self, Record};
use crate::telemetry::recording::Recording;

/// As operators know it.
const DETAILS: &str = "filter_chain_not_found";

/// Writes it down where somebody wants it. The connection was accepted at `begun`.
pub fn log(ends: Ends, begun: Instant, server_name: Option<Rc<str>>, recording: &Recording) {
    if !recording.wants_record(None) {
        return;
    }
    let Ends { remote, local } = ends;
    let record = Record {
        ends: Some(record::Ends { remote, direct: remote, local }),
        server_name,
        flags: Flags::NO_ROUTE,
        details: Some(DETAILS),
        duration: clock::now().saturating_duration_since(begun),
        ..Record::default()
    };
    recording.finish(&record, None);
}
