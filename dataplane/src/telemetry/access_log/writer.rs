//! The helper thread that writes access logs. It may block as long as a disk or a pipe likes;
//! what does not fit into its queue meanwhile is refused.
//!
//! Workers write to the same file or pipe. A batch holds whole lines and goes out in one write
//! where the kernel keeps such a write together (files opened for appending); elsewhere, where
//! only short writes stay whole, a lock on the file keeps the others away.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

/// Batches that wait for the thread; with sixteen KiB each, a megabyte.
const QUEUE_BATCHES_MAX: usize = 64;
/// How long the end of the process may wait for the last lines.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);
/// Pause where a pipe that must not block is full.
const FULL_PAUSE: Duration = Duration::from_millis(5);
/// Between two complaints about the same file.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(10);

/// Whole lines for one file.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) file: Arc<str>,
    pub(super) bytes: Vec<u8>,
    pub(super) lines: u32,
}

/// The thread, as the worker knows it.
#[derive(Debug)]
pub(super) struct Writer {
    queue: Sender<Batch>,
    spare: Receiver<Vec<u8>>,
    /// Nothing is ever sent: it closes when the thread ends.
    ended: Receiver<()>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    must_reopen: AtomicBool,
    failed: AtomicU64,
}

impl Writer {
    /// `None`, with a line in the log, if the kernel has no thread left.
    pub(super) fn start() -> Option<Self> {
        let (queue, batches) = bounded(QUEUE_BATCHES_MAX);
        let (used, spare) = bounded(QUEUE_BATCHES_MAX);
        let (alive, ended) = bounded(0);
        let shared = Arc::new(Shared::default());
        let mut thread =
            Thread { shared: Arc::clone(&shared), files: BTreeMap::new(), complained: None };
        let run = move || {
            let _alive = alive;
            for batch in &batches {
                thread.write(&batch);
                let mut bytes = batch.bytes;
                bytes.clear();
                // Enough spare ones wait already.
                let _ = used.try_send(bytes);
            }
        };
        match thread::Builder::new().name("access-log".to_owned()).spawn(run) {
            Ok(_) => Some(Self { queue, spare, ended, shared }),
            Err(error) => {
                tracing::error!("no thread for access logs, their lines are lost: {error}");
                None
            }
        }
    }

    /// Hands a batch over; `false` if the queue is full.
    pub(super) fn write(&self, batch: Batch) -> bool {
        self.queue.try_send(batch).is_ok()
    }

    /// An empty buffer, used before if there is one.
    pub(super) fn spare_buffer(&self) -> Vec<u8> {
        self.spare.try_recv().unwrap_or_default()
    }

    /// Lines that could not be written.
    pub(super) fn failed(&self) -> u64 {
        self.shared.failed.load(Ordering::Relaxed)
    }

    pub(super) fn reopen(&self) {
        self.shared.must_reopen.store(true, Ordering::Release);
    }

    /// Ends the thread after what it has.
    pub(super) fn close(self) {
        drop(self.queue);
        if self.ended.recv_timeout(CLOSE_PATIENCE) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("access log is too slow, its last lines are lost");
        }
    }
}

struct Thread {
    shared: Arc<Shared>,
    files: BTreeMap<Arc<str>, Target>,
    complained: Option<Instant>,
}

/// An open file.
struct Target {
    file: File,
    /// Writes of several processes mix unless they take turns. Of a descriptor that all workers
    /// inherited no lock can tell them apart: lines beyond what a pipe keeps whole may mix there.
    takes_turns: bool,
}

impl Thread {
    fn write(&mut self, batch: &Batch) {
        if self.shared.must_reopen.swap(false, Ordering::AcqRel) {
            self.files.clear();
        }
        let written = self.target(&batch.file).and_then(|target| target.write(&batch.bytes));
        if let Err(error) = written {
            self.shared.failed.fetch_add(batch.lines.into(), Ordering::Relaxed);
            self.files.remove(&batch.file);
            if self.complained.is_none_or(|at| at.elapsed() >= COMPLAINT_INTERVAL) {
                self.complained = Some(Instant::now());
                tracing::error!("access log {}: {error}, lines are lost", batch.file);
            }
        }
    }

    fn target(&mut self, path: &Arc<str>) -> io::Result<&mut Target> {
        if !self.files.contains_key(path) {
            self.files.insert(Arc::clone(path), Target::open(path)?);
        }
        self.files.get_mut(path).ok_or_else(|| io::Error::other("it was just opened"))
    }
}

impl Target {
    fn open(path: &str) -> io::Result<Self> {
        let opened = OpenOptions::new().append(true).create(true).open(path);
        let file = match (opened, path) {
            (Ok(file), _) => file,
            // A socket cannot be opened by its name, and neither can another user's pipe.
            (Err(_), "/dev/stdout") => return Self::inherited(io::stdout()),
            (Err(_), "/dev/stderr") => return Self::inherited(io::stderr()),
            (Err(error), _) => return Err(error),
        };
        let takes_turns = !file.metadata()?.is_file();
        Ok(Self { file, takes_turns })
    }

    fn inherited(stream: impl AsFd) -> io::Result<Self> {
        let file = stream.as_fd().try_clone_to_owned()?.into();
        Ok(Self { file, takes_turns: false })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        // A file that knows no locks is written to all the same.
        let is_locked = self.takes_turns && self.file.lock().is_ok();
        let written = write_all(&mut self.file, bytes);
        if is_locked {
            self.file.unlock()?;
        }
        written
    }
}

fn write_all(file: &mut File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(FULL_PAUSE),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
