//! Listeners: accepting, and the lives of the connections accepted.

pub mod actor;
pub mod lives;
