//! What the loop is told: by workers, by signals, by the admin thread. One bounded channel.

use std::collections::BTreeMap;
use std::sync::Arc;

use fairway_shared::instance::SupervisorStatus;
use fairway_shared::ipc::message::{FromWorker, SampleValue};
use tokio::sync::oneshot;

use super::crash::Crash;
use super::figures::Series;
use super::link::Peer;
use super::listing::Clusters;
use crate::sys::process::Exit;
use crate::sys::signal::TermSignal;

/// Events that wait for the loop. Senders block when it is full, but for the admin thread.
pub const EVENTS_MAX: usize = 1024;

/// One event.
#[derive(Debug)]
pub enum Event {
    /// From the link of a worker.
    Worker(Peer, WorkerNews),
    /// From the signal thread.
    Signal(TermSignal),
    /// From the signal thread: log files were rotated.
    ReopenLogs,
    /// From the admin thread.
    Question(Question),
}

/// What became of a worker. `Exited` is the last of a process.
#[derive(Debug, PartialEq)]
pub enum WorkerNews {
    /// A frame.
    Message(FromWorker),
    /// The link is of no more use; why, if that is not simply its end.
    LinkLost(Option<String>),
    /// The process has ended and is to be reaped.
    Exited(Exit),
}

/// What the admin thread wants. A dropped answer means that the supervisor ends.
#[derive(Debug)]
pub enum Question {
    /// How things are.
    Overview(oneshot::Sender<Overview>),
    /// All figures; answered within [`SCRAPE_WAIT_MS`](super::scrape::SCRAPE_WAIT_MS).
    Scrape(oneshot::Sender<Scrape>),
    /// All clusters; answered within [`SCRAPE_WAIT_MS`](super::scrape::SCRAPE_WAIT_MS).
    Clusters(oneshot::Sender<Clusters>),
    /// Finish what runs and stay, without a worker.
    DrainListeners,
    /// End as on `SIGTERM`.
    Quit,
}

/// How things are.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Overview {
    /// What the status line says.
    pub status: SupervisorStatus,
    /// How each slot's last process ended, by slot.
    pub last_exits: Vec<Option<String>>,
    /// The last end of each slot that nobody wanted, by slot.
    pub last_crashes: Vec<Option<Crash>>,
    /// Why listeners are not bound, one line each.
    pub problems: Vec<String>,
    /// Why this gateway is not ready; `None` = it is.
    pub not_ready: Option<String>,
    /// It is about to end.
    pub is_draining: bool,
}

/// All figures of one moment.
#[derive(Debug, Default)]
pub struct Scrape {
    /// The supervisor's own, in exposition format.
    pub own: String,
    /// The workers', merged.
    pub merged: BTreeMap<Arc<Series>, SampleValue>,
}
