//! The publisher: owns the current version, the history and all subscribers. Handlers take a
//! message apart, ask [`History`] or [`Session`], and pass orders on. Encodes nothing and waits
//! for nobody: carriers do both, in tasks of their own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use actix::prelude::*;
use fairway_shared::diagnostic::Diagnostic;
use fairway_shared::id::SnapshotVersion;
use tokio::sync::{mpsc, watch};

use super::SUBSCRIBERS_MAX;
use super::history::History;
use super::publisher::{
    Answered, CompileResult, Look, Order, Pin, PublisherError, Subscribe, SubscriberId,
    Subscription, Unpin, Unsubscribe,
};
use super::session::Session;
use super::version::{Outgoing, Version};
use super::view::{Subscriber, SubscriberStatus, Tally, View};
use crate::object::ConfigSet;
use crate::report;

/// Messages that may wait for the publisher; senders wait beyond that.
const MAILBOX_MAX: usize = 1024;

/// See the module.
#[derive(Debug)]
pub struct PublisherActor {
    history: History,
    /// What every subscriber should have: the pinned version, else the newest.
    outgoing: Option<Arc<Outgoing>>,
    /// Kept though the history may have forgotten it.
    pinned: Option<Arc<Version>>,
    changed: watch::Sender<u64>,
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
    /// Nothing published, nobody connected. `changed` ticks with every change of the view.
    pub(super) fn new(changed: watch::Sender<u64>) -> Self {
        Self {
            history: History::default(),
            outgoing: None,
            pinned: None,
            changed,
            subscribers: BTreeMap::new(),
            next_id: 0,
            diagnostics: Arc::default(),
            config: None,
            tally: Tally::default(),
        }
    }

    fn tick(&self) {
        self.changed.send_modify(|tick| *tick += 1);
    }

    /// Makes a version the one that every subscriber should have.
    fn direct(&mut self, version: Arc<Version>) {
        self.outgoing = Some(Arc::new(Outgoing::new(version)));
        let everyone: Vec<_> = self.subscribers.keys().copied().collect();
        everyone.into_iter().for_each(|id| self.offer(id));
    }

    /// A version that is held; 0 = the one that subscribers should have.
    fn held(&self, number: SnapshotVersion) -> Option<Arc<Version>> {
        let outgoing = self.outgoing.as_ref().map(|outgoing| &outgoing.version);
        let pinned = self.pinned.as_ref().filter(|version| version.number() == number);
        let held = if number.0 == 0 { outgoing } else { self.history.get(number).or(pinned) };
        held.cloned()
    }

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
        self.tally.certificate_errors +=
            report::certificate_errors(&self.diagnostics, &diagnostics);
        self.diagnostics = diagnostics.into();
        self.config = Some(result.config);
        self.tick();
        let now = now_unix_ms();
        let Some(version) = self.history.advance(result.snapshot, now, result.compile_ms) else {
            tracing::debug!("compiled in {} ms, nothing changed", result.compile_ms);
            return;
        };
        tracing::info!("{}", report::summary(&version));
        match &self.pinned {
            Some(pinned) => tracing::warn!("workers stay on pinned version {}", pinned.number()),
            None => self.direct(version),
        }
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
        self.tick();
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
        self.tick();
        self.offer(message.id);
        Ok(())
    }
}

impl Handler<Unsubscribe> for PublisherActor {
    type Result = ();

    fn handle(&mut self, Unsubscribe(id): Unsubscribe, _: &mut Self::Context) {
        self.subscribers.remove(&id);
        self.tick();
    }
}

impl Handler<Pin> for PublisherActor {
    type Result = Result<SnapshotVersion, PublisherError>;

    fn handle(&mut self, Pin(number): Pin, _: &mut Self::Context) -> Self::Result {
        let version = self.held(number).ok_or(PublisherError::NotHeld(number))?;
        let number = version.number();
        tracing::warn!("snapshot {number} pinned: workers are sent no other until it is unpinned");
        self.pinned = Some(Arc::clone(&version));
        self.direct(version);
        self.tick();
        Ok(number)
    }
}

impl Handler<Unpin> for PublisherActor {
    type Result = MessageResult<Unpin>;

    fn handle(&mut self, _: Unpin, _: &mut Self::Context) -> Self::Result {
        let newest = self.history.current().cloned();
        if let (Some(pinned), Some(newest)) = (self.pinned.take(), &newest) {
            let (from, to) = (pinned.number(), newest.number());
            tracing::info!("snapshot {from} unpinned: workers are sent {to}");
            self.direct(Arc::clone(newest));
            self.tick();
        }
        MessageResult(newest.map(|version| version.number()).unwrap_or_default())
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
        let mut versions: Vec<_> = self.history.newest_first().cloned().collect();
        let is_held = |pinned: &&Arc<Version>| self.history.get(pinned.number()).is_none();
        versions.extend(self.pinned.iter().filter(is_held).cloned());
        MessageResult(View {
            versions,
            pinned: self.pinned.as_ref().map(|version| version.number()),
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
