//! Upstream clusters: their policy, their connections, their figures.

pub mod actor;
pub mod asked_first;
pub mod connect;
pub mod handle;
pub mod health;
pub mod limits;
pub mod outlier;
pub mod pool;
pub mod queue;
pub mod secured;
pub mod sharing;
