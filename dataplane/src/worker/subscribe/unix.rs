//! The local carrier: bincode frames over control's unix socket, snapshots as sealed memfds.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use fairway_shared::ipc::codec::{self, FrameError, SNAPSHOT_BYTES_MAX};
use fairway_shared::ipc::message::{
    FromControl, PROTOCOL_VERSION, SnapshotSource, ToControl, schema_fingerprint,
};
use fairway_shared::snapshot::Snapshot;
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::UnixStream;

use super::{CONNECT_TIMEOUT, Ended, News, Subscriber};
use crate::sys::fd_pass::recv_with_fds;

const READ_BYTES: usize = 64 * 1024;

/// Why the conversation is over.
#[derive(Debug, thiserror::Error)]
enum UnixError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Frame(#[from] FrameError),
    #[error("control closed the connection")]
    Closed,
    #[error("control did not answer within {}s", .0.as_secs())]
    Late(Duration),
    #[error("control refused: {0}")]
    Refused(String),
    #[error("control sent {0}")]
    Unexpected(&'static str),
    #[error("snapshot of {0} bytes exceeds {SNAPSHOT_BYTES_MAX}")]
    TooLong(u64),
}

/// One session, from connecting to its end; `None` if there is no such carrier.
pub(super) async fn session(subscriber: &mut Subscriber) -> Option<Ended> {
    let path = subscriber.settings.control_socket.clone()?;
    let opening = tokio::time::timeout(CONNECT_TIMEOUT, Conversation::open(&path, subscriber));
    let opened = opening.await.unwrap_or(Err(UnixError::Late(CONNECT_TIMEOUT)));
    let mut conversation = match opened {
        Ok(conversation) => conversation,
        Err(error @ UnixError::Refused(_)) => {
            tracing::warn!("{path}: {error}");
            return Some(Ended::NotConnected(error.to_string()));
        }
        Err(error) => return Some(Ended::NotConnected(format!("{path}: {error}"))),
    };
    subscriber.tell(News::Connected(true));
    let Err(error) = conversation.serve(subscriber).await;
    Some(Ended::Lost(format!("{path}: {error}")))
}

struct Conversation {
    stream: UnixStream,
    bytes: Vec<u8>,
    descriptors: VecDeque<OwnedFd>,
}

impl Conversation {
    async fn open(path: &str, subscriber: &Subscriber) -> Result<Self, UnixError> {
        let stream = UnixStream::connect(path).await?;
        let mut this = Self { stream, bytes: Vec::new(), descriptors: VecDeque::new() };
        let hello = ToControl::Hello {
            protocol: PROTOCOL_VERSION,
            schema: schema_fingerprint(),
            node: subscriber.settings.node.clone(),
            slot: subscriber.settings.slot,
            serving: subscriber.serving(),
        };
        this.send(&hello).await?;
        match this.receive().await? {
            FromControl::Welcome => Ok(this),
            FromControl::Refused { reason } => Err(UnixError::Refused(reason)),
            FromControl::Snapshot { .. } => Err(UnixError::Unexpected("a snapshot before Welcome")),
        }
    }

    async fn serve(
        &mut self,
        subscriber: &mut Subscriber,
    ) -> Result<std::convert::Infallible, UnixError> {
        loop {
            let FromControl::Snapshot { version, bytes } = self.receive().await? else {
                return Err(UnixError::Unexpected("a handshake frame after the handshake"));
            };
            let memfd = self.descriptors.pop_front();
            let memfd = memfd.ok_or(UnixError::Unexpected("a snapshot without its memfd"))?;
            let verdict = match read_snapshot(memfd, bytes)? {
                Ok(snapshot) => subscriber.offer(snapshot, SnapshotSource::Control).await,
                Err(error) => Err(error.to_string()),
            };
            let answer = match verdict {
                Ok(()) => ToControl::Ack { version },
                Err(reason) => ToControl::Nack { version, reason },
            };
            self.send(&answer).await?;
            subscriber.serve_something().await;
        }
    }

    async fn send(&mut self, message: &ToControl) -> Result<(), UnixError> {
        let mut bytes = Vec::new();
        codec::encode(message, &mut bytes)?;
        Ok(self.stream.write_all(&bytes).await?)
    }

    async fn receive(&mut self) -> Result<FromControl, UnixError> {
        loop {
            if let Some((message, used)) = codec::decode(&self.bytes)? {
                self.bytes.drain(..used);
                return Ok(message);
            }
            let mut chunk = vec![0; READ_BYTES];
            let stream = &self.stream;
            let receiving =
                stream.async_io(Interest::READABLE, || recv_with_fds(stream, &mut chunk));
            let (count, descriptors) = receiving.await?;
            if count == 0 {
                return Err(UnixError::Closed);
            }
            self.bytes.extend_from_slice(&chunk[..count]);
            self.descriptors.extend(descriptors);
        }
    }
}

/// Reads a memfd from its start, whatever its position: all workers of a pod share it. What does
/// not decode is a reason to nack, not to hang up.
fn read_snapshot(memfd: OwnedFd, bytes: u64) -> Result<Result<Snapshot, FrameError>, UnixError> {
    let length = usize::try_from(bytes).ok().filter(|length| *length <= SNAPSHOT_BYTES_MAX);
    let mut content = vec![0; length.ok_or(UnixError::TooLong(bytes))?];
    File::from(memfd).read_exact_at(&mut content, 0)?;
    Ok(codec::decode_whole(&content))
}
