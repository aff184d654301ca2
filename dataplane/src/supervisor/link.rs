//! One worker's socket: frames and descriptors out, frames in, and the news of its end.
//!
//! Two threads per worker. The writer blocks on the socket so that the loop never does; its
//! queue is bounded. The reader turns frames into events, in order, and after the last of them
//! waits for the process, so that the end of a process is always its last event.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use fairway_shared::id::WorkerSlot;
use fairway_shared::ipc::codec::{self, FrameError};
use fairway_shared::ipc::message::{FromWorker, ToWorker};

use super::event::{Event, WorkerNews};
use crate::sys::fd_pass::{recv_with_fds, send_with_fd};
use crate::sys::process::{Pid, await_exit};

/// Frames queued for a worker. One that leaves so many unread is stuck.
const OUTBOX_FRAMES_MAX: usize = 256;
/// Bytes asked of the kernel at once.
const READ_BYTES: usize = 64 * 1024;
/// Threads of a link only shuffle bytes.
const STACK_BYTES: usize = 256 * 1024;

/// Why a message is not under way.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The worker does not read.
    #[error("{OUTBOX_FRAMES_MAX} frames wait unread")]
    Full,
    /// The worker has closed its end; the reader reports that by itself.
    #[error("link is closed")]
    Closed,
    /// The message does not fit a frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
}

/// Whose link it is; goes with every event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Its slot.
    pub slot: WorkerSlot,
    /// Its process.
    pub pid: Pid,
}

/// The sending half. Dropping it closes nothing: the worker's end does.
#[derive(Debug)]
pub struct Link {
    outbox: Sender<Frame>,
}

/// A socket or a file on its way. Shared, so that it stays open until it is sent.
pub type Descriptor = Arc<dyn AsFd + Send + Sync>;

struct Frame {
    bytes: Vec<u8>,
    /// Rides with the first byte.
    descriptor: Option<Descriptor>,
}

impl Link {
    /// Starts both threads on the supervisor's end of a worker's socket, which must be blocking.
    ///
    /// # Errors
    /// The kernel's, when a thread or a descriptor cannot be had.
    pub fn open(socket: UnixStream, peer: Peer, events: Sender<Event>) -> io::Result<Self> {
        let (outbox, frames) = bounded(OUTBOX_FRAMES_MAX);
        let writing = socket.try_clone()?;
        let spawn = |name: String| thread::Builder::new().name(name).stack_size(STACK_BYTES);
        spawn(format!("to-worker-{}", peer.slot)).spawn(move || write(&writing, &frames))?;
        spawn(format!("of-worker-{}", peer.slot)).spawn(move || attend(&socket, peer, &events))?;
        Ok(Self { outbox })
    }

    /// Queues a message, and the descriptor that it brings.
    ///
    /// # Errors
    /// [`LinkError`]; the message is lost.
    pub fn send(
        &self,
        message: &ToWorker,
        descriptor: Option<Descriptor>,
    ) -> Result<(), LinkError> {
        let mut bytes = Vec::new();
        codec::encode(message, &mut bytes)?;
        self.outbox.try_send(Frame { bytes, descriptor }).map_err(|refused| match refused {
            TrySendError::Full(_) => LinkError::Full,
            TrySendError::Disconnected(_) => LinkError::Closed,
        })
    }
}

/// Ends with the socket or with the [`Link`].
fn write(socket: &UnixStream, frames: &Receiver<Frame>) {
    for frame in frames {
        let mut fd = frame.descriptor.as_ref().map(|descriptor| descriptor.as_fd());
        let mut rest = &frame.bytes[..];
        while !rest.is_empty() {
            match send_with_fd(socket, rest, fd.take()) {
                Ok(sent) => rest = &rest[sent..],
                Err(_) => return, // the reader sees the same and says so
            }
        }
    }
}

fn attend(socket: &UnixStream, peer: Peer, events: &Sender<Event>) {
    let tell = |news| events.send(Event::Worker(peer, news)).is_ok();
    let lost = read(socket, |message| tell(WorkerNews::Message(message)));
    if tell(WorkerNews::LinkLost(lost)) {
        tell(WorkerNews::Exited(await_exit(peer.pid)));
    }
}

/// Reads frames until the link is of no more use; why, if that is not simply its end.
fn read(socket: &UnixStream, mut tell: impl FnMut(FromWorker) -> bool) -> Option<String> {
    let mut chunk = vec![0; READ_BYTES];
    let mut pending = Vec::new();
    loop {
        // A worker has no descriptors to give; what it sends nevertheless is closed here.
        let count = match recv_with_fds(socket, &mut chunk) {
            Ok((0, _)) => return None,
            Ok((count, _surplus)) => count,
            Err(error) => return Some(error.to_string()),
        };
        pending.extend_from_slice(&chunk[..count]);
        let mut used = 0;
        loop {
            match codec::decode(&pending[used..]) {
                Ok(None) => break,
                Ok(Some((message, bytes))) => {
                    used += bytes;
                    if !tell(message) {
                        return None;
                    }
                }
                Err(error) => return Some(error.to_string()),
            }
        }
        pending.drain(..used);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpListener};
    use std::time::Duration;

    use fairway_shared::ipc::message::Figures;

    const DEADLINE: Duration = Duration::from_secs(10);

    fn open() -> (Link, UnixStream, Receiver<Event>) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (sender, events) = bounded(16);
        // No such child: waiting for it returns at once.
        let peer = Peer { slot: WorkerSlot(1), pid: Pid(u32::MAX >> 1) };
        (Link::open(ours, peer, sender).unwrap(), theirs, events)
    }

    fn next(events: &Receiver<Event>) -> WorkerNews {
        match events.recv_timeout(DEADLINE).unwrap() {
            Event::Worker(Peer { slot: WorkerSlot(1), .. }, news) => news,
            other => panic!("unexpected {other:?}"),
        }
    }

    #[test]
    fn frames_become_events_in_order_and_the_end_comes_last() {
        let (_link, mut worker, events) = open();
        let said = [
            FromWorker::ControlConnected(true),
            FromWorker::Report { nonce: 3, is_last: true, figures: Figures::default() },
        ];
        let mut bytes = Vec::new();
        for message in &said {
            codec::encode(message, &mut bytes).unwrap();
        }
        for byte in bytes {
            worker.write_all(&[byte]).unwrap();
        }
        drop(worker);
        for message in said {
            assert_eq!(next(&events), WorkerNews::Message(message));
        }
        assert_eq!(next(&events), WorkerNews::LinkLost(None));
        assert!(matches!(next(&events), WorkerNews::Exited(_)));
    }

    #[test]
    fn nonsense_ends_the_link_with_a_reason() {
        let (_link, mut worker, events) = open();
        worker.write_all(&[0xff; 8]).unwrap();
        let WorkerNews::LinkLost(Some(reason)) = next(&events) else { panic!("no reason") };
        assert_eq!(reason, "frame body of 4294967295 bytes exceeds 4194304");
    }

    #[test]
    fn a_listener_rides_with_its_frame() {
        let (link, worker, _events) = open();
        let address: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let listener = Arc::new(TcpListener::bind(address).unwrap());
        let bound = listener.local_addr().unwrap();
        let grant = ToWorker::ListenerGranted { wanted: address, bound };
        link.send(&grant, Some(listener)).unwrap();
        let mut buf = [0; 1024];
        let (count, mut fds) = recv_with_fds(&worker, &mut buf).unwrap();
        assert_eq!(codec::decode(&buf[..count]).unwrap(), Some((grant, count)));
        let received = TcpListener::from(fds.pop().unwrap());
        assert_eq!(received.local_addr().unwrap(), bound);
    }

    #[test]
    fn a_worker_that_does_not_read_fills_its_outbox_and_never_blocks_the_sender() {
        let (link, mut worker, _events) = open();
        let message = ToWorker::ListenerRefused {
            wanted: "127.0.0.1:1".parse().unwrap(),
            reason: "x".repeat(100_000),
        };
        let refused = (0..10 * OUTBOX_FRAMES_MAX).find_map(|_| link.send(&message, None).err());
        assert!(matches!(refused, Some(LinkError::Full)), "{refused:?}");
        drop(link);
        let mut rest = Vec::new();
        worker.set_read_timeout(Some(DEADLINE)).unwrap();
        worker.shutdown(std::net::Shutdown::Write).unwrap();
        worker.read_to_end(&mut rest).unwrap();
        assert!(rest.len() >= OUTBOX_FRAMES_MAX * 100_000, "what was queued still arrives");
    }
}
