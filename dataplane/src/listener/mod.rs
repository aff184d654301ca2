//! Listeners: accepting, what their kind does with a connection, and the lives of the
//! connections accepted.

pub mod actor;
pub mod addresses;
pub mod bound;
pub mod dispatch;
pub mod lives;
pub mod pulse;
pub mod refusals;
pub mod streams;
pub mod unserved;
