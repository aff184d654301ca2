//! `NamesActor`: every name that clusters of this worker follow, its last answer, and who follows.
//!
//! A resolver that fails changes nothing: the last answer stays in use. A name that is answered
//! with nothing has no endpoint any more.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, ResponseFuture, WeakRecipient,
    WrapFuture,
};
use tokio::sync::watch;

use super::schedule::{self, Outcome};

/// Longest wait for first answers before a snapshot is served without them. Shorter than the
/// silence after which a worker counts as stuck.
const FIRST_ANSWERS_MAX: Duration = Duration::from_secs(1);

/// Where answers come from.
pub type Ask = Box<dyn Fn(Arc<str>) -> Pin<Box<dyn Future<Output = Outcome>>>>;

/// See the module.
pub struct NamesActor {
    ask: Ask,
    names: HashMap<Arc<str>, Name>,
    refresh: Duration,
    /// Names that were never answered yet.
    unanswered: watch::Sender<usize>,
}

#[derive(Default)]
struct Name {
    /// `None`: not answered yet.
    addresses: Option<Arc<[IpAddr]>>,
    failures: u32,
    /// By cluster. Weak: a cluster that is gone must not live on for a name.
    followers: HashMap<Arc<str>, WeakRecipient<Answered>>,
    is_awaited: bool,
}

/// A name has these addresses now, in the order of the answer.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Answered {
    /// As it was asked for.
    pub name: Arc<str>,
    /// None if there are none.
    pub addresses: Arc<[IpAddr]>,
}

/// Whoever says this follows these names from now on, and no others. One per cluster and snapshot,
/// so that `do_send` is bounded.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Follow {
    /// Which cluster.
    pub cluster: Arc<str>,
    /// Told of every answer that differs from the last.
    pub who: WeakRecipient<Answered>,
    /// Instead of those before.
    pub names: BTreeSet<String>,
}

/// From now on, names whose answers do not say how long they hold are asked for again after this
/// time; `None` = as if nothing was said. One per snapshot.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct SetRefresh(pub Option<Duration>);

/// Answered when every name followed so far has been asked for once, or time is up.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Settle;

impl NamesActor {
    /// Follows nothing yet.
    pub fn new(ask: Ask) -> Self {
        let unanswered = watch::Sender::new(0);
        Self { ask, names: HashMap::new(), refresh: schedule::REFRESH, unanswered }
    }

    fn ask(&self, name: Arc<str>, ctx: &mut Context<Self>) {
        let answering = (self.ask)(Arc::clone(&name)).into_actor(self);
        ctx.spawn(answering.map(move |outcome, this, ctx| this.answered(name, outcome, ctx)));
    }

    fn answered(&mut self, name: Arc<str>, outcome: Outcome, ctx: &mut Context<Self>) {
        let Some(entry) = self.names.get_mut(&name) else { return };
        let is_good = matches!(outcome, Outcome::Found { .. });
        entry.failures = if is_good { 0 } else { entry.failures.saturating_add(1) };
        let wait = schedule::next_after(&outcome, entry.failures, self.refresh);
        match outcome {
            Outcome::Found { addresses, .. } => entry.take(&name, addresses.into()),
            Outcome::Nothing => entry.take(&name, Arc::default()),
            Outcome::Failed if entry.failures == 1 => {
                tracing::warn!("{name}: no DNS server answers; the last answer stays");
            }
            Outcome::Failed => {}
        }
        if std::mem::take(&mut entry.is_awaited) {
            self.unanswered.send_modify(|count| *count -= 1);
        }
        ctx.run_later(wait, move |this, ctx| this.ask_again(name, ctx));
    }

    /// Unless nobody follows the name any more.
    fn ask_again(&mut self, name: Arc<str>, ctx: &mut Context<Self>) {
        let Some(entry) = self.names.get_mut(&name) else { return };
        entry.followers.retain(|_, follower| follower.upgrade().is_some());
        match entry.followers.is_empty() {
            true => drop(self.names.remove(&name)),
            false => self.ask(name, ctx),
        }
    }
}

impl Name {
    fn take(&mut self, name: &Arc<str>, addresses: Arc<[IpAddr]>) {
        if self.addresses.as_ref() == Some(&addresses) {
            return;
        }
        tracing::debug!("{name}: {addresses:?}");
        for follower in self.followers.values().filter_map(WeakRecipient::upgrade) {
            follower
                .do_send(Answered { name: Arc::clone(name), addresses: Arc::clone(&addresses) });
        }
        self.addresses = Some(addresses);
    }
}

impl Actor for NamesActor {
    type Context = Context<Self>;
}

impl Handler<Follow> for NamesActor {
    type Result = ();

    fn handle(&mut self, Follow { cluster, who, names }: Follow, ctx: &mut Self::Context) {
        for (name, entry) in &mut self.names {
            if !names.contains(&**name) {
                entry.followers.remove(&cluster);
            }
        }
        for name in names {
            let name: Arc<str> = name.into();
            let is_new = !self.names.contains_key(&name);
            let entry = self.names.entry(Arc::clone(&name)).or_default();
            entry.followers.insert(Arc::clone(&cluster), who.clone());
            if let (Some(who), Some(addresses)) = (who.upgrade(), entry.addresses.clone()) {
                who.do_send(Answered { name: Arc::clone(&name), addresses });
            }
            if is_new {
                entry.is_awaited = true;
                self.unanswered.send_modify(|count| *count += 1);
                self.ask(name, ctx);
            }
        }
    }
}

impl Handler<SetRefresh> for NamesActor {
    type Result = ();

    fn handle(&mut self, SetRefresh(refresh): SetRefresh, _: &mut Self::Context) {
        self.refresh = refresh.unwrap_or(schedule::REFRESH);
    }
}

impl Handler<Settle> for NamesActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Settle, _: &mut Self::Context) -> Self::Result {
        let mut unanswered = self.unanswered.subscribe();
        Box::pin(async move {
            let all = unanswered.wait_for(|count| *count == 0);
            // Late answers are taken when they come.
            let _ = tokio::time::timeout(FIRST_ANSWERS_MAX, all).await;
        })
    }
}

#[cfg(test)]
mod tests;
