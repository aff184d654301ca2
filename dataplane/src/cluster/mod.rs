//! Upstream clusters: their policy, their connections, their figures.

pub mod actor;
pub mod connect;
pub mod handle;
pub mod pool;
