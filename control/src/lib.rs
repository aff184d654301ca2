//! Reads configuration, compiles it into snapshots, publishes them to data planes.

pub mod object;
