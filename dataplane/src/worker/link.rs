//! The worker's end of the socket to its supervisor: frames and descriptors in, frames out.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use fairway_shared::ipc::codec::{self, FrameError};
use fairway_shared::ipc::message::{FromWorker, ToWorker, WorkerSettings};
use tokio::io::Interest;
use tokio::sync::Notify;

use crate::sys::fd_pass::{recv_with_fds, send_with_fd};

const READ_BYTES: usize = 64 * 1024;
/// Frames waiting for a supervisor that does not read, in bytes; beyond it reports are left out.
const OUTBOX_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Why the link is over. The worker ends with it.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The supervisor closed or died.
    #[error("the supervisor is gone")]
    Gone,
    /// The socket's word.
    #[error("the socket to the supervisor failed")]
    Io(#[from] io::Error),
    /// A frame that is none.
    #[error("the supervisor sent a frame that does not decode")]
    Frame(#[from] FrameError),
    /// A frame without what it must bring.
    #[error("the supervisor sent {0}")]
    Unexpected(&'static str),
}

/// Frames that have arrived in part, and descriptors that wait for theirs.
#[derive(Debug, Default)]
struct Inbox {
    bytes: Vec<u8>,
    descriptors: VecDeque<OwnedFd>,
}

impl Inbox {
    fn receive(&mut self, socket: &impl AsFd) -> io::Result<usize> {
        let start = self.bytes.len();
        self.bytes.resize(start + READ_BYTES, 0);
        let received = recv_with_fds(socket, &mut self.bytes[start..]);
        self.bytes.truncate(start + received.as_ref().map_or(0, |(count, _)| *count));
        let (count, descriptors) = received?;
        self.descriptors.extend(descriptors);
        Ok(count)
    }

    fn next(&mut self) -> Result<Option<(ToWorker, Option<OwnedFd>)>, LinkError> {
        let Some((message, used)) = codec::decode::<ToWorker>(&self.bytes)? else {
            return Ok(None);
        };
        self.bytes.drain(..used);
        let descriptor = match &message {
            ToWorker::RegionShared
            | ToWorker::Configure(_)
            | ToWorker::ListenerGranted { .. }
            | ToWorker::ListenerLent { .. } => {
                let brought = self.descriptors.pop_front();
                Some(brought.ok_or(LinkError::Unexpected("a frame without its descriptor"))?)
            }
            _ => None,
        };
        Ok(Some((message, descriptor)))
    }
}

/// A socket that was not ready after all is no error.
fn unless_blocked<T>(outcome: io::Result<T>) -> io::Result<Option<T>> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        other => other.map(Some),
    }
}

/// What the first frames bring.
#[derive(Debug)]
pub struct Opening {
    /// All that a worker needs to know to start.
    pub settings: WorkerSettings,
    /// Memory of the process's black box.
    pub black_box: Option<File>,
    /// Memory that the workers of the pod share.
    pub region: Option<OwnedFd>,
}

/// A link over which the first frames have come.
#[derive(Debug)]
pub struct Link {
    socket: UnixStream,
    inbox: Inbox,
}

impl Link {
    /// Waits for the settings, the memory of the black box, and what the workers share, on a
    /// blocking socket.
    ///
    /// # Errors
    /// The link is over before it began.
    pub fn open(socket: UnixStream) -> Result<(Self, Opening), LinkError> {
        let (mut inbox, mut region) = (Inbox::default(), None);
        loop {
            match inbox.next()? {
                Some((ToWorker::RegionShared, fd)) => region = fd,
                Some((ToWorker::Configure(settings), memory)) => {
                    let black_box = memory.map(File::from);
                    let opening = Opening { settings: *settings, black_box, region };
                    return Ok((Self { socket, inbox }, opening));
                }
                Some(_) => return Err(LinkError::Unexpected("another frame before the settings")),
                None => {
                    if inbox.receive(&socket)? == 0 {
                        return Err(LinkError::Gone);
                    }
                }
            }
        }
    }

    /// Reads and writes until the link is over; each frame goes to `deliver`.
    ///
    /// # Errors
    /// Why it is over; it never ends otherwise.
    pub async fn run(
        self,
        outbox: Outbox,
        deliver: impl Fn(ToWorker, Option<OwnedFd>),
    ) -> LinkError {
        match self.carry(&outbox, deliver).await {
            Ok(never) => match never {},
            Err(error) => error,
        }
    }

    async fn carry(
        mut self,
        outbox: &Outbox,
        deliver: impl Fn(ToWorker, Option<OwnedFd>),
    ) -> Result<std::convert::Infallible, LinkError> {
        self.socket.set_nonblocking(true)?;
        let socket = tokio::net::UnixStream::from_std(self.socket)?;
        loop {
            while let Some((message, descriptor)) = self.inbox.next()? {
                deliver(message, descriptor);
            }
            let interest = match outbox.is_empty() {
                true => Interest::READABLE,
                false => Interest::READABLE | Interest::WRITABLE,
            };
            tokio::select! {
                ready = socket.ready(interest) => {
                    let ready = ready?;
                    if ready.is_writable() {
                        let flushed = socket.try_io(Interest::WRITABLE, || outbox.flush(&socket));
                        unless_blocked(flushed)?;
                    }
                    if ready.is_readable() {
                        let inbox = &mut self.inbox;
                        let received = socket.try_io(Interest::READABLE, || inbox.receive(&socket));
                        if unless_blocked(received)? == Some(0) {
                            return Err(LinkError::Gone);
                        }
                    }
                }
                () = outbox.changed.notified() => {}
            }
        }
    }
}

/// Frames on their way to the supervisor. Cheap to clone; never blocks.
#[derive(Debug, Clone, Default)]
pub struct Outbox {
    bytes: Rc<RefCell<Vec<u8>>>,
    changed: Rc<Notify>,
}

impl Outbox {
    /// Queues a frame. Left out, with a line in the log, if the supervisor does not read.
    pub fn send(&self, message: &FromWorker) {
        let mut bytes = self.bytes.borrow_mut();
        if bytes.len() > OUTBOX_BYTES_MAX {
            tracing::warn!("the supervisor does not read: a frame is left out");
            return;
        }
        if let Err(error) = codec::encode(message, &mut bytes) {
            tracing::error!(%error, "a frame to the supervisor is left out");
        }
        self.changed.notify_one();
    }

    /// So much waits that reports had better wait too.
    pub fn is_crowded(&self) -> bool {
        self.bytes.borrow().len() > OUTBOX_BYTES_MAX / 4
    }

    fn is_empty(&self) -> bool {
        self.bytes.borrow().is_empty()
    }

    fn flush(&self, socket: &impl AsFd) -> io::Result<()> {
        let mut bytes = self.bytes.borrow_mut();
        while !bytes.is_empty() {
            let count = send_with_fd(socket, &bytes, None)?;
            bytes.drain(..count);
        }
        Ok(())
    }
}
