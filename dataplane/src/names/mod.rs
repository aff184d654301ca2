//! Endpoints known by name: DNS answers, kept fresh (Istio contract 4.4).
//!
//! | module | owns |
//! | --- | --- |
//! | [`actor`] | every name that some cluster follows, with its last answer |
//! | [`schedule`] | when a name is asked for again; pure |
//! | [`resolver`] | asking a DNS server |

pub mod actor;
pub mod resolver;
pub mod schedule;
