//! The stream from control, on a thread of its own: connect, receive, prepare, hand over, answer.
//!
//! The local carrier is tried first, then gRPC. Without either, and with nothing applied yet,
//! last-good is served. Whatever control does, this thread goes on trying, and the worker goes
//! on serving.

mod grpc;
mod unix;

use std::path::Path;
use std::sync::Arc;
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
        (Self { settings, offers, news, verdicts, current: None }, sender)
    }

    /// Runs for as long as the worker does.
    pub async fn run(mut self) {
        let mut pause = PAUSE.0;
        loop {
            let mut was_up = false;
            for ended in [unix::session(&mut self).await, grpc::session(&mut self).await] {
                match ended {
                    None => {}
                    Some(Ended::NotConnected(why)) => tracing::debug!("control: {why}"),
                    Some(Ended::Lost(why)) => {
                        tracing::warn!("control lost, serving on: {why}");
                        was_up = true;
                    }
                }
            }
            self.tell(News::Connected(false));
            if self.current.is_none() {
                self.offer_last_good().await;
            }
            pause = if was_up { PAUSE.0 } else { (pause * 2).min(PAUSE.1) };
            tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        }
    }

    /// Version served; 0 = none.
    fn serving(&self) -> SnapshotVersion {
        self.current.as_ref().map_or_else(SnapshotVersion::default, |now| now.snapshot.version)
    }

    /// Prepares a snapshot, has the worker apply it, and keeps it as last-good.
    async fn offer(&mut self, snapshot: Snapshot, source: SnapshotSource) -> Verdict {
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

    async fn offer_last_good(&mut self) {
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
