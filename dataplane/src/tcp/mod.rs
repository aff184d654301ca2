//! Opaque bytes: routes by weight, and their way to an endpoint and back.

pub mod exchange;
pub mod route;
