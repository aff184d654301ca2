//! The publisher: owns the current version, the history and all subscribers. Handlers take a
//! message apart, ask [`History`] or [`Session`], and pass orders on. Encodes nothing and waits
//! for nobody: carriers do both, in tasks of their own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use actix::prelude::*;
use fairway_shared::diagnostic::Diagnostic;
use fairway_shared::id::SnapshotVersion;
use fairway_shared::snapshot::Snapshot;
use tokio::sync::mpsc;

use super::SUBSCRIBERS_MAX;
use super::history::History;
use super::session::{Answer, Session, UnexpectedAnswer};
use super::version::{Outgoing, Version};
use super::view::{Subscriber, SubscriberStatus, Tally, View};
use crate::object::ConfigSet;
use crate::report;

/// Messages that may wait for the publisher; senders wait beyond that.
const MAILBOX_MAX: usize = 1024;

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
pub struct SubscriberId(u64);

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
    /// Control is going down.
    #[error("control is shutting down")]
    Gone,
}

/// The way to the publisher, for everything that is no actor.
#[derive(Debug, Clone)]
pub struct Publisher(Addr<PublisherActor>);

impl Publisher {
    /// Starts the actor on the current arbiter.
    pub fn start() -> Self {
        Self(PublisherActor::default().start())
    }

    /// Hands over a compile result.
    ///
    /// # Errors
    /// [`PublisherError::Gone`].
    pub async fn publish(&self, result: CompileResult) -> Result<(), PublisherError> {
        self.0.send(result).await.map_err(|_| PublisherError::Gone)
    }

    /// Adds a subscriber; its first order is there as soon as there is a version.
    ///
    /// # Errors
    /// [`PublisherError::Full`] or [`PublisherError::Gone`].
    pub async fn subscribe(&self, who: Subscriber) -> Result<Subscription, PublisherError> {
        self.0.send(Subscribe(who)).await.map_err(|_| PublisherError::Gone)?
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
        self.0.send(Answered { id, version, answer }).await.map_err(|_| PublisherError::Gone)?
    }

    /// Forgets a subscriber, which may be forgotten already.
    pub async fn unsubscribe(&self, id: SubscriberId) {
        // A publisher that is gone has forgotten it.
        let _ = self.0.send(Unsubscribe(id)).await;
    }

    /// The state of this moment.
    ///
    /// # Errors
    /// [`PublisherError::Gone`].
    pub async fn view(&self) -> Result<View, PublisherError> {
        self.0.send(Look).await.map_err(|_| PublisherError::Gone)
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
struct Subscribe(Subscriber);

#[derive(Message)]
#[rtype(result = "Result<(), PublisherError>")]
struct Answered {
    id: SubscriberId,
    version: SnapshotVersion,
    answer: Answer,
}

#[derive(Message)]
#[rtype(result = "()")]
struct Unsubscribe(SubscriberId);

#[derive(Message)]
#[rtype(result = "View")]
struct Look;

/// See the module.
#[derive(Debug, Default)]
pub struct PublisherActor {
    history: History,
    outgoing: Option<Arc<Outgoing>>,
    subscribers: BTreeMap<SubscriberId, Connected>,
    next_id: u64,
    diagnostics: Arc<[Diagnostic]>,
    config: Option<Arc<ConfigSet>>,
    tally: Tally,
}

#[derive(Debug)]
struct Connected {
    status: SubscriberStatus,
    orders: mpsc::Sender<Order>,
}

impl Actor for PublisherActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.set_mailbox_capacity(MAILBOX_MAX);
    }
}

impl PublisherActor {
    /// Sends the current version to a subscriber that should have it and can take it.
    fn offer(&mut self, id: SubscriberId) {
        let (Some(outgoing), Some(connected)) = (&self.outgoing, self.subscribers.get_mut(&id))
        else {
            return;
        };
        let Some(send) = connected.status.session.offer(outgoing.version.number()) else { return };
        let base = self.history.get(send.base).cloned();
        let order = Order { outgoing: Arc::clone(outgoing), base };
        connected.status.changed_at_unix_ms = now_unix_ms();
        self.tally.sent += 1;
        if connected.orders.try_send(order).is_err() {
            // It answered an update before taking it, or its carrier is gone.
            self.subscribers.remove(&id);
        }
    }
}

impl Handler<CompileResult> for PublisherActor {
    type Result = ();

    fn handle(&mut self, result: CompileResult, _: &mut Self::Context) {
        let mut diagnostics = result.diagnostics;
        report::order(&mut diagnostics);
        report::print_new(&self.diagnostics, &diagnostics);
        self.diagnostics = diagnostics.into();
        self.config = Some(result.config);
        let now = now_unix_ms();
        let Some(version) = self.history.advance(result.snapshot, now, result.compile_ms) else {
            tracing::debug!("compiled in {} ms, nothing changed", result.compile_ms);
            return;
        };
        tracing::info!("{}", report::summary(&version));
        self.outgoing = Some(Arc::new(Outgoing::new(version)));
        let everyone: Vec<_> = self.subscribers.keys().copied().collect();
        everyone.into_iter().for_each(|id| self.offer(id));
    }
}

impl Handler<Subscribe> for PublisherActor {
    type Result = Result<Subscription, PublisherError>;

    fn handle(&mut self, Subscribe(subscriber): Subscribe, _: &mut Self::Context) -> Self::Result {
        if self.subscribers.len() >= SUBSCRIBERS_MAX {
            return Err(PublisherError::Full);
        }
        let id = SubscriberId(self.next_id);
        self.next_id += 1;
        let (orders, receiver) = mpsc::channel(1);
        let now = now_unix_ms();
        let status = SubscriberStatus {
            subscriber,
            session: Session::default(),
            connected_at_unix_ms: now,
            changed_at_unix_ms: now,
        };
        self.subscribers.insert(id, Connected { status, orders });
        self.offer(id);
        Ok(Subscription { id, orders: receiver })
    }
}

impl Handler<Answered> for PublisherActor {
    type Result = Result<(), PublisherError>;

    fn handle(&mut self, message: Answered, _: &mut Self::Context) -> Self::Result {
        let connected = self.subscribers.get_mut(&message.id).ok_or(PublisherError::Unknown)?;
        connected.status.session.answer(message.version, message.answer)?;
        connected.status.changed_at_unix_ms = now_unix_ms();
        if let Some(nacked) = connected.status.session.nacked() {
            self.tally.nacked += 1;
            let Subscriber { node, slot, .. } = &connected.status.subscriber;
            let (version, reason) = (nacked.version, &nacked.reason);
            tracing::warn!("snapshot {version} refused by worker {slot} of {}: {reason}", node.id);
        }
        self.offer(message.id);
        Ok(())
    }
}

impl Handler<Unsubscribe> for PublisherActor {
    type Result = ();

    fn handle(&mut self, Unsubscribe(id): Unsubscribe, _: &mut Self::Context) {
        self.subscribers.remove(&id);
    }
}

impl Handler<Look> for PublisherActor {
    type Result = MessageResult<Look>;

    fn handle(&mut self, _: Look, _: &mut Self::Context) -> Self::Result {
        let connected = self.subscribers.values();
        let mut subscribers: Vec<_> = connected.map(|one| one.status.clone()).collect();
        subscribers.sort_by(|a, b| {
            let key = |status: &SubscriberStatus| status.subscriber.slot;
            (&a.subscriber.node.id, key(a)).cmp(&(&b.subscriber.node.id, key(b)))
        });
        MessageResult(View {
            versions: self.history.newest_first().cloned().collect(),
            subscribers,
            diagnostics: Arc::clone(&self.diagnostics),
            config: self.config.clone(),
            tally: self.tally,
        })
    }
}

fn now_unix_ms() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}
