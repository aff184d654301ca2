//! What control and data plane agree on. Pure data and pure functions: no socket, no runtime,
//! no actor.
//!
//! | module | owns |
//! | --- | --- |
//! | [`id`] | newtypes for names, slots and versions |
//! | [`snapshot`] | the compiled configuration, immutable and whole |
//! | [`pattern`] | regular expressions, bounded |
//! | [`template`] | header values with substitutions |
//! | [`matching`] | host and string matchers and their precedence |
//! | [`path`] | the canonical form of a request path |
//! | [`trial`] | which route takes a request, tried rule by rule |
//! | [`diagnostic`] | findings in the user's objects |
//! | [`ipc`] | what crosses a process boundary on one host |
//! | [`certificate`] | PEM to certificates and keys |
//! | [`duration`] | Go-style durations, as flags and YAML write them |
//! | [`instance`] | `instance.json` and the status lines it is made of |
//! | [`metric`] | every metric, in one table |

#![forbid(unsafe_code)]

pub mod certificate;
pub mod condition;
pub mod diagnostic;
pub mod duration;
pub mod id;
pub mod instance;
pub mod ipc;
pub mod log_format;
pub mod matching;
pub mod metric;
pub mod path;
pub mod pattern;
pub mod snapshot;
pub mod template;
pub mod trial;
