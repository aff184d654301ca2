//! What a client may take of the gateway, whoever it is: the limits that hold before any route is
//! looked at. Given on the data plane's command line, the same for all of its workers.

use std::time::Duration;

use bincode::{Decode, Encode};

/// See the module. A limit that may be off is off at 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct EdgeLimits {
    /// From the first byte of a request's head to its last, and from accepting a connection to
    /// its first byte, in milliseconds; 0 = no limit.
    pub head_timeout_ms: u64,
    /// A connection without a request, in milliseconds; 0 = no limit.
    pub idle_timeout_ms: u64,
    /// A request or response of which nothing moves, in milliseconds; 0 = no limit.
    pub stream_idle_timeout_ms: u64,
    /// Bytes of a request's head, from 8192.
    pub head_bytes_max: u32,
    /// Fields of a request, from 1; with HTTP/2 each cookie crumb is one.
    pub fields_max: u32,
    /// Bytes of a request's target, from 1.
    pub target_bytes_max: u32,
    /// Requests of one connection; 0 = no limit.
    pub requests_per_connection_max: u32,
    /// Open connections of one listener in one worker; 0 = no limit.
    pub connections_max: u32,
    /// Open connections of one client address, or IPv6 network of 64 bits, of one listener in one
    /// worker; 0 = no limit.
    pub connections_per_address_max: u32,
    /// Concurrent streams of an HTTP/2 connection, from 1.
    pub streams_max: u32,
}

impl EdgeLimits {
    /// Smallest [`Self::head_bytes_max`].
    pub const HEAD_BYTES_MIN: u32 = 8 * 1024;
}

impl Default for EdgeLimits {
    fn default() -> Self {
        Self {
            head_timeout_ms: 15_000,
            idle_timeout_ms: 3_600_000,
            stream_idle_timeout_ms: 300_000,
            head_bytes_max: 60 * 1024,
            fields_max: 100,
            target_bytes_max: 60 * 1024,
            requests_per_connection_max: 0,
            connections_max: 50_000,
            connections_per_address_max: 0,
            streams_max: 100,
        }
    }
}

/// A time limit in milliseconds, where 0 is none.
pub fn limit(millis: u64) -> Option<Duration> {
    (millis > 0).then(|| Duration::from_millis(millis))
}
