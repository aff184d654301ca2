//! Starting one process of the instance, reading its status lines and telling when it ends. What
//! is done about it is decided elsewhere.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, pipe2};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use super::lifecycle::{End, Process};
use crate::child;

/// News of a process, tagged with its pid: lines of a dead one may come late.
#[derive(Debug)]
pub(crate) enum News {
    Line { process: Process, pid: u32, text: String },
    Exited { process: Process, pid: u32, end: End },
}

/// A started process. Its signals go through the task that reaps it, so that none can reach
/// another process that got the same pid later.
#[derive(Debug)]
pub(crate) struct Running {
    pub pid: u32,
    signals: mpsc::Sender<Signal>,
}

/// Signals that wait for the task that sends them; `up` sends three at most.
const SIGNALS_MAX: usize = 8;

impl Running {
    /// Sends the signal, unless the process is gone.
    pub(crate) fn signal(&self, signal: Signal) {
        // The receiver ends with the process.
        let _ = self.signals.try_send(signal);
    }
}

/// Starts `fairway <command> --status-fd N`; its news goes to `news`.
///
/// # Errors
/// The process could not be started.
pub(crate) fn start(
    process: Process,
    mut command: Vec<String>,
    news: &mpsc::Sender<News>,
) -> io::Result<Running> {
    let (reader, writer) = status_pipe()?;
    command.extend(["--status-fd".to_owned(), writer.as_raw_fd().to_string()]);
    let child = program().args(child::arguments(&command)).spawn()?;
    drop(writer);
    let pid = child.id().ok_or_else(|| io::Error::other("it ended at once"))?;
    tokio::spawn(read_lines(process, pid, reader, news.clone()));
    let (signals, receiver) = mpsc::channel(SIGNALS_MAX);
    tokio::spawn(reap(process, pid, child, receiver, news.clone()));
    Ok(Running { pid, signals })
}

/// This program again, even if its file was replaced meanwhile, in a process group of its own: the
/// terminal's Ctrl-C is for `up` alone.
pub(crate) fn program() -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg0("fairway").process_group(0).stdin(Stdio::null());
    command
}

/// The writing end is inherited by whatever is started next, hence closed right after.
fn status_pipe() -> io::Result<(pipe::Receiver, OwnedFd)> {
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
    fcntl(&writer, FcntlArg::F_SETFD(FdFlag::empty()))?;
    Ok((pipe::Receiver::from_owned_fd(reader)?, writer))
}

async fn read_lines(process: Process, pid: u32, reader: pipe::Receiver, news: mpsc::Sender<News>) {
    let mut lines = BufReader::new(reader).lines();
    while let Ok(Some(text)) = lines.next_line().await {
        if news.send(News::Line { process, pid, text }).await.is_err() {
            return;
        }
    }
}

async fn reap(
    process: Process,
    pid: u32,
    mut child: Child,
    mut signals: mpsc::Receiver<Signal>,
    news: mpsc::Sender<News>,
) {
    let status = loop {
        tokio::select! {
            status = child.wait() => break status,
            Some(signal) = signals.recv() => send(&child, signal),
        }
    };
    let end = status.map_or(End::NotStarted, end_of);
    drop(news.send(News::Exited { process, pid, end }).await);
}

fn send(child: &Child, signal: Signal) {
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
    if let Some(pid) = pid {
        // It may have ended this moment, which is what the signal was for.
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

fn end_of(status: ExitStatus) -> End {
    match (status.code(), status.signal()) {
        (Some(code), _) => End::Code(u8::try_from(code).unwrap_or(u8::MAX)),
        (None, Some(signal)) => End::Signal(signal),
        (None, None) => End::NotStarted,
    }
}
