//! Which route takes a request: built once from a snapshot's route table, asked for each request.
//!
//! All but [`bound`] is `Send`, immutable and free of views, so that a helper thread can build it
//! while the worker serves.

pub mod action;
pub mod affinity;
pub mod bound;
pub mod cors;
pub mod edit;
pub mod path_index;
pub mod predicate;
pub mod redirect;
pub mod route_set;
pub mod table;
pub mod weights;

#[cfg(test)]
mod tests;
