//! Listeners: accepting, what their kind does with a connection, and the lives of the
//! connections accepted.

pub mod actor;
pub mod bound;
pub mod dispatch;
pub mod lives;
