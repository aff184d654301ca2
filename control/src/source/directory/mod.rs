//! The directory source: YAML and JSON files below one directory, watched for changes.
//!
//! A thread of its own lists the directory, reads what changed, and hands the events to a sink;
//! then it waits for the kernel to report a change, or for the slow round that finds what the
//! kernel does not report (network file systems, links to files elsewhere). Debouncing is for the
//! store: this thread tells each state of a file that it sees.

mod listing;
mod scan;
mod watches;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use scan::Scan;
use watches::Watches;

use super::{SourceEvent, SourceView};

/// How long at most a change goes unnoticed that the kernel does not report.
pub const POLL_DEFAULT: Duration = Duration::from_secs(2);
/// Changes come in swarms, and each listing costs: it is not repeated before this time, nor before
/// it has rested as long as it worked.
const REST_MIN: Duration = Duration::from_millis(10);
const REST_MAX: Duration = Duration::from_secs(1);

/// Why a directory cannot be a source. Later trouble with it is a diagnostic.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// It does not exist or may not be read.
    #[error("directory `{}` cannot be read", path.display())]
    Unreadable {
        /// As given.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// It is something else.
    #[error("`{}` is not a directory", path.display())]
    NotADirectory {
        /// As given.
        path: PathBuf,
    },
    /// The operating system gives no thread.
    #[error("no thread to watch a directory")]
    NoThread(#[source] io::Error),
}

/// A running directory source. Dropping it stops the thread and waits for its end.
#[derive(Debug)]
pub struct DirectorySource {
    wake: SyncSender<()>,
    is_stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl DirectorySource {
    /// Starts to read and watch `root`. Each listing that has news calls `sink` once, from the
    /// source's thread; the first call holds everything and ends with [`SourceEvent::Synced`].
    /// `poll` is the slow round, [`POLL_DEFAULT`] unless there is a reason.
    ///
    /// # Errors
    /// `root` is no readable directory now.
    pub fn start<S>(root: &Path, poll: Duration, mut sink: S) -> Result<Self, DirectoryError>
    where
        S: FnMut(Vec<SourceEvent>) + Send + 'static,
    {
        check(root)?;
        // One wake waiting says all that any number could.
        let (wake, woken) = sync_channel(1);
        let is_stopping = Arc::new(AtomicBool::new(false));
        let (waker, is_over, root) = (wake.clone(), Arc::clone(&is_stopping), root.to_owned());
        let thread = thread::Builder::new()
            .name("source-directory".to_owned())
            .spawn(move || {
                let again = waker.clone();
                let watches = Watches::new(move || {
                    let _ = waker.try_send(());
                });
                let rounds = Rounds { scan: Scan::new(&root), watches, again, woken, poll };
                rounds.run(&is_over, &mut sink);
            })
            .map_err(DirectoryError::NoThread)?;
        Ok(Self { wake, is_stopping, thread: Some(thread) })
    }
}

impl Drop for DirectorySource {
    fn drop(&mut self) {
        self.is_stopping.store(true, Ordering::Release);
        let _ = self.wake.try_send(());
        if let Some(thread) = self.thread.take() {
            // It ended by a panic if this fails, which the process does not survive.
            let _ = thread.join();
        }
    }
}

/// Reads a directory, or one file, once, in order of path. For tools that do not watch.
///
/// # Errors
/// `root` cannot be looked at. Trouble below it is among the diagnostics.
pub fn read_once(root: &Path) -> Result<Vec<SourceView>, DirectoryError> {
    let unreadable = |source| DirectoryError::Unreadable { path: root.to_owned(), source };
    std::fs::metadata(root).map_err(unreadable)?;
    let events = Scan::new(root).step().events.into_iter();
    Ok(events
        .filter_map(|event| match event {
            SourceEvent::Updated(view) => Some(view),
            SourceEvent::Removed { .. } | SourceEvent::Synced => None,
        })
        .collect())
}

fn check(root: &Path) -> Result<(), DirectoryError> {
    let unreadable = |source| DirectoryError::Unreadable { path: root.to_owned(), source };
    if !std::fs::metadata(root).map_err(unreadable)?.is_dir() {
        return Err(DirectoryError::NotADirectory { path: root.to_owned() });
    }
    std::fs::read_dir(root).map_err(unreadable)?;
    Ok(())
}

struct Rounds {
    scan: Scan,
    watches: Watches,
    again: SyncSender<()>,
    woken: Receiver<()>,
    poll: Duration,
}

impl Rounds {
    fn run(mut self, is_over: &AtomicBool, sink: &mut dyn FnMut(Vec<SourceEvent>)) {
        let mut is_synced = false;
        while !is_over.load(Ordering::Acquire) {
            let started = Instant::now();
            let mut step = self.scan.step();
            if self.watches.follow(step.directories) {
                let _ = self.again.try_send(());
            }
            if !is_synced {
                step.events.push(SourceEvent::Synced);
                is_synced = true;
            }
            if !step.events.is_empty() {
                sink(step.events);
            }
            thread::sleep(started.elapsed().clamp(REST_MIN, REST_MAX));
            // An error cannot be: this thread holds a sender itself. Either way it looks again.
            let _ = self.woken.recv_timeout(self.poll);
        }
    }
}

#[cfg(test)]
mod tests;
