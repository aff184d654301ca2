//! What crosses between processes of one host: supervisor and worker, control and worker.

pub mod codec;
pub mod edge;
pub mod message;
