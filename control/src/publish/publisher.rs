//! The way to the publisher for everything that is no actor: what can be asked of it, and what it
//! answers. Every call is one message; nothing is kept here.

use std::sync::Arc;

use actix::prelude::*;
use fairway_shared::diagnostic::Diagnostic;
use fairway_shared::id::SnapshotVersion;
use fairway_shared::snapshot::Snapshot;
use tokio::sync::{mpsc, watch};

use super::SUBSCRIBERS_MAX;
use super::actor::PublisherActor;
use super::session::{Answer, UnexpectedAnswer};
use super::version::{Outgoing, Version};
use super::view::{Subscriber, View};
use crate::object::ConfigSet;

/// What to send to a subscriber now.
#[derive(Debug, Clone)]
pub struct Order {
    /// The version.
    pub outgoing: Arc<Outgoing>,
    /// What the subscriber acked last, if the history still holds it.
    pub base: Option<Arc<Version>>,
}

/// One connected worker, as its carrier holds it. It ends when `orders` does.
#[derive(Debug)]
pub struct Subscription {
    /// Names the subscriber in answers.
    pub id: SubscriberId,
    /// Never more than one order, since the next needs an answer to the last.
    pub orders: mpsc::Receiver<Order>,
}

/// Names a subscriber; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriberId(pub(super) u64);

/// Why the publisher did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublisherError {
    /// Too many subscribers.
    #[error("{SUBSCRIBERS_MAX} workers are connected already, no more are taken")]
    Full,
    /// An answer that fits nothing.
    #[error(transparent)]
    Unexpected(#[from] UnexpectedAnswer),
    /// The subscriber is not known (any more).
    #[error("the subscription has ended")]
    Unknown,
    /// A version that is not held.
    #[error("control does not hold version {0}: `fairway snapshot list` names those that it does")]
    NotHeld(SnapshotVersion),
    /// Control is going down.
    #[error("control is shutting down")]
    Gone,
}

/// The way to the publisher, for everything that is no actor.
#[derive(Debug, Clone)]
pub struct Publisher {
    actor: Addr<PublisherActor>,
    changes: watch::Receiver<u64>,
}

impl Publisher {
    /// Starts the actor on the current arbiter.
    pub fn start() -> Self {
        let (changed, changes) = watch::channel(0);
        Self { actor: PublisherActor::new(changed).start(), changes }
    }

    /// Ticks with every change of what [`view`](Self::view) shows. Ticks that nobody waits for
    /// become one.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.clone()
    }

    /// Sends a version that is held, and no other, until [`unpin`](Self::unpin). 0 = the current
    /// one. Answers which it is.
    ///
    /// # Errors
    /// [`PublisherError::NotHeld`] or [`PublisherError::Gone`].
    pub async fn pin(&self, version: SnapshotVersion) -> Result<SnapshotVersion, PublisherError> {
        self.actor.send(Pin(version)).await.map_err(|_| PublisherError::Gone)?
    }

    /// Sends the newest version again, whether or not another was pinned. Answers which it is.
    ///
    /// # Errors
    /// [`PublisherError::Gone`].
    pub async fn unpin(&self) -> Result<SnapshotVersion, PublisherError> {
        self.actor.send(Unpin).await.map_err(|_| PublisherError::Gone)
    }

    /// Hands over a compile result.
    ///
    /// # Errors
    /// [`PublisherError::Gone`].
    pub async fn publish(&self, result: CompileResult) -> Result<(), PublisherError> {
        self.actor.send(result).await.map_err(|_| PublisherError::Gone)
    }

    /// Adds a subscriber; its first order is there as soon as there is a version.
    ///
    /// # Errors
    /// [`PublisherError::Full`] or [`PublisherError::Gone`].
    pub async fn subscribe(&self, who: Subscriber) -> Result<Subscription, PublisherError> {
        self.actor.send(Subscribe(who)).await.map_err(|_| PublisherError::Gone)?
    }

    /// Passes on what a subscriber said.
    ///
    /// # Errors
    /// Every one ends the connection.
    pub async fn answer(
        &self,
        id: SubscriberId,
        version: SnapshotVersion,
        answer: Answer,
    ) -> Result<(), PublisherError> {
        self.actor.send(Answered { id, version, answer }).await.map_err(|_| PublisherError::Gone)?
    }

    /// Forgets a subscriber, which may be forgotten already.
    pub async fn unsubscribe(&self, id: SubscriberId) {
        // A publisher that is gone has forgotten it.
        let _ = self.actor.send(Unsubscribe(id)).await;
    }

    /// The state of this moment.
    ///
    /// # Errors
    /// [`PublisherError::Gone`].
    pub async fn view(&self) -> Result<View, PublisherError> {
        self.actor.send(Look).await.map_err(|_| PublisherError::Gone)
    }
}

/// What a compile made of a config set.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct CompileResult {
    /// Its version is ignored and set here.
    pub snapshot: Snapshot,
    /// Findings of the sources and of the compile.
    pub diagnostics: Vec<Diagnostic>,
    /// What was compiled.
    pub config: Arc<ConfigSet>,
    /// How long it took, in milliseconds.
    pub compile_ms: u64,
}

#[derive(Message)]
#[rtype(result = "Result<Subscription, PublisherError>")]
pub(super) struct Subscribe(pub(super) Subscriber);

#[derive(Message)]
#[rtype(result = "Result<(), PublisherError>")]
pub(super) struct Answered {
    pub(super) id: SubscriberId,
    pub(super) version: SnapshotVersion,
    pub(super) answer: Answer,
}

#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Unsubscribe(pub(super) SubscriberId);

#[derive(Message)]
#[rtype(result = "View")]
pub(super) struct Look;

#[derive(Message)]
#[rtype(result = "Result<SnapshotVersion, PublisherError>")]
pub(super) struct Pin(pub(super) SnapshotVersion);

#[derive(Message)]
#[rtype(result = "SnapshotVersion")]
pub(super) struct Unpin;
