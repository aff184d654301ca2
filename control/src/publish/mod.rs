//! From a compiled snapshot to every worker: numbering, history, subscribers and the two carriers.
//!
//! | module | owns |
//! | --- | --- |
//! | [`version`] | one published version and its encoded forms |
//! | [`history`] | which compile results become versions, and the versions still held; pure |
//! | [`session`] | what one subscriber is sent and when; pure |
//! | [`actor`] | the current version and all subscribers |
//! | [`publisher`] | what can be asked of it |
//! | [`view`] | the publisher's state at one moment, for pages and lists |
//! | [`unix`], [`grpc`] | the carriers |
//!
//! Nothing here waits for a worker: a subscriber that does not answer keeps its one outstanding
//! update and is sent nothing else until it does.

pub mod actor;
pub mod grpc;
pub mod history;
pub mod publisher;
pub mod session;
#[cfg(test)]
pub(crate) mod testing;
pub mod unix;
pub mod version;
pub mod view;

/// Subscribers at one time; more are refused.
pub const SUBSCRIBERS_MAX: usize = 4096;
/// How long a new connection may take to say who it is, in milliseconds.
pub const HELLO_MS_MAX: u64 = 5_000;
/// Longest reason of a nack that is kept, in bytes.
pub const REASON_BYTES_MAX: usize = 1024;
