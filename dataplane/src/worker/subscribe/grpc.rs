//! The remote carrier: typed messages over gRPC, whole or relative to the last acked version.

use fairway_proto::wire::snapshot_ack::Content;
use fairway_proto::wire::snapshot_service_client::SnapshotServiceClient;
use fairway_proto::wire::{Accepted, Hello, Rejected, SnapshotAck, SnapshotUpdate};
use fairway_proto::{UPDATE_BYTES_MAX, from_wire, to_wire};
use fairway_shared::ipc::message::SnapshotSource;
use http::uri::{InvalidUri, Uri};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};

use super::{CONNECT_TIMEOUT, Ended, News, Subscriber, Verdict};

/// Answers on their way: the hello, then one for each update.
const ANSWERS_MAX: usize = 2;

/// Why the conversation is over.
#[derive(Debug, thiserror::Error)]
enum GrpcError {
    #[error("is not an address: {0}")]
    Address(InvalidUri),
    #[error("cannot be reached: {0}")]
    Unreachable(#[from] tonic::transport::Error),
    #[error("{}: {}", .0.code(), .0.message())]
    Status(Box<tonic::Status>),
    #[error("closed the stream")]
    Closed,
}

impl From<tonic::Status> for GrpcError {
    fn from(status: tonic::Status) -> Self {
        Self::Status(Box::new(status))
    }
}

/// One session, from connecting to its end; `None` if there is no such carrier.
pub(super) async fn session(subscriber: &mut Subscriber) -> Option<Ended> {
    let address = subscriber.settings.control_grpc.clone()?;
    let mut stream = match Stream::open(&address, subscriber).await {
        Ok(stream) => stream,
        Err(error) => return Some(Ended::NotConnected(format!("{address}: {error}"))),
    };
    subscriber.tell(News::Connected(true));
    let Err(error) = stream.serve(subscriber).await;
    Some(Ended::Lost(format!("{address}: {error}")))
}

struct Stream {
    updates: Streaming<SnapshotUpdate>,
    answers: mpsc::Sender<SnapshotAck>,
}

impl Stream {
    async fn open(address: &str, subscriber: &Subscriber) -> Result<Self, GrpcError> {
        let channel = connect(address).await?;
        let hello = Hello {
            node: Some(to_wire::node(&subscriber.settings.node)),
            slot: subscriber.settings.slot.0.into(),
            serving: subscriber.serving().0,
        };
        let (answers, outgoing) = mpsc::channel(ANSWERS_MAX);
        let sent = answers.try_send(SnapshotAck { content: Some(Content::Hello(hello)) });
        sent.map_err(|_| GrpcError::Closed)?;
        let mut client =
            SnapshotServiceClient::new(channel).max_decoding_message_size(UPDATE_BYTES_MAX);
        let updates = client.stream_snapshots(ReceiverStream::new(outgoing)).await?.into_inner();
        Ok(Self { updates, answers })
    }

    async fn serve(
        &mut self,
        subscriber: &mut Subscriber,
    ) -> Result<std::convert::Infallible, GrpcError> {
        loop {
            let update = self.updates.message().await?.ok_or(GrpcError::Closed)?;
            let (nonce, version) = (update.nonce.clone(), update.version);
            let content = match take(update, subscriber).await {
                Ok(()) => Content::Ack(Accepted { nonce, version }),
                Err(reason) => Content::Nack(Rejected { nonce, version, reason }),
            };
            let answer = SnapshotAck { content: Some(content) };
            self.answers.send(answer).await.map_err(|_| GrpcError::Closed)?;
            subscriber.serve_something().await;
        }
    }
}

async fn take(update: SnapshotUpdate, subscriber: &mut Subscriber) -> Verdict {
    let current = subscriber.current.borrow().clone();
    let base = current.as_deref().map(|current| &current.snapshot);
    let snapshot = from_wire::update(update, base).map_err(|error| error.to_string())?;
    subscriber.offer(snapshot, SnapshotSource::Control).await
}

async fn connect(address: &str) -> Result<Channel, GrpcError> {
    let uri: Uri = format!("http://{address}").parse().map_err(GrpcError::Address)?;
    let endpoint = Endpoint::from(uri).connect_timeout(CONNECT_TIMEOUT);
    Ok(endpoint.connect().await?)
}
