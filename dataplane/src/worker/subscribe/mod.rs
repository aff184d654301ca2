//! The stream from control, on a thread of its own: connect, receive, prepare, hand over, answer.
//!
//! The local carrier is tried first, then gRPC. Without either, or with a control that has nothing
//! to say for a moment, and with nothing applied yet, last-good is served. Whatever control does,
//! this thread goes on trying, and the worker goes on serving.

mod grpc;
mod unix;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix::{Message, Recipient};
use crossbeam_channel::Sender;
use fairway_shared::id::SnapshotVersion;
use fairway_shared::ipc::message::{SnapshotSource, WorkerSettings};
use fairway_shared::snapshot::Snapshot;
use tokio::sync::mpsc;

use super::last_good;
use super::prepare::{Prepared, prepare};

/// First and longest pause between two attempts to connect.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// Longest wait for a connection, and for control's answer to the handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a fresh worker waits for control's first snapshot before it looks at last-good: a
/// worker is back within a second, even if control is connected and stuck.
const FIRST_SNAPSHOT_WAIT: Duration = Duration::from_millis(300);
/// Verdicts on their way back: one at a time is offered.
const VERDICTS_MAX: usize = 1;

/// News for the worker.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub enum News {
    /// A prepared snapshot waits in the channel.
    Offered,
    /// A snapshot could not even be prepared.
    Refused(SnapshotVersion, String),
    /// The stream from control is up, or down.
    Connected(bool),
}

/// The worker's answer to an offer: applied, or why not.
pub type Verdict = Result<(), String>;

/// How a carrier's session ended.
enum Ended {
    /// It never began.
    NotConnected(String),
    /// It was up.
    Lost(String),
}

/// The helper thread's state.
pub struct Subscriber {
    settings: Arc<WorkerSettings>,
    offers: Sender<Arc<Prepared>>,
    news: Recipient<News>,
    verdicts: mpsc::Receiver<Verdict>,
    current: Option<Arc<Prepared>>,
    /// A snapshot has arrived, from wherever.
    has_offered: Arc<AtomicBool>,
}

/// The worker's end of the verdicts.
pub type Verdicts = mpsc::Sender<Verdict>;

impl Subscriber {
    /// `offers` is bounded; its other end is the worker's, as is the returned end of the
    /// verdicts.
    pub fn new(
        settings: Arc<WorkerSettings>,
        offers: Sender<Arc<Prepared>>,
        news: Recipient<News>,
    ) -> (Self, Verdicts) {
        let (sender, verdicts) = mpsc::channel(VERDICTS_MAX);
        let has_offered = Arc::default();
        (Self { settings, offers, news, verdicts, current: None, has_offered }, sender)
    }

    /// Runs for as long as the worker does.
    pub async fn run(mut self) {
        let mut pause = PAUSE.0;
        let mut was_up = self.first_sessions().await;
        loop {
            self.tell(News::Connected(false));
            self.serve_something().await;
            pause = if was_up { PAUSE.0 } else { (pause * 2).min(PAUSE.1) };
            tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
            was_up = self.sessions().await;
        }
    }

    /// As [`Self::sessions`], but given up if no snapshot arrives in time.
    async fn first_sessions(&mut self) -> bool {
        let has_offered = Arc::clone(&self.has_offered);
        let too_late = async {
            tokio::time::sleep(FIRST_SNAPSHOT_WAIT).await;
            if has_offered.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            was_up = self.sessions() => was_up,
            () = too_late => false,
        }
    }

    /// Tries each carrier once, to the end of its session; whether there was one.
    async fn sessions(&mut self) -> bool {
        let mut was_up = false;
        for ended in [unix::session(self).await, grpc::session(self).await] {
            match ended {
                None => {}
                Some(Ended::NotConnected(why)) => tracing::debug!("control: {why}"),
                Some(Ended::Lost(why)) => {
                    tracing::warn!("control lost, serving on: {why}");
                    was_up = true;
                }
            }
        }
        was_up
    }

    /// Version served; 0 = none.
    fn serving(&self) -> SnapshotVersion {
        self.current.as_ref().map_or_else(SnapshotVersion::default, |now| now.snapshot.version)
    }

    /// Prepares a snapshot, has the worker apply it, and keeps it as last-good.
    async fn offer(&mut self, snapshot: Snapshot, source: SnapshotSource) -> Verdict {
        // From here on the worker's verdict is awaited, and must not be left behind.
        self.has_offered.store(true, Ordering::Relaxed);
        let version = snapshot.version;
        let prepared = match prepare(snapshot, self.current.as_deref(), source) {
            Ok(prepared) => Arc::new(prepared),
            Err(error) => {
                let reason = error.to_string();
                self.tell(News::Refused(version, reason.clone()));
                return Err(reason);
            }
        };
        let gone = || "the worker is ending".to_owned();
        self.offers.send(Arc::clone(&prepared)).map_err(|_| gone())?;
        self.tell(News::Offered);
        self.verdicts.recv().await.ok_or_else(gone)??;
        if source == SnapshotSource::Control {
            self.keep(&prepared.snapshot);
        }
        self.current = Some(prepared);
        Ok(())
    }

    fn keep(&self, snapshot: &Snapshot) {
        let path = Path::new(&self.settings.last_good);
        if let Err(error) = last_good::write(path, snapshot, &self.settings.slot.to_string()) {
            tracing::error!(
                "last-good {} {error}: a restart without control would serve an older snapshot",
                path.display()
            );
        }
    }

    /// Without a snapshot, because none came or the first was refused: last-good.
    async fn serve_something(&mut self) {
        if self.current.is_some() {
            return;
        }
        let path = Path::new(&self.settings.last_good).to_owned();
        match last_good::read(&path) {
            Ok(None) => {}
            Err(error) => tracing::warn!("last-good {} {error}: ignored", path.display()),
            Ok(Some(snapshot)) => {
                let version = snapshot.version;
                match self.offer(snapshot, SnapshotSource::LastGood).await {
                    Ok(()) => tracing::warn!("control unreachable: serving last-good {version}"),
                    Err(reason) => tracing::error!("last-good {version} refused: {reason}"),
                }
            }
        }
    }

    fn tell(&self, news: News) {
        // Bounded: a handful for each session and each offer.
        self.news.do_send(news);
    }
}
