//! What came and never was a request, in one line of the access log: a TLS connection that no chain
//! takes, and bytes that are no HTTP (Istio contract 1.7, 2.12).

use std::rc::Rc;
use std::time::Instant;

use super::dispatch::Ends;
use super::refusals::Refusal;
use crate::clock;
use crate::http::flag::Flags;
use crate::telemetry::record::{self, Record};
use crate::telemetry::recording::Recording;

/// Writes down that no chain serves the name. The connection was accepted at `begun`.
pub fn log_no_chain(
    ends: Ends,
    begun: Instant,
    server_name: Option<Rc<str>>,
    recording: &Recording,
) {
    log(ends, recording, || Record {
        server_name,
        flags: Flags::NO_ROUTE,
        details: Some("filter_chain_not_found"),
        duration: clock::now().saturating_duration_since(begun),
        ..Record::default()
    });
}

/// Writes down that an HTTP/1.1 head could not be read, which the client has been told.
pub fn log_unreadable(ends: Ends, refusal: Refusal, recording: &Recording) {
    let (status, flags, details) = match refusal {
        Refusal::Malformed => (400, Flags::CLIENT_PROTOCOL, "http1.codec_error"),
        Refusal::TooLarge => (431, Flags::NONE, "request_headers_too_large"),
        _ => return,
    };
    log(ends, recording, || Record {
        protocol: Some("HTTP/1.1"),
        status,
        flags,
        details: Some(details),
        ..Record::default()
    });
}

fn log(ends: Ends, recording: &Recording, record: impl FnOnce() -> Record) {
    if !recording.wants_record(None) {
        return;
    }
    let Ends { remote, local } = ends;
    let ends = Some(record::Ends { remote, direct: remote, local });
    recording.finish(&Record { ends, ..record() }, None);
}
