//! What a worker counts, and how it reports it to the supervisor.

pub mod connections;
pub mod histogram;
pub mod report;
pub mod requests;
