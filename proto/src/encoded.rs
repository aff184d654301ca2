//! Updates as bytes. A snapshot is encoded once, however many subscribers it goes to; only the
//! nonce differs between them and is appended, since protobuf merges what is concatenated.
//! Must never look into the bytes.

use std::marker::PhantomData;
use std::sync::Arc;

use fairway_shared::snapshot::Snapshot;
use prost::Message;
use prost::bytes::{BufMut, Bytes};
use tonic::Status;
use tonic::codec::{Codec, EncodeBuf, Encoder};
use tonic_prost::ProstCodec;

use crate::{to_wire, wire};

pub use server::{SnapshotService, SnapshotServiceServer};

/// The generated server, over [`UpdateCodec`].
mod server {
    #![allow(missing_docs, unreachable_pub, clippy::all, clippy::needless_pass_by_value)]
    tonic::include_proto!("fairway.control.v1.SnapshotService");
    pub use snapshot_service_server::{SnapshotService, SnapshotServiceServer};
}

/// An update without its nonce, encoded. Cloning shares the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedBody(Bytes);

impl EncodedBody {
    /// The whole snapshot.
    pub fn whole(snapshot: &Snapshot) -> Self {
        Self(to_wire::whole_update(snapshot).encode_to_vec().into())
    }

    /// What leads from `base` to `snapshot`.
    pub fn delta(base: &Snapshot, snapshot: &Snapshot) -> Self {
        Self(to_wire::delta_update(base, snapshot).encode_to_vec().into())
    }

    /// Length in bytes.
    pub fn bytes(&self) -> usize {
        self.0.len()
    }
}

/// An update on its way to one subscriber.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedUpdate {
    /// Shared by all subscribers.
    pub body: EncodedBody,
    /// This subscriber's.
    pub nonce: Arc<str>,
}

/// Writes [`EncodedUpdate`]s as they are and decodes `D` as protobuf. `E` is always
/// [`EncodedUpdate`]; the generated server names both.
#[derive(Debug)]
pub struct UpdateCodec<E, D>(PhantomData<(E, D)>);

impl<E, D> Default for UpdateCodec<E, D> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<D> Codec for UpdateCodec<EncodedUpdate, D>
where
    D: Message + Default + Send + 'static,
{
    type Encode = EncodedUpdate;
    type Decode = D;
    type Encoder = UpdateEncoder;
    type Decoder = <ProstCodec<wire::SnapshotUpdate, D> as Codec>::Decoder;

    fn encoder(&mut self) -> Self::Encoder {
        UpdateEncoder
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<wire::SnapshotUpdate, D>::default().decoder()
    }
}

/// The encoding half of [`UpdateCodec`].
#[derive(Debug)]
pub struct UpdateEncoder;

impl Encoder for UpdateEncoder {
    type Item = EncodedUpdate;
    type Error = Status;

    fn encode(&mut self, update: EncodedUpdate, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        let nonce = wire::SnapshotUpdate { nonce: update.nonce.to_string(), ..Default::default() };
        let tail = nonce.encode_to_vec();
        out.reserve(update.body.bytes() + tail.len());
        out.put_slice(&update.body.0);
        out.put_slice(&tail);
        Ok(())
    }
}
