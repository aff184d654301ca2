//! A worker: one thread that serves, one helper thread that receives snapshots.
//!
//! | file | owns |
//! | --- | --- |
//! | [`boot`] | the process: settings, runtime, threads |
//! | [`actor`] | the applied snapshot and the other actors' addresses |
//! | [`apply`] | what a new snapshot changes, as a plan; pure |
//! | [`link`] | frames and descriptors from and to the supervisor |
//! | [`prepare`] | a snapshot made ready to apply; on the helper thread |
//! | [`subscribe`] | the stream from control; on the helper thread |
//! | [`last_good`] | the snapshot on disk |
//! | [`published`] | how actors hand state to requests |

pub mod actor;
pub mod apply;
pub mod bindings;
pub mod boot;
pub mod files;
pub mod last_good;
pub mod link;
pub mod prepare;
pub mod published;
pub mod subscribe;
