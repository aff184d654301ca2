//! What is known of a connection of opaque bytes at its end: one line of an access log.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use fairway_shared::id::ClusterId;

use super::exchange::{Arrival, Target};
use crate::http::flag::Flags;
use crate::listener::dispatch::Ends;

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
    pub cluster: Option<&'c ClusterId>,
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
            termination: None,
        }
    }

    /// Writes it down.
    pub fn log(&self) {
        tracing::debug!(
            remote = %self.ends.remote,
            server_name = self.server_name.as_deref(),
            route = self.origin,
            cluster = self.cluster.map(tracing::field::display),
            upstream = self.upstream.map(tracing::field::display),
            flags = %self.flags,
            received = self.received_bytes,
            sent = self.sent_bytes,
            termination = self.termination,
            "connection ended"
        );
    }
}
