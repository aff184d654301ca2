//! One worker from hello to hang-up.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use fairway_shared::ipc::message::{FromControl, ToControl, schema_fingerprint};
use tokio::net::UnixStream;

use super::frames::{ConnectionError, Frames};
use super::handshake::judge;
use super::memfd::MemfdError;
use crate::publish::HELLO_MS_MAX;
use crate::publish::publisher::{Order, Publisher, PublisherError, Subscription};
use crate::publish::session::Answer;
use crate::publish::view::Subscriber;

/// Why a conversation ended before the worker hung up.
#[derive(Debug, thiserror::Error)]
enum EndError {
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    #[error("no hello within {HELLO_MS_MAX} ms")]
    Silent,
    #[error("refused: {reason}")]
    Refused { reason: String },
    #[error(transparent)]
    Publisher(#[from] PublisherError),
    #[error("it said hello twice")]
    SecondHello,
    #[error("snapshot cannot be sent: {0}")]
    Memfd(#[from] MemfdError),
}

/// Serves one connection to its end and logs that end.
pub(super) async fn serve(stream: UnixStream, publisher: Publisher) {
    let mut frames = Frames::new(stream);
    let subscriber = match greet(&mut frames).await {
        Ok(Some(subscriber)) => subscriber,
        Ok(None) => return,
        Err(error) => return tracing::warn!("a worker on the control socket: {error}"),
    };
    let name = format!("worker {} of {}", subscriber.slot, subscriber.node.id);
    let end = match publisher.subscribe(subscriber).await {
        Ok(mut subscription) => {
            tracing::debug!("{name} connected over the control socket");
            let end = converse(&mut frames, &publisher, &mut subscription).await;
            publisher.unsubscribe(subscription.id).await;
            end
        }
        Err(error) => refuse(&mut frames, error.to_string()).await,
    };
    match end {
        Ok(()) => tracing::debug!("{name} hung up"),
        Err(error) => tracing::warn!("{name} on the control socket: {error}"),
    }
}

/// The worker's hello, judged; `None` if it hung up first.
async fn greet(frames: &mut Frames) -> Result<Option<Subscriber>, EndError> {
    let patience = Duration::from_millis(HELLO_MS_MAX);
    let first = tokio::time::timeout(patience, frames.receive()).await;
    let Some(first) = first.map_err(|_| EndError::Silent)?? else { return Ok(None) };
    match judge(first, &schema_fingerprint()) {
        Ok(subscriber) => Ok(Some(subscriber)),
        Err(reason) => refuse(frames, reason).await.map(|()| None),
    }
}

async fn refuse(frames: &mut Frames, reason: String) -> Result<(), EndError> {
    frames.send(&FromControl::Refused { reason: reason.clone() }, None).await?;
    Err(EndError::Refused { reason })
}

async fn converse(
    frames: &mut Frames,
    publisher: &Publisher,
    subscription: &mut Subscription,
) -> Result<(), EndError> {
    frames.send(&FromControl::Welcome, None).await?;
    loop {
        tokio::select! {
            order = subscription.orders.recv() => match order {
                Some(order) => send(frames, order).await?,
                None => return Err(PublisherError::Unknown.into()),
            },
            message = frames.receive() => {
                let (version, answer) = match message? {
                    None => return Ok(()),
                    Some(ToControl::Ack { version }) => (version, Answer::Ack),
                    Some(ToControl::Nack { version, reason }) => (version, Answer::Nack { reason }),
                    Some(ToControl::Hello { .. }) => return Err(EndError::SecondHello),
                };
                publisher.answer(subscription.id, version, answer).await?;
            }
        }
    }
}

async fn send(frames: &mut Frames, order: Order) -> Result<(), EndError> {
    let version = order.outgoing.version.number();
    let outgoing = Arc::clone(&order.outgoing);
    let sealed = match tokio::task::spawn_blocking(move || outgoing.sealed()).await {
        Ok(sealed) => sealed?,
        // Only a runtime that is going down drops the task.
        Err(_) => return Err(PublisherError::Gone.into()),
    };
    let message = FromControl::Snapshot { version, bytes: sealed.bytes };
    Ok(frames.send(&message, Some(sealed.descriptor.as_fd())).await?)
}
