//! One connection's bytes to messages and back. Knows nothing of what they mean.

use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, BorrowedFd};

use fairway_shared::ipc::codec::{self, FrameError};
use fairway_shared::ipc::message::{FromControl, ToControl};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use tokio::io::{AsyncReadExt, Interest};
use tokio::net::UnixStream;

/// Read at a time, in bytes.
const READ_BYTES: usize = 4096;

/// Why the connection cannot go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectionError {
    #[error("{0}")]
    System(#[from] io::Error),
    #[error("{0}")]
    Frame(#[from] FrameError),
    #[error("it closed in the middle of a frame")]
    Truncated,
}

/// A connected worker.
pub(super) struct Frames {
    stream: UnixStream,
    /// Received and not yet decoded: less than one frame and one read.
    input: Vec<u8>,
}

impl Frames {
    pub(super) fn new(stream: UnixStream) -> Self {
        Self { stream, input: Vec::new() }
    }

    /// The next message; `None` when the worker has hung up. Loses nothing if dropped half-way.
    pub(super) async fn receive(&mut self) -> Result<Option<ToControl>, ConnectionError> {
        loop {
            if let Some((message, used)) = codec::decode(&self.input)? {
                self.input.drain(..used);
                return Ok(Some(message));
            }
            self.input.reserve(READ_BYTES);
            if self.stream.read_buf(&mut self.input).await? == 0 {
                let is_clean = self.input.is_empty();
                return if is_clean { Ok(None) } else { Err(ConnectionError::Truncated) };
            }
        }
    }

    /// Sends one message, its descriptor with the first byte.
    pub(super) async fn send(
        &mut self,
        message: &FromControl,
        descriptor: Option<BorrowedFd<'_>>,
    ) -> Result<(), ConnectionError> {
        let mut frame = Vec::new();
        codec::encode(message, &mut frame)?;
        let mut rest = frame.as_slice();
        let mut beside = descriptor;
        while !rest.is_empty() {
            let stream = &self.stream;
            let sent =
                stream.async_io(Interest::WRITABLE, || send_once(stream, rest, beside)).await?;
            beside = None;
            rest = &rest[sent..];
        }
        Ok(())
    }
}

fn send_once(
    stream: &UnixStream,
    bytes: &[u8],
    descriptor: Option<BorrowedFd<'_>>,
) -> io::Result<usize> {
    let raw = descriptor.map(|descriptor| [descriptor.as_raw_fd()]);
    let beside: Vec<_> =
        raw.iter().map(|descriptors| ControlMessage::ScmRights(descriptors)).collect();
    let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
    loop {
        match sendmsg::<()>(stream.as_raw_fd(), &[IoSlice::new(bytes)], &beside, flags, None) {
            Err(nix::errno::Errno::EINTR) => {}
            other => return other.map_err(io::Error::from),
        }
    }
}
