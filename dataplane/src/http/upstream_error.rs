//! What an error of the HTTP library says of an upstream.

use std::error::Error;
use std::io::{self, ErrorKind};

/// Why an exchange with an upstream broke off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// It closed the connection.
    Closed,
    /// It reset the stream.
    Reset,
    /// It refused the stream before it processed anything.
    Refused,
    /// What it said is not HTTP.
    Protocol,
}

/// Why; errors of the request that is sent are not among these.
pub fn cause_of(error: &hyper::Error) -> Cause {
    let source = error.source();
    if let Some(h2) = source.and_then(|source| source.downcast_ref()) {
        return cause_in_http2(h2);
    }
    let io = source.and_then(|source| source.downcast_ref::<io::Error>()).map(io::Error::kind);
    let is_malformed = matches!(io, Some(ErrorKind::InvalidData | ErrorKind::InvalidInput));
    if error.is_parse() || is_malformed { Cause::Protocol } else { Cause::Closed }
}

fn cause_in_http2(error: &h2::Error) -> Cause {
    // What the library itself ends, it ends because of the other side's faults.
    if error.is_library() {
        Cause::Protocol
    } else if error.reason() == Some(h2::Reason::REFUSED_STREAM) || error.is_go_away() {
        Cause::Refused
    } else if error.is_reset() {
        Cause::Reset
    } else if error.is_io() {
        Cause::Closed
    } else {
        Cause::Protocol
    }
}
