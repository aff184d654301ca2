//! The gRPC carrier: workers of other hosts, possibly of another release. The first update of a
//! stream is whole, later ones are relative to the last acked version while the history holds it.

use std::sync::Arc;
use std::time::Duration;

use fairway_proto::encoded::{EncodedUpdate, SnapshotService};
use fairway_proto::from_wire;
use fairway_proto::wire::{self, snapshot_ack::Content};
use fairway_shared::id::SnapshotVersion;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::HELLO_MS_MAX;
use super::publisher::{Order, Publisher, PublisherError, Subscription};
use super::session::Answer;
use super::view::{Carrier, Subscriber};

/// `SnapshotService`.
#[derive(Debug, Clone)]
pub struct SnapshotApi {
    publisher: Publisher,
}

impl SnapshotApi {
    /// Streams what `publisher` publishes.
    pub fn new(publisher: Publisher) -> Self {
        Self { publisher }
    }
}

type Outbound = mpsc::Sender<Result<EncodedUpdate, Status>>;

#[tonic::async_trait]
impl SnapshotService for SnapshotApi {
    type StreamSnapshotsStream = ReceiverStream<Result<EncodedUpdate, Status>>;

    async fn stream_snapshots(
        &self,
        request: Request<Streaming<wire::SnapshotAck>>,
    ) -> Result<Response<Self::StreamSnapshotsStream>, Status> {
        // One update at most is outstanding, so one place is enough; the second is for the
        // status that ends the stream.
        let (outbound, updates) = mpsc::channel(2);
        let publisher = self.publisher.clone();
        tokio::spawn(async move {
            if let Err(status) = serve(request.into_inner(), &outbound, &publisher).await {
                tracing::warn!("a snapshot stream: {}", status.message());
                // If it does not arrive, there is nobody to hear it.
                let _ = outbound.send(Err(status)).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(updates)))
    }
}

async fn serve(
    mut inbound: Streaming<wire::SnapshotAck>,
    outbound: &Outbound,
    publisher: &Publisher,
) -> Result<(), Status> {
    let Some(subscriber) = greet(&mut inbound).await? else { return Ok(()) };
    let name = format!("worker {} of {}", subscriber.slot, subscriber.node.id);
    let mut subscription = publisher.subscribe(subscriber).await?;
    tracing::debug!("{name} connected over gRPC");
    let end = converse(&mut inbound, outbound, publisher, &mut subscription).await;
    publisher.unsubscribe(subscription.id).await;
    tracing::debug!("{name} hung up");
    end
}

/// The worker's hello; `None` if it hung up first.
async fn greet(inbound: &mut Streaming<wire::SnapshotAck>) -> Result<Option<Subscriber>, Status> {
    let patience = Duration::from_millis(HELLO_MS_MAX);
    let first = tokio::time::timeout(patience, inbound.next()).await;
    let late = |_| Status::deadline_exceeded(format!("no hello within {HELLO_MS_MAX} ms"));
    let Some(first) = first.map_err(late)? else { return Ok(None) };
    let Some(Content::Hello(hello)) = first?.content else {
        return Err(Status::invalid_argument("field hello is missing: it opens the stream"));
    };
    let (node, slot, _) = from_wire::hello(hello)
        .map_err(|error| Status::invalid_argument(format!("in hello: {error}")))?;
    Ok(Some(Subscriber { node, slot, carrier: Carrier::Grpc }))
}

async fn converse(
    inbound: &mut Streaming<wire::SnapshotAck>,
    outbound: &Outbound,
    publisher: &Publisher,
    subscription: &mut Subscription,
) -> Result<(), Status> {
    let mut nonce: Arc<str> = "".into();
    let mut updates = 0_u64;
    loop {
        tokio::select! {
            order = subscription.orders.recv() => {
                let Some(order) = order else { return Err(PublisherError::Unknown.into()) };
                updates += 1;
                nonce = updates.to_string().into();
                let update = EncodedUpdate { body: encode(order).await?, nonce: Arc::clone(&nonce) };
                if outbound.send(Ok(update)).await.is_err() {
                    return Ok(());
                }
            }
            message = inbound.next() => {
                // A stream that breaks ends like one that is closed: the worker comes back.
                let Some(Ok(message)) = message else { return Ok(()) };
                let (version, answer) = answer_in(message, &nonce)?;
                publisher.answer(subscription.id, version, answer).await?;
            }
        }
    }
}

/// What a message says of the update that bears `nonce`.
fn answer_in(message: wire::SnapshotAck, nonce: &str) -> Result<(SnapshotVersion, Answer), Status> {
    let (field, echoed, version, answer) = match message.content {
        Some(Content::Ack(ack)) => ("ack", ack.nonce, ack.version, Answer::Ack),
        Some(Content::Nack(nack)) => {
            ("nack", nack.nonce, nack.version, Answer::Nack { reason: nack.reason })
        }
        Some(Content::Hello(_)) => {
            return Err(Status::invalid_argument("field hello is set again: it opens the stream"));
        }
        None => return Err(Status::invalid_argument("field content is missing")),
    };
    if nonce.is_empty() || echoed != nonce {
        let problem = format!("field {field}.nonce is `{echoed}`, `{nonce}` is outstanding");
        return Err(Status::invalid_argument(problem));
    }
    Ok((SnapshotVersion(version), answer))
}

async fn encode(order: Order) -> Result<fairway_proto::encoded::EncodedBody, Status> {
    let encoding =
        tokio::task::spawn_blocking(move || order.outgoing.message(order.base.as_deref()));
    // Only a runtime that is going down drops the task.
    encoding.await.map_err(|_| PublisherError::Gone.into())
}

impl From<PublisherError> for Status {
    fn from(error: PublisherError) -> Self {
        let text = error.to_string();
        match error {
            PublisherError::Full => Self::resource_exhausted(text),
            PublisherError::Unexpected(_) => Self::invalid_argument(text),
            PublisherError::Unknown => Self::aborted(text),
            PublisherError::NotHeld(_) => Self::not_found(text),
            PublisherError::Gone => Self::unavailable(text),
        }
    }
}
