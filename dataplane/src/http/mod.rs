//! HTTP, from a downstream connection's first byte to a response's last.
//!
//! A request walks `connection` → `request` → `exchange`, which calls in order the route table,
//! the route's action, the cluster's views, the pool, the upstream. Nothing on that way waits for
//! a mailbox, takes a lock or looks anything up by name but host and path.

pub mod body;
pub mod channel;
pub mod client_certificate;
pub mod coalesced;
pub mod connection;
pub mod edited;
pub mod exchange;
pub mod flag;
pub mod forward;
pub mod frame_meter;
pub mod mirror;
pub mod outgoing;
pub mod own;
pub mod prefixed;
pub mod recorded;
pub mod reply;
pub mod request;
pub mod response;
pub mod resting;
pub mod retry;
pub mod secure;
pub mod trust;
pub mod tunnel;
pub mod upstream_error;
pub mod watched;

/// Largest buffer of an HTTP/1.1 connection each way, on either side of the gateway: it grows to
/// this only for bodies that fill it, and a client that does not read costs no more.
pub const BUFFER_BYTES_MAX: usize = 128 * 1024;
