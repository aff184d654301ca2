//! The control API on the wire: generated messages, and their translation to and from what
//! `fairway-shared` defines.
//!
//! | module | owns |
//! | --- | --- |
//! | [`wire`] | generated messages, clients, and the server of `ControlService` |
//! | [`encoded`] | the server of `SnapshotService`, whose updates are encoded once for all |
//! | [`to_wire`] | shared → wire; cannot fail |
//! | [`from_wire`] | wire → shared; checks everything and names the bad field |
//! | [`json`] | any message as JSON, for people |
//!
//! Wire types are for carriers and clients; no decision is taken on them.

#![forbid(unsafe_code)]

pub mod encoded;
pub mod from_wire;
pub mod json;
pub mod to_wire;

/// Generated from `fairway/control/v1/*.proto`, where each field is described.
pub mod wire {
    #![allow(missing_docs, unreachable_pub, clippy::all, clippy::needless_pass_by_value)]
    tonic::include_proto!("fairway.control.v1");

    impl std::fmt::Debug for Secret {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.debug_struct("Secret").field("name", &self.name).finish_non_exhaustive()
        }
    }
}

/// Encoded `FileDescriptorSet` of the whole API with its imports, for server reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// Largest update that a client should accept, in bytes: tonic's default of 4 MiB holds some
/// 20,000 routes only.
pub const UPDATE_BYTES_MAX: usize = fairway_shared::ipc::codec::SNAPSHOT_BYTES_MAX;
