//! What is known of a connection of opaque bytes at its end: one line of an access log.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use fairway_shared::id::ClusterId;

use super::exchange::{Arrival, Target};
use crate::http::flag::Flags;
use crate::listener::dispatch::Ends;
use crate::telemetry::record::{self, Record};
use crate::telemetry::recording::Recording;

/// See the module. What never came stays absent.
#[derive(Debug, Clone)]
pub struct Finished<'c> {
    /// The client and where it connected to.
    pub ends: Ends,
    /// When it was accepted.
    pub begun: Instant,
    /// From then to its end.
    pub duration: Duration,
    /// SNI.
    pub server_name: Option<Rc<str>>,
    /// The VirtualService that routed it; empty if none.
    pub origin: &'c str,
    /// Where it went.
    pub cluster: Option<&'c Rc<ClusterId>>,
    /// The endpoint.
    pub upstream: Option<SocketAddr>,
    /// The gateway's own address towards it.
    pub upstream_local: Option<SocketAddr>,
    /// Bytes from the client.
    pub received_bytes: u64,
    /// Bytes to the client.
    pub sent_bytes: u64,
    /// Why it was not served: `NC`, `UH`, `UF,URX`; `NR` if no route or chain took it.
    pub flags: Flags,
    /// What went wrong below the bytes towards the endpoint.
    pub transport_failure: Option<&'static str>,
    /// Why the gateway ended it; `None` = it did not.
    pub termination: Option<&'static str>,
}

impl<'c> Finished<'c> {
    /// One that has just begun.
    pub fn new(arrival: &Arrival, target: Target<'c>) -> Self {
        Self {
            ends: arrival.ends,
            begun: arrival.begun,
            duration: Duration::ZERO,
            server_name: arrival.server_name.clone(),
            origin: target.origin,
            cluster: target.cluster.map(|cluster| &cluster.id),
            upstream: None,
            upstream_local: None,
            received_bytes: 0,
            sent_bytes: 0,
            flags: Flags::NONE,
            transport_failure: None,
            termination: None,
        }
    }

    /// Writes it down where somebody wants it.
    pub fn log(&self, recording: &Recording) {
        tracing::debug!(
            remote = %self.ends.remote,
            route = self.origin,
            flags = %self.flags,
            termination = self.termination,
            "connection ended"
        );
        if !recording.wants_record(None) {
            return;
        }
        let ends = record::Ends {
            remote: self.ends.remote,
            direct: self.ends.remote,
            local: self.ends.local,
        };
        let record = Record {
            ends: Some(ends),
            server_name: self.server_name.clone(),
            cluster: self.cluster.map(Rc::clone),
            upstream: self.upstream,
            upstream_local: self.upstream_local,
            flags: self.flags,
            termination: self.termination,
            transport_failure: self.transport_failure,
            received_bytes: self.received_bytes,
            sent_bytes: self.sent_bytes,
            duration: self.duration,
            ..Record::default()
        };
        recording.finish(&record, None);
    }
}
