//! The stream from control, on a thread of its own: connect, receive, prepare, hand over, answer.
//!
//! The local carrier is tried first, then gRPC. Without either, or with a control that has nothing
//! to say for a moment, and with nothing applied yet, last-good is served. Whatever control does,
//! this thread goes on trying, and the worker goes on serving.

mod grpc;
mod unix;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix::{Message, Recipient};
use crossbeam_channel::Sender;
use fairway_shared::id::SnapshotVersion;
use fairway_shared::ipc::message::{SnapshotSource, WorkerSettings};
use fairway_shared::snapshot::Snapshot;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::files;
use super::last_good::{self, Encoded};
use super::prepare::{Means, Prepared, prepare};
use crate::black_box::{ContentHash, writer};
use crate::supervisor::poison::{CRASHES_MAX, TRIAL_MS};
use crate::sys::memory::monotonic_ms;

/// First and longest pause between two attempts to connect.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// Longest wait for a connection, and for control's answer to the handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a fresh worker waits for control's first snapshot before it looks at last-good: a
/// worker is back within a second, even if control is connected and stuck.
const FIRST_SNAPSHOT_WAIT: Duration = Duration::from_millis(300);
/// How long a snapshot is served before it is one to roll back to.
const TRIAL: Duration = Duration::from_millis(TRIAL_MS);
/// Why a snapshot is refused that the supervisor has seen crash its workers.
const CONDEMNED: &str = "it crashed its workers three times within 10 s of being applied: rolled \
                         back, and refused until its content changes";
const _: () = assert!(CRASHES_MAX == 3 && TRIAL_MS == 10_000, "the text above says so");
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
    means: Arc<Means>,
    offers: Sender<Arc<Prepared>>,
    news: Recipient<News>,
    verdicts: mpsc::Receiver<Verdict>,
    /// What is served.
    current: watch::Sender<Option<Arc<Prepared>>>,
    /// A snapshot has arrived, from wherever.
    has_offered: Arc<AtomicBool>,
    /// Trusts the current snapshot when it has been served long enough.
    trial: Option<JoinHandle<()>>,
    served: Option<Served>,
}

/// What the black box says of the current snapshot.
struct Served {
    hash: ContentHash,
    version: SnapshotVersion,
    since_ms: u64,
}

impl Served {
    fn note(&self) {
        if let Some(black_box) = writer::get() {
            black_box.trying(&self.hash, self.version.0, self.since_ms);
            black_box.applied();
        }
    }
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
        let means = Arc::new(Means::new(&settings));
        (
            Self {
                settings,
                means,
                offers,
                news,
                verdicts,
                current: watch::Sender::default(),
                has_offered,
                trial: None,
                served: None,
            },
            sender,
        )
    }

    /// Runs for as long as the worker does.
    pub async fn run(mut self) {
        tokio::spawn(files::follow(self.current.subscribe(), Arc::clone(&self.means)));
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
        self.current
            .borrow()
            .as_ref()
            .map_or_else(SnapshotVersion::default, |now| now.snapshot.version)
    }

    /// Prepares a snapshot, has the worker apply it, and keeps it as last-good.
    async fn offer(&mut self, snapshot: Snapshot, source: SnapshotSource) -> Verdict {
        self.offer_unless(&Arc::clone(&self.settings).condemned, snapshot, source).await
    }

    async fn offer_unless(
        &mut self,
        condemned: &[ContentHash],
        snapshot: Snapshot,
        source: SnapshotSource,
    ) -> Verdict {
        // From here on the worker's verdict is awaited, and must not be left behind.
        self.has_offered.store(true, Ordering::Relaxed);
        let version = snapshot.version;
        let (prepared, encoded) = match self.prepare(condemned, snapshot, source) {
            Ok(ready) => ready,
            Err(reason) => {
                self.served.iter().for_each(Served::note);
                self.tell(News::Refused(version, reason.clone()));
                return Err(reason);
            }
        };
        let gone = || "the worker is ending".to_owned();
        self.offers.send(Arc::clone(&prepared)).map_err(|_| gone())?;
        self.tell(News::Offered);
        self.verdicts.recv().await.ok_or_else(gone)??;
        let served = Served { hash: encoded.hash(), version, since_ms: monotonic_ms() };
        served.note();
        self.served = Some(served);
        self.current.send_replace(Some(prepared));
        self.keep(&encoded, source);
        Ok(())
    }

    /// What may crash this process is said to the supervisor first, in memory that outlives it.
    fn prepare(
        &self,
        condemned: &[ContentHash],
        snapshot: Snapshot,
        source: SnapshotSource,
    ) -> Result<(Arc<Prepared>, Encoded), String> {
        let encoded = Encoded::new(&snapshot).map_err(|error| error.to_string())?;
        if condemned.contains(&encoded.hash()) {
            return Err(CONDEMNED.to_owned());
        }
        if let Some(black_box) = writer::get() {
            black_box.trying(&encoded.hash(), snapshot.version.0, monotonic_ms());
        }
        let current = self.current.borrow().clone();
        let prepared = prepare(snapshot, current.as_deref(), source, &self.means);
        Ok((Arc::new(prepared.map_err(|error| error.to_string())?), encoded))
    }

    fn keep(&mut self, encoded: &Encoded, source: SnapshotSource) {
        let path = PathBuf::from(&self.settings.last_good);
        let who = self.settings.slot.to_string();
        if source == SnapshotSource::Control
            && let Err(error) = last_good::write(&path, encoded, &who)
        {
            tracing::error!(
                "last-good {} {error}: a restart without control would serve an older snapshot",
                path.display()
            );
        }
        let seal = encoded.seal();
        let trial = async move {
            tokio::time::sleep(TRIAL).await;
            if let Err(error) = last_good::prove(&path, &seal, &who) {
                tracing::error!(
                    "last-good {} {error}: it cannot be rolled back to",
                    path.display()
                );
            }
        };
        if let Some(before) = self.trial.replace(tokio::spawn(trial)) {
            before.abort();
        }
    }

    /// Without a snapshot, because none came or the first was refused: last-good, or the one that
    /// was served long enough to trust. Rather a condemned one than none.
    async fn serve_something(&mut self) {
        let newest = PathBuf::from(&self.settings.last_good);
        let proven = last_good::proven(&newest);
        let settings = Arc::clone(&self.settings);
        for (path, condemned) in
            [(&newest, &*settings.condemned), (&proven, &settings.condemned), (&newest, &[])]
        {
            if self.current.borrow().is_some() {
                return;
            }
            match last_good::read(path) {
                Ok(None) => {}
                Err(error) => tracing::warn!("last-good {} {error}: ignored", path.display()),
                Ok(Some(snapshot)) => {
                    let version = snapshot.version;
                    let offered = self.offer_unless(condemned, snapshot, SnapshotSource::LastGood);
                    match offered.await {
                        Ok(()) => tracing::warn!("serving last-good {version}, not control's"),
                        Err(reason) => tracing::error!("last-good {version} refused: {reason}"),
                    }
                }
            }
        }
    }

    fn tell(&self, news: News) {
        // Bounded: a handful for each session and each offer.
        self.news.do_send(news);
    }
}
