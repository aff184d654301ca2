//! What a worker counts and records, and how it reports it.
//!
//! | file | owns |
//! | --- | --- |
//! | [`account`] | one request from its head to its end |
//! | [`record`] | what is written down of it |
//! | [`recording`] | what a snapshot's settings want written down |
//! | [`access_log`] | lines, and the thread that writes them |
//! | [`spans`] | trace context, spans, and the thread that sends them |
//! | [`evaluate`] | conditions and values over a record |
//! | [`requests`], [`histogram`], [`messages`] | figures of one destination |
//! | [`cluster`], [`destination`] | whose figures they are |
//! | [`labels`] | what settings change of the standard metrics |
//! | [`worker`] | all of this, as one worker has it |
//! | [`report`] | what the supervisor is told |

pub mod access_log;
pub mod account;
pub mod cluster;
pub mod connections;
pub mod destination;
pub mod evaluate;
pub mod histogram;
pub mod labels;
pub mod messages;
pub mod record;
pub mod recording;
pub mod report;
pub mod requests;
pub mod spans;
pub mod worker;
