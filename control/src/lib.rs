//! Reads configuration, compiles it into snapshots, publishes them to data planes.
//!
//! | module | owns |
//! | --- | --- |
//! | [`args`] | the command line |
//! | [`run`] | the process: who is started in which order, and how it ends |
//! | [`source`] | where objects come from |
//! | [`object`] | typed input |
//! | [`store`] | the latest objects; one config set per quiet moment |
//! | [`compile`] | config set to snapshot, pure |
//! | [`explain`] | what becomes of a request, and why, pure |
//! | [`analyze`] | what is dubious in objects that compile, pure |
//! | [`validity`] | certificates that are not valid at a moment, pure |
//! | [`offline`] | files read once and compiled, for tools |
//! | [`publish`] | versions, subscribers, carriers |
//! | [`api`] | `ControlService` |
//! | [`admin`] | debug pages and metrics |
//! | [`report`] | what is said on stderr about the configuration |
//!
//! A config change goes from `source` through `store`, `compile` and `publish` to the workers.

#![forbid(unsafe_code)]

pub mod admin;
pub mod analyze;
pub mod api;
pub mod args;
pub mod compile;
pub mod explain;
pub mod object;
pub mod offline;
pub mod publish;
pub mod report;
pub mod run;
pub mod source;
pub mod store;
pub mod validity;

pub use run::main_with;
