//! One turn of the loop: events in, judgement by the pure parts, effects carried out.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use crossbeam_channel::Sender;
use fairway_shared::id::WorkerSlot;
use fairway_shared::ipc::message::{FromWorker, ToWorker};
use tokio::sync::oneshot;

use super::crash::Crash;
use super::event::{Event, Question, Scrape, WorkerNews};
use super::figures::FigureStore;
use super::inventory::Inventory;
use super::lending::{self, Loans};
use super::link::{Descriptor, Link, LinkError, Peer};
use super::listing::{self, Clusters};
use super::own_metrics::OwnMetrics;
use super::poison::{CRASHES_MAX, Poison, Verdict};
use super::scrape::Scrapes;
use super::slot::{self, Effect, Millis, Slot};
use super::status::Board;
use super::status_lines::StatusLines;
use super::suspects::Suspects;
use super::termination::{self, Order, Phase, Wish};
use super::{End, Holdings, Settings};
use crate::black_box::WORDS;
use crate::black_box::reader::{self, Findings, Tried};
use crate::region::Region;
use crate::sys::memory::{self, monotonic_ms};
use crate::sys::process::{self, Exit, Pid};

/// All that the loop owns.
pub(super) struct Supervisor {
    settings: Settings,
    sender: Sender<Event>,
    seats: Vec<Seat>,
    inventory: Inventory,
    region: Option<Region>,
    loans: Loans,
    board: Board,
    figures: FigureStore,
    metrics: OwnMetrics,
    scrapes: Scrapes<oneshot::Sender<Scrape>>,
    /// Each with what has been told so far.
    listings: Scrapes<(Clusters, oneshot::Sender<Clusters>)>,
    poison: Poison,
    suspects: Suspects,
    phase: Phase,
    aborted: Option<End>,
    lines: Option<StatusLines>,
    /// Something that the status line shows may have changed.
    is_news: bool,
}

/// A slot and the link to its process.
struct Seat {
    slot: Slot,
    link: Option<Link>,
    /// What the process leaves behind.
    black_box: Option<Arc<File>>,
    /// What it served when it last said so.
    served: Option<Tried>,
    /// The supervisor killed it.
    was_killed: bool,
}

impl Seat {
    const NEW: Self =
        Self { slot: Slot::NEW, link: None, black_box: None, served: None, was_killed: false };

    /// Of a process that is gone or about to be.
    fn findings(&self) -> Findings {
        let read = self.black_box.as_deref().map(reader::read);
        read.and_then(Result::ok).unwrap_or_default()
    }

    fn tried(&self) -> Option<Tried> {
        reader::read_tried(self.black_box.as_deref()?).ok()?
    }
}

impl Supervisor {
    pub(super) fn new(settings: Settings, sender: Sender<Event>, holdings: Holdings) -> Self {
        Self {
            seats: settings.cpus.iter().map(|_| Seat::NEW).collect(),
            board: Board::new(settings.addresses.clone(), &settings.cpus),
            settings,
            sender,
            inventory: holdings.inventory,
            region: holdings.region,
            loans: Loans::default(),
            figures: FigureStore::default(),
            metrics: OwnMetrics::new(),
            scrapes: Scrapes::default(),
            listings: Scrapes::default(),
            poison: Poison::new(holdings.has_fallback),
            suspects: Suspects::default(),
            phase: Phase::Running,
            aborted: None,
            lines: holdings.lines,
            is_news: true,
        }
    }

    /// When [`Self::tick`] is due at the latest.
    pub(super) fn next_wake_ms(&self) -> Option<Millis> {
        let slots = self.seats.iter().filter_map(|s| s.slot.next_wake_ms(&self.settings.policy));
        let asked = [self.scrapes.next_wake_ms(), self.listings.next_wake_ms()];
        slots.chain(self.phase.next_wake_ms()).chain(asked.into_iter().flatten()).min()
    }

    /// How it ended, if it has.
    pub(super) fn end(&self) -> Option<End> {
        let is_over = self.phase == (Phase::Draining { then_exits: true })
            && self.seats.iter().all(|seat| seat.slot == Slot::Retired);
        self.aborted.or(is_over.then_some(End::Drained))
    }

    pub(super) fn take(&mut self, event: Event, now_ms: Millis) {
        match event {
            Event::Worker(peer, WorkerNews::Message(message)) => self.hear(peer, message, now_ms),
            Event::Worker(peer, WorkerNews::LinkLost(reason)) => {
                if let Some(reason) = reason {
                    tracing::warn!("link to worker {} (pid {}): {reason}", peer.slot, peer.pid);
                }
                self.bring(index(peer.slot), slot::Event::LinkLost(peer.pid), now_ms);
            }
            Event::Worker(peer, WorkerNews::Exited(exit)) => self.bury(peer, exit, now_ms),
            Event::ReopenLogs => {
                for index in 0..self.seats.len() {
                    self.send(index, &ToWorker::ReopenLogs, None, now_ms);
                }
            }
            Event::Signal(signal) => self.wish(Wish::Signal(signal), now_ms),
            Event::Question(question) => self.answer(question, now_ms),
        }
    }

    /// Everything that is due.
    pub(super) fn tick(&mut self, now_ms: Millis) {
        self.wish(Wish::Tick, now_ms);
        for index in 0..self.seats.len() {
            self.bring(index, slot::Event::Tick, now_ms);
        }
        for reply in self.scrapes.due(now_ms) {
            let own = self.metrics.render(&self.board);
            // Whoever asked may have given up.
            let _ = reply.send(Scrape { own, merged: self.figures.merged(now_ms) });
        }
        for (clusters, reply) in self.listings.due(now_ms) {
            let _ = reply.send(clusters);
        }
    }

    /// The supervisor itself stood still.
    pub(super) fn resumed(&mut self, now_ms: Millis) {
        for index in 0..self.seats.len() {
            self.bring(index, slot::Event::Resumed, now_ms);
        }
    }

    /// Offers the status line if there is news.
    pub(super) fn publish_status(&mut self) {
        if let Some(lines) = &mut self.lines
            && self.is_news
        {
            self.is_news = !lines.offer(self.board.status());
        }
    }

    fn hear(&mut self, peer: Peer, message: FromWorker, now_ms: Millis) {
        let index = index(peer.slot);
        if self.seats.get(index).and_then(|seat| seat.slot.pid()) != Some(peer.pid) {
            return; // the last words of a process that is gone
        }
        self.bring(index, slot::Event::Heard(peer.pid), now_ms);
        match message {
            FromWorker::ListenerWanted { wanted } => self.grant(peer, wanted, now_ms),
            FromWorker::ListenerReleased { wanted } => self.inventory.release(peer.slot, wanted),
            FromWorker::Applied { version, source, listeners } => {
                tracing::info!("worker {} serves snapshot {version}", peer.slot);
                self.inventory.snapshot_applied(peer.slot);
                self.note_served(index);
                self.board.applied(index, version, source, listeners);
                self.is_news = true;
                self.bring(index, slot::Event::Applied(peer.pid), now_ms);
            }
            FromWorker::Refused { version, reason } => {
                tracing::warn!("worker {} refuses snapshot {version}: {reason}", peer.slot);
                self.metrics.rejected(&reason);
                self.board.refused(index, version, reason);
                self.is_news = true;
            }
            FromWorker::ControlConnected(is_connected) => {
                self.board.connected(index, is_connected);
            }
            FromWorker::Clusters { nonce, is_last, clusters } => {
                if let Some((known, _)) = self.listings.gathering(nonce) {
                    listing::add(known, clusters);
                }
                if is_last {
                    self.listings.reported(peer.slot, nonce);
                }
            }
            FromWorker::Report { nonce, is_last, figures } => {
                self.figures.heard(peer.slot, figures, now_ms);
                if is_last {
                    self.scrapes.reported(peer.slot, nonce);
                }
            }
        }
    }

    fn grant(&mut self, peer: Peer, wanted: SocketAddr, now_ms: Millis) {
        let (answer, listener): (_, Option<Descriptor>) =
            match self.inventory.grant(peer.slot, wanted) {
                Ok((bound, listener)) => {
                    // A process that ends before it serves would leave it to nobody.
                    if let Some(to) = self.loans.borrower(peer.slot) {
                        let lent = ToWorker::ListenerLent { owner: peer.slot, wanted };
                        self.send(index(to), &lent, Some(listener.clone()), now_ms);
                    }
                    (ToWorker::ListenerGranted { wanted, bound }, Some(listener))
                }
                Err(error) => {
                    tracing::warn!("worker {}: {error}", peer.slot);
                    (ToWorker::ListenerRefused { wanted, reason: error.to_string() }, None)
                }
            };
        self.send(index(peer.slot), &answer, listener, now_ms);
    }

    /// The end of a process: what it counted stays, what it listened on stays, the rest goes.
    fn bury(&mut self, peer: Peer, exit: Exit, now_ms: Millis) {
        process::reap(peer.pid);
        let index = index(peer.slot);
        let Some(seat) = self.seats.get_mut(index) else { return };
        if seat.slot.pid() != Some(peer.pid) {
            return;
        }
        let is_expected = matches!(seat.slot, Slot::Draining { .. });
        let crash = Crash::new(exit, seat.was_killed, seat.findings(), monotonic_ms());
        (seat.link, seat.black_box) = (None, None);
        if let Some(region) = &self.region {
            region.forget(peer.slot);
        }
        self.figures.ended(peer.slot, now_ms);
        self.scrapes.ended(peer.slot);
        self.listings.ended(peer.slot);
        self.board.ended(index, exit);
        if is_expected {
            tracing::info!("worker {} (pid {}) ended: {exit}", peer.slot, peer.pid);
        } else {
            self.investigate(peer, crash);
        }
        self.bring(index, slot::Event::Exited(peer.pid), now_ms);
    }

    /// The slot's process serves another snapshot: was the last one served long enough to trust?
    fn note_served(&mut self, index: usize) {
        let Some(seat) = self.seats.get_mut(index) else { return };
        // The message may be faster than the mark that it was applied.
        let tried = seat.tried().map(|tried| Tried { is_applied: true, ..tried });
        if let Some(before) = std::mem::replace(&mut seat.served, tried) {
            self.poison.seen_alive(&before, monotonic_ms());
        }
    }

    /// What an unexpected end teaches, before the next process starts.
    fn investigate(&mut self, peer: Peer, crash: Crash) {
        tracing::warn!("worker {} (pid {}) ended: {crash}", peer.slot, peer.pid);
        self.metrics.crashed(peer.slot, crash.cause);
        if let Some(suspect) = crash.suspect() {
            let count = self.suspects.crashed(suspect.fingerprint);
            if count > 1 {
                tracing::warn!("{count} workers have crashed while handling {}", suspect.head);
            }
            self.settle_quarantine();
        }
        if let Some(tried) = &crash.findings.tried {
            let now_ms = monotonic_ms();
            for alive in self.seats.iter().filter_map(Seat::tried) {
                self.poison.seen_alive(&alive, now_ms);
            }
            let version = tried.version;
            match self.poison.crashed(peer.slot, tried, now_ms) {
                Verdict::Innocent => {}
                Verdict::Suspected(count) => tracing::warn!(
                    "snapshot {version} is new: crash {count} of {CRASHES_MAX} that condemn it"
                ),
                Verdict::Condemned => tracing::error!(
                    "snapshot {version} is condemned: worker {} goes back to the one before",
                    peer.slot
                ),
            }
        }
        self.board.crashed(index(peer.slot), crash);
    }

    /// Living workers read the list from the memory of their black boxes.
    fn settle_quarantine(&self) {
        let fingerprints = self.suspects.quarantined(self.settings.quarantine_after);
        for file in self.seats.iter().filter_map(|seat| seat.black_box.as_deref()) {
            if let Err(error) = reader::quarantine(file, &fingerprints) {
                tracing::warn!("a worker does not learn what is quarantined: {error}");
            }
        }
    }

    fn answer(&mut self, question: Question, now_ms: Millis) {
        match question {
            Question::Overview(reply) => {
                // Whoever asked may have given up.
                let _ = reply.send(self.board.overview());
            }
            Question::Scrape(reply) => {
                let nonce = self.scrapes.begin(self.serving(), now_ms, reply);
                self.ask(&ToWorker::ReportWanted { nonce }, now_ms);
            }
            Question::Clusters(reply) => {
                let gathered = (Clusters::new(), reply);
                let nonce = self.listings.begin(self.serving(), now_ms, gathered);
                self.ask(&ToWorker::ClustersWanted { nonce }, now_ms);
            }
            Question::DrainListeners => self.wish(Wish::DrainListeners, now_ms),
            Question::Quit => self.wish(Wish::Quit, now_ms),
        }
    }

    /// The slots whose workers serve.
    fn serving(&self) -> BTreeSet<WorkerSlot> {
        let is_serving = |index: &usize| matches!(self.seats[*index].slot, Slot::Serving { .. });
        (0..self.seats.len()).filter(is_serving).map(worker_slot).collect()
    }

    fn ask(&mut self, question: &ToWorker, now_ms: Millis) {
        for slot in self.serving() {
            self.send(index(slot), question, None, now_ms);
        }
    }

    fn wish(&mut self, wish: Wish, now_ms: Millis) {
        let (phase, order) = termination::step(self.phase, wish, now_ms, self.settings.times);
        if phase != self.phase {
            tracing::info!("shutdown: {phase:?}");
            self.board.draining();
            self.is_news = true;
        }
        self.phase = phase;
        let (event, aborted) = match order {
            None => return,
            Some(Order::Announce) => {
                for index in 0..self.seats.len() {
                    self.send(index, &ToWorker::Announce, None, now_ms);
                }
                return;
            }
            Some(Order::Drain { until_ms }) => (slot::Event::Drain { until_ms }, None),
            Some(Order::Abort(signal)) => (slot::Event::Stop, Some(End::Aborted(signal))),
        };
        self.aborted = aborted;
        for index in 0..self.seats.len() {
            self.bring(index, event, now_ms);
        }
        // Each worker has its own descriptors; here they would only keep queues open for nobody.
        self.inventory.close();
    }

    /// Brings an event to a slot and carries out what follows.
    fn bring(&mut self, index: usize, event: slot::Event, now_ms: Millis) {
        let Some(seat) = self.seats.get_mut(index) else { return };
        let before = seat.slot;
        let (next, effects) = slot::step(before, event, now_ms, &self.settings.policy);
        seat.slot = next;
        if std::mem::discriminant(&before) != std::mem::discriminant(&next) {
            self.board.moved(index, &next);
            self.is_news = true;
            self.settle_loans(now_ms);
        }
        for effect in effects {
            self.carry_out(index, effect, now_ms);
        }
    }

    /// Has siblings accept for slots without a worker, and for no others.
    fn settle_loans(&mut self, now_ms: Millis) {
        let slots: Vec<_> = self.seats.iter().map(|seat| seat.slot).collect();
        for order in self.loans.settle(&slots) {
            match order {
                lending::Order::Lend { owner, to } => {
                    for (wanted, listener) in self.inventory.sockets_of(owner) {
                        let lent = ToWorker::ListenerLent { owner, wanted };
                        self.send(index(to), &lent, Some(listener), now_ms);
                    }
                }
                lending::Order::Return { owner, by } => {
                    self.send(index(by), &ToWorker::ListenersReturned { owner }, None, now_ms);
                }
            }
        }
        self.board.lent(self.loans.count());
    }

    fn carry_out(&mut self, index: usize, effect: Effect, now_ms: Millis) {
        match effect {
            Effect::Spawn => {
                let answer = match self.spawn(index) {
                    Ok(pid) => slot::Event::Spawned(pid),
                    Err(error) => {
                        tracing::error!("cannot start worker {index}: {error}");
                        slot::Event::SpawnFailed
                    }
                };
                self.bring(index, answer, now_ms);
            }
            Effect::Configure(_) => {
                self.share_region(index, now_ms);
                let mut settings = self.settings.worker.clone();
                settings.slot = worker_slot(index);
                settings.workers = u16::try_from(self.seats.len()).unwrap_or(u16::MAX);
                settings.condemned = self.poison.condemned();
                let configure = ToWorker::Configure(Box::new(settings));
                let black_box = self.seats.get(index).and_then(|seat| seat.black_box.clone());
                self.send(index, &configure, black_box.map(|file| file as Descriptor), now_ms);
            }
            Effect::Drain { until_ms, .. } => {
                let left_ms = until_ms.saturating_sub(now_ms);
                let deadline_ms = u32::try_from(left_ms).unwrap_or(u32::MAX);
                self.send(index, &ToWorker::Drain { deadline_ms }, None, now_ms);
            }
            Effect::Kill(pid) => {
                tracing::warn!("kills worker {index} (pid {pid})");
                if let Some(seat) = self.seats.get_mut(index) {
                    seat.was_killed = true;
                }
                process::kill(pid);
            }
        }
    }

    /// Limits and ejections hold for all workers together only if they share memory.
    fn share_region(&mut self, index: usize, now_ms: Millis) {
        match self.region.as_ref().map(Region::share) {
            Some(Ok(fd)) => {
                self.send(index, &ToWorker::RegionShared, Some(Arc::new(fd)), now_ms);
            }
            Some(Err(error)) => tracing::warn!("worker {index} shares no memory: {error}"),
            None => {}
        }
    }

    fn spawn(&mut self, index: usize) -> io::Result<Pid> {
        let slot = worker_slot(index);
        let cpu = self.settings.cpus.get(index).copied().flatten();
        let (ours, theirs) = UnixStream::pair()?;
        let black_box = Arc::new(memory::create(WORDS)?);
        let quarantined = self.suspects.quarantined(self.settings.quarantine_after);
        reader::quarantine(&black_box, &quarantined)?;
        let pid = process::spawn(&self.settings.command, theirs, cpu)?;
        let link = match Link::open(ours, Peer { slot, pid }, self.sender.clone()) {
            Ok(link) => link,
            Err(error) => {
                process::kill(pid);
                process::await_exit(pid);
                process::reap(pid);
                return Err(error);
            }
        };
        if let Some(seat) = self.seats.get_mut(index) {
            seat.link = Some(link);
            seat.black_box = Some(black_box);
            seat.served = None;
            seat.was_killed = false;
        }
        self.inventory.process_started(slot);
        self.board.started(index);
        tracing::info!("worker {slot} started (pid {pid})");
        Ok(pid)
    }

    fn send(
        &mut self,
        index: usize,
        message: &ToWorker,
        descriptor: Option<Descriptor>,
        now_ms: Millis,
    ) {
        let Some(seat) = self.seats.get(index) else { return };
        let (Some(link), Some(pid)) = (&seat.link, seat.slot.pid()) else { return };
        match link.send(message, descriptor) {
            // A closed link is told by its reader.
            Ok(()) | Err(LinkError::Closed) => {}
            Err(error) => {
                tracing::warn!("link to worker {index} (pid {pid}): {error}");
                self.bring(index, slot::Event::Unresponsive(pid), now_ms);
            }
        }
    }
}

fn index(slot: WorkerSlot) -> usize {
    usize::from(slot.0)
}

fn worker_slot(index: usize) -> WorkerSlot {
    WorkerSlot(u16::try_from(index).unwrap_or(u16::MAX))
}
