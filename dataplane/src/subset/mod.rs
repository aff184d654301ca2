//! Load balancing within a cluster: which endpoints its labels select, and who is next.

pub mod actor;
pub mod balance;
pub mod group;
pub mod hash;
pub mod host;
pub mod locality;
pub mod maglev;
pub mod ring;
pub mod spill;
pub mod view;
pub mod warmup;
