//! `WorkerActor`: the applied snapshot, the other actors' addresses, the conversation with the
//! supervisor.
//!
//! Applying is one sequence: clusters are started and told, tables are bound and swapped in one
//! step, sockets are asked for, and when each has come or been refused the rest is removed and
//! the snapshot is acked. The next one waits until then.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Actor, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message, WrapFuture};
use crossbeam_channel::Receiver;
use fairway_shared::id::ClusterId;
use fairway_shared::ipc::message::{
    FromWorker, REPORT_INTERVAL_MS, SnapshotSource, ToWorker, WorkerSettings,
};
use fairway_shared::metric;
use http::header::HeaderValue;
use tokio::sync::Notify;

use super::apply::{self, Plan};
use super::bindings::Bindings;
use super::link::Outbox;
use super::prepare::Prepared;
use super::published::Published;
use super::subscribe::{News, Verdict, Verdicts};
use crate::cluster::handle::{Around, ClusterHandle, Parts};
use crate::http::connection::Serving;
use crate::http::trust::HeadRules;
use crate::listener::actor::{Announce, Borrow, Drain, ListenerActor, Return};
use crate::listener::bound::BoundListener;
use crate::listener::lives::{Lives, Order};
use crate::listener::pulse::Patience;
use crate::listener::refusals::Refusals;
use crate::names::actor::{SetRefresh, Settle};
use crate::route::bound::BoundTable;
use crate::tcp::buffers::Buffers;
use crate::telemetry::histogram::Histogram;
use crate::telemetry::recording::Outputs;
use crate::telemetry::report;
use crate::telemetry::worker::Telemetry;
use crate::tls::accept::HandshakeFigures;

/// How often idle upstream connections are looked at, and clients that make no progress.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// How often a worker looks at what the others have changed: ejections are known by all within a
/// second.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(250);

/// Endpoints told of in one frame, which may be eight times as long.
const PART_ENDPOINTS_MAX: usize = 1_000;

/// See the module.
pub struct WorkerActor {
    settings: Arc<WorkerSettings>,
    outbox: Outbox,
    offers: Receiver<Arc<Prepared>>,
    verdicts: Option<Verdicts>,
    applied: Option<Arc<Prepared>>,
    clusters: BTreeMap<ClusterId, Rc<ClusterHandle>>,
    bindings: Bindings,
    listeners: BTreeMap<SocketAddr, Slot>,
    applying: Option<Applying>,
    rules: Rc<Cell<HeadRules>>,
    buffers: Rc<Buffers>,
    telemetry: Telemetry,
    apply_seconds: Histogram,
    /// By bound address, for as long as the worker lives: a counter does not fall.
    handshakes: BTreeMap<SocketAddr, Rc<HandshakeFigures>>,
    /// As above.
    refusals: BTreeMap<SocketAddr, Rc<Refusals>>,
    around: Around,
    stop: Rc<Notify>,
}

/// One wanted address.
pub struct Slot {
    published: Published<BoundListener>,
    state: SlotState,
}

enum SlotState {
    Asked,
    Refused(String),
    Open { bound: SocketAddr, address: Addr<ListenerActor>, lives: Rc<Lives> },
}

/// A snapshot on its way in.
struct Applying {
    prepared: Arc<Prepared>,
    plan: Plan,
    waiting_for: BTreeSet<SocketAddr>,
}

/// A frame from the supervisor, with its descriptor.
#[derive(Message)]
#[rtype(result = "()")]
pub struct FromSupervisor(pub ToWorker, pub Option<OwnedFd>);

/// Where verdicts go. Sent once, when the helper thread has started.
#[derive(Message)]
#[rtype(result = "()")]
pub struct AnswerTo(pub Verdicts);

impl WorkerActor {
    /// A worker that serves nothing yet. It notifies `stop` when it is drained.
    pub fn new(
        settings: Arc<WorkerSettings>,
        outbox: Outbox,
        offers: Receiver<Arc<Prepared>>,
        around: Around,
        outputs: Outputs,
        stop: Rc<Notify>,
    ) -> Self {
        Self {
            outbox,
            offers,
            verdicts: None,
            applied: None,
            clusters: BTreeMap::new(),
            bindings: Bindings::default(),
            listeners: BTreeMap::new(),
            applying: None,
            rules: Rc::default(),
            buffers: Rc::default(),
            telemetry: Telemetry::new(Arc::clone(&settings), outputs),
            settings,
            apply_seconds: Histogram::new(report::APPLY_BOUNDS),
            handshakes: BTreeMap::new(),
            refusals: BTreeMap::new(),
            around,
            stop,
        }
    }

    /// First step: clusters. New ones start with their views in place; known ones are told, and
    /// the tables are swapped when all have published.
    fn begin(&mut self, prepared: Arc<Prepared>, ctx: &mut Context<Self>) {
        let empty = Default::default();
        let old = self.applied.as_ref().map_or(&empty, |applied| &applied.snapshot);
        let plan = apply::plan(old, &prepared.snapshot, &self.settings);
        let snapshot = &prepared.snapshot;
        let refresh = snapshot.settings.dns_refresh_ms.map(Duration::from_millis);
        self.around.names.do_send(SetRefresh(refresh));
        let resources = |id: &ClusterId| {
            let spec = Arc::clone(snapshot.clusters.get(id)?);
            let endpoints = Arc::clone(snapshot.endpoints.get(&id.service)?);
            Some(Parts { spec, tls: prepared.originating.get(id).cloned(), endpoints })
        };
        for id in &plan.start {
            if let Some(parts) = resources(id) {
                let handle = ClusterHandle::start(id.clone(), parts, &self.around);
                self.clusters.insert(id.clone(), Rc::new(handle));
            }
        }
        let updates: Vec<_> = plan
            .update
            .iter()
            .filter_map(|id| Some((Rc::clone(self.clusters.get(id)?), resources(id)?)))
            .collect();
        self.applying = Some(Applying { prepared, plan, waiting_for: BTreeSet::new() });
        let names = self.around.names.clone();
        let told = async move {
            for (handle, parts) in updates {
                handle.apply(parts).await;
            }
            // Requests for endpoints known by name need an answer; nothing waits where all have one.
            let _ = names.send(Settle).await;
        };
        ctx.wait(told.into_actor(self).map(|(), this, ctx| this.swap(ctx)));
    }

    /// Second step: tables, in one go between two requests; third: sockets are asked for.
    fn swap(&mut self, ctx: &mut Context<Self>) {
        let Some(mut applying) = self.applying.take() else { return };
        let begun = Instant::now();
        let settings = &applying.prepared.snapshot.settings;
        self.telemetry.apply(settings, self.clusters.values());
        self.rules.set(HeadRules::from(&**settings));
        self.bindings.bind(&applying.plan, &applying.prepared, &self.clusters);
        for (address, id) in &applying.plan.addresses {
            let Some(listener) = self.bindings.listener(id) else { continue };
            match self.listeners.get_mut(address) {
                Some(slot) => {
                    slot.published.publish(Rc::clone(listener));
                    if matches!(slot.state, SlotState::Refused(_)) {
                        slot.state = SlotState::Asked;
                    }
                }
                None => {
                    let published = Published::new(Rc::clone(listener));
                    let slot = Slot { published, state: SlotState::Asked };
                    self.listeners.insert(*address, slot);
                }
            }
        }
        self.apply_seconds.observe(begun.elapsed().as_secs_f64());
        for (address, slot) in &self.listeners {
            if matches!(slot.state, SlotState::Asked) {
                applying.waiting_for.insert(*address);
                self.outbox.send(&FromWorker::ListenerWanted { wanted: *address });
            }
        }
        self.applying = Some(applying);
        self.finish_if_complete(ctx);
    }

    /// Last step: what the new snapshot does not name is removed, and the snapshot is acked.
    fn finish_if_complete(&mut self, ctx: &mut Context<Self>) {
        let is_complete = |applying: &Applying| applying.waiting_for.is_empty();
        let Some(applying) = self.applying.take_if(|applying| is_complete(applying)) else {
            return;
        };
        let Applying { prepared, plan, .. } = applying;
        let gone: Vec<_> = self
            .listeners
            .keys()
            .filter(|address| !plan.addresses.contains_key(address))
            .copied()
            .collect();
        gone.into_iter().for_each(|address| self.release(address, ctx));
        for id in &plan.stop {
            if let Some(gone) = self.clusters.remove(id) {
                self.telemetry.retire(&gone);
            }
        }
        let tables = self.bindings.retain(&prepared);
        self.retire(tables, ctx);
        let listeners =
            report::listeners(&prepared.snapshot, &self.settings, |address| {
                match &self.listeners.get(&address)?.state {
                    SlotState::Open { bound, .. } => Some(Ok(*bound)),
                    SlotState::Refused(reason) => Some(Err(reason.clone())),
                    SlotState::Asked => None,
                }
            });
        let (version, source) = (prepared.snapshot.version, prepared.source);
        self.outbox.send(&FromWorker::Applied { version, source, listeners });
        self.applied = Some(prepared);
        self.answer(Ok(()));
    }

    /// Stops accepting at once; requests that run may finish within the drain time.
    fn release(&mut self, wanted: SocketAddr, ctx: &mut Context<Self>) {
        if let Some(Slot { state: SlotState::Open { address, lives, .. }, .. }) =
            self.listeners.remove(&wanted)
        {
            let limit = Duration::from_millis(u64::from(self.settings.drain_ms));
            let draining = async move {
                // The address keeps the actor alive until the drain is over.
                if tokio::time::timeout(limit, address.send(Drain)).await.is_err() {
                    lives.tell(Order::End);
                }
            };
            ctx.spawn(draining.into_actor(self));
            self.outbox.send(&FromWorker::ListenerReleased { wanted });
        }
    }

    /// Connections that outlive their chain or listener may use its routes as long as they may
    /// drain, and find none afterwards.
    fn retire(&self, tables: Vec<Published<BoundTable>>, ctx: &mut Context<Self>) {
        if !tables.is_empty() {
            let limit = Duration::from_millis(u64::from(self.settings.drain_ms));
            ctx.run_later(limit, move |_, _| {
                tables.iter().for_each(|table| table.publish(BoundTable::default()));
            });
        }
    }

    fn answer(&self, verdict: Verdict) {
        if let Some(verdicts) = &self.verdicts {
            // One offer at a time, so there is room; a helper that is gone needs no answer.
            let _ = verdicts.try_send(verdict);
        }
    }

    /// A socket came, or did not.
    fn granted(
        &mut self,
        wanted: SocketAddr,
        outcome: Result<(SocketAddr, TcpListener), String>,
        ctx: &mut Context<Self>,
    ) {
        if let Some(slot) = self.listeners.get_mut(&wanted) {
            let opened = outcome.and_then(|(bound, socket)| {
                let serving = Rc::new(Serving {
                    server_header: self
                        .settings
                        .server_header
                        .as_deref()
                        .and_then(|value| HeaderValue::from_str(value).ok()),
                    unrouted_connections: Rc::clone(&self.telemetry.unrouted_connections),
                    buffers: Rc::clone(&self.buffers),
                    drain: Duration::from_millis(u64::from(self.settings.drain_ms)),
                    unrouted: Rc::clone(&self.telemetry.unrouted),
                    recording: self.telemetry.recording(),
                    handshakes: Rc::clone(self.handshakes.entry(bound).or_default()),
                    rules: Rc::clone(&self.rules),
                    limits: self.settings.edge,
                    addresses: Rc::default(),
                    refusals: Rc::clone(self.refusals.entry(bound).or_default()),
                    random: RefCell::default(),
                });
                let opened = ListenerActor::new(bound, socket, slot.published.view(), serving);
                let (actor, lives) = opened.map_err(|error| format!("{bound}: {error}"))?;
                Ok(SlotState::Open { bound, address: actor.start(), lives })
            });
            slot.state = opened.unwrap_or_else(SlotState::Refused);
            if let SlotState::Refused(reason) = &slot.state {
                tracing::error!("listener {wanted}: {reason}");
            }
        }
        if let Some(applying) = &mut self.applying {
            applying.waiting_for.remove(&wanted);
        }
        self.finish_if_complete(ctx);
    }

    /// Stop accepting, finish what runs, end the process.
    fn drain(&mut self, deadline: Duration, ctx: &mut Context<Self>) {
        let addresses: Vec<_> = self
            .listeners
            .values()
            .filter_map(|slot| match &slot.state {
                SlotState::Open { address, .. } => Some(address.clone()),
                SlotState::Asked | SlotState::Refused(_) => None,
            })
            .collect();
        let stop = Rc::clone(&self.stop);
        let drained = async move {
            // All are told before the first is waited for.
            let drains: Vec<_> = addresses.iter().map(|address| address.send(Drain)).collect();
            let all = async {
                for drain in drains {
                    let _ = drain.await;
                }
            };
            if tokio::time::timeout(deadline, all).await.is_err() {
                tracing::warn!("drain deadline passed with requests running");
            }
            stop.notify_one();
        };
        ctx.spawn(drained.into_actor(self));
    }

    /// Looks whose clients have taken too long. What drains has its own end.
    fn sweep_connections(&self, now: Instant) {
        let patience = Patience::from(&self.settings.edge);
        for slot in self.listeners.values() {
            if let SlotState::Open { bound, lives, .. } = &slot.state
                && let Some(refusals) = self.refusals.get(bound)
            {
                lives.sweep(now, &patience, refusals);
            }
        }
    }

    /// In parts that fit a frame each.
    fn tell_clusters(&self, nonce: u64) {
        let all = self.clusters.values().flat_map(|cluster| cluster.states(PART_ENDPOINTS_MAX));
        let (mut part, mut weight) = (Vec::new(), 0);
        for state in all {
            weight += state.endpoints.len() + 1;
            part.push(state);
            if weight >= PART_ENDPOINTS_MAX {
                let clusters = std::mem::take(&mut part);
                weight = 0;
                self.outbox.send(&FromWorker::Clusters { nonce, is_last: false, clusters });
            }
        }
        self.outbox.send(&FromWorker::Clusters { nonce, is_last: true, clusters: part });
    }

    fn report(&mut self, nonce: u64) {
        if self.outbox.is_crowded() {
            return; // what changed is told as soon as the supervisor reads again
        }
        let (listeners, apply_seconds) = (&self.listeners, &self.apply_seconds);
        let (handshakes, refusals) = (&self.handshakes, &self.refusals);
        let mut parts = self.telemetry.report(self.clusters.values(), |reporter| {
            for slot in listeners.values() {
                if let SlotState::Open { bound, lives, .. } = &slot.state {
                    reporter.listener(*bound, lives.count());
                }
            }
            handshakes.iter().for_each(|(bound, ended)| reporter.handshakes(*bound, ended));
            refusals.iter().for_each(|(bound, refused)| reporter.refusals(*bound, refused));
            reporter.push(metric::SNAPSHOT_APPLY.name, vec![], apply_seconds.sample());
        });
        let last = parts.pop().unwrap_or_default();
        let all = parts.into_iter().map(|figures| (figures, false)).chain([(last, true)]);
        for (figures, is_last) in all {
            self.outbox.send(&FromWorker::Report { nonce, is_last, figures });
        }
    }
}

impl Actor for WorkerActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(Duration::from_millis(REPORT_INTERVAL_MS), |this, _| this.report(0));
        ctx.run_interval(FOLLOW_INTERVAL, |this, _| {
            this.clusters.values().for_each(|cluster| cluster.follow());
        });
        ctx.run_interval(SWEEP_INTERVAL, |this, _| {
            let now = Instant::now();
            this.clusters.values().for_each(|cluster| cluster.sweep(now));
            this.sweep_connections(now);
        });
    }
}

impl Handler<News> for WorkerActor {
    type Result = ();

    fn handle(&mut self, news: News, ctx: &mut Self::Context) {
        match news {
            News::Connected(is_up) => self.outbox.send(&FromWorker::ControlConnected(is_up)),
            News::Refused(version, reason) => {
                tracing::error!("snapshot {version} refused: {reason}");
                self.outbox.send(&FromWorker::Refused { version, reason });
            }
            News::Offered => {
                if let Ok(prepared) = self.offers.try_recv() {
                    let from = match prepared.source {
                        SnapshotSource::Control => "control",
                        SnapshotSource::LastGood => "last-good",
                    };
                    tracing::debug!("applying snapshot {} from {from}", prepared.snapshot.version);
                    self.begin(prepared, ctx);
                }
            }
        }
    }
}

impl Handler<FromSupervisor> for WorkerActor {
    type Result = ();

    fn handle(&mut self, FromSupervisor(frame, fd): FromSupervisor, ctx: &mut Self::Context) {
        match (frame, fd) {
            (ToWorker::ListenerGranted { wanted, bound }, Some(socket)) => {
                self.granted(wanted, Ok((bound, TcpListener::from(socket))), ctx);
            }
            (ToWorker::ListenerRefused { wanted, reason }, _) => {
                self.granted(wanted, Err(reason), ctx);
            }
            (ToWorker::ReportWanted { nonce }, _) => self.report(nonce),
            (ToWorker::ClustersWanted { nonce }, _) => self.tell_clusters(nonce),
            (ToWorker::ReopenLogs, _) => self.telemetry.reopen_logs(),
            (ToWorker::Drain { deadline_ms }, _) => {
                self.drain(Duration::from_millis(u64::from(deadline_ms)), ctx);
            }
            (ToWorker::Announce, _) => {
                for slot in self.listeners.values() {
                    if let SlotState::Open { address, .. } = &slot.state {
                        address.do_send(Announce);
                    }
                }
            }
            (ToWorker::ListenerLent { owner, wanted }, Some(socket)) => {
                // Without a listener there it is closed, and waits for its owner.
                if let Some(SlotState::Open { address, .. }) =
                    self.listeners.get(&wanted).map(|slot| &slot.state)
                {
                    address.do_send(Borrow { owner, socket: TcpListener::from(socket) });
                }
            }
            (ToWorker::ListenersReturned { owner }, _) => {
                for slot in self.listeners.values() {
                    if let SlotState::Open { address, .. } = &slot.state {
                        address.do_send(Return { owner });
                    }
                }
            }
            // The link lets none through without its socket; the rest comes before the start.
            (
                ToWorker::ListenerGranted { .. }
                | ToWorker::ListenerLent { .. }
                | ToWorker::Configure(_)
                | ToWorker::RegionShared,
                _,
            ) => {}
        }
    }
}

impl Handler<AnswerTo> for WorkerActor {
    type Result = ();

    fn handle(&mut self, AnswerTo(verdicts): AnswerTo, _: &mut Self::Context) {
        self.verdicts = Some(verdicts);
    }
}
