//! The actor around the store: takes what the source tells, waits for a quiet moment, hands on the
//! united objects. What they unite to and when it is quiet is decided by [`Objects`] and
//! [`Debounce`].

use std::time::{Duration, Instant};

use actix::prelude::*;

use super::{
    debounce::{Debounce, DebouncePolicy},
    objects::{Objects, United},
};
use crate::source::SourceEvent;

/// What the source told at once. One for each of its listings, which take longer than to take this
/// in, so that `do_send` is bounded.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SourceChanged(pub Vec<SourceEvent>);

/// All objects after a quiet moment; first as soon as the source has told everything once.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ConfigChanged(pub United);

/// Owns all objects read.
#[derive(Debug)]
pub struct StoreActor {
    objects: Objects,
    debounce: Debounce,
    recipient: Recipient<ConfigChanged>,
    /// The recipient is at work on what it was given last. It gets no more until it is done: the
    /// newest is all that it needs, however slow it is.
    is_handing_on: bool,
    timer: Option<SpawnHandle>,
    started: Instant,
}

impl StoreActor {
    /// A store that knows nothing yet.
    pub fn new(policy: DebouncePolicy, recipient: Recipient<ConfigChanged>) -> Self {
        Self {
            objects: Objects::default(),
            debounce: Debounce::new(policy),
            recipient,
            is_handing_on: false,
            timer: None,
            started: Instant::now(),
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Hands on if it is time to, and otherwise sees to it that it is looked at when it is.
    fn look(&mut self, context: &mut Context<Self>) {
        if let Some(timer) = self.timer.take() {
            context.cancel_future(timer);
        }
        if self.is_handing_on || !self.objects.is_synced() {
            return;
        }
        let now_ms = self.now_ms();
        if self.debounce.take_due(now_ms) {
            self.hand_on(context);
        } else if let Some(due_ms) = self.debounce.due_ms() {
            let wait = Duration::from_millis(due_ms.saturating_sub(now_ms));
            self.timer = Some(context.run_later(wait, Self::look));
        }
    }

    fn hand_on(&mut self, context: &mut Context<Self>) {
        self.is_handing_on = true;
        let handed = self.recipient.send(ConfigChanged(self.objects.unite()));
        let done = handed.into_actor(self).map(|outcome, this, context| {
            if outcome.is_err() {
                tracing::error!("nobody takes the configuration any more");
            }
            this.is_handing_on = false;
            this.look(context);
        });
        context.spawn(done);
    }
}

impl Actor for StoreActor {
    type Context = Context<Self>;
}

impl Handler<SourceChanged> for StoreActor {
    type Result = ();

    fn handle(&mut self, SourceChanged(events): SourceChanged, context: &mut Self::Context) {
        let was_synced = self.objects.is_synced();
        events.into_iter().for_each(|event| self.objects.apply(event));
        if self.objects.is_synced() && !was_synced {
            // The first listing is whole: nothing is gained by waiting for more.
            self.hand_on(context);
        } else if was_synced {
            self.debounce.event(self.now_ms());
            self.look(context);
        }
    }
}

#[cfg(test)]
mod tests;
