use std::fs::File;
use std::io::IoSliceMut;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use fairway_shared::id::{SnapshotVersion, WorkerSlot};
use fairway_shared::ipc::codec;
use fairway_shared::ipc::message::{
    FromControl, NodeIdentity, PROTOCOL_VERSION, ToControl, schema_fingerprint,
};
use fairway_shared::snapshot::Snapshot;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::UnixStream;

use super::*;
use crate::publish::testing::{publish, snapshot_with};

const DEADLINE: Duration = Duration::from_secs(20);

/// A worker as far as control can see.
struct Worker {
    stream: UnixStream,
    input: Vec<u8>,
    /// Memfds received and not yet read.
    memfds: Vec<File>,
}

impl Worker {
    async fn connect(path: &Path) -> Self {
        let stream = UnixStream::connect(path).await.unwrap();
        Self { stream, input: Vec::new(), memfds: Vec::new() }
    }

    /// Connected and welcome.
    async fn greeted(path: &Path, slot: u16) -> Self {
        let mut worker = Self::connect(path).await;
        worker.send(&hello(slot)).await;
        assert_eq!(worker.receive().await, Some(FromControl::Welcome));
        worker
    }

    async fn send(&mut self, message: &ToControl) {
        let mut frame = Vec::new();
        codec::encode(message, &mut frame).unwrap();
        self.stream.write_all(&frame).await.unwrap();
    }

    async fn ack(&mut self, version: u64) {
        self.send(&ToControl::Ack { version: SnapshotVersion(version) }).await;
    }

    /// The next frame; `None` at the end.
    async fn receive(&mut self) -> Option<FromControl> {
        loop {
            if let Some((message, used)) = codec::decode(&self.input).unwrap() {
                self.input.drain(..used);
                return Some(message);
            }
            let reading = self.stream.async_io(Interest::READABLE, || receive_once(&self.stream));
            let (bytes, memfd) = tokio::time::timeout(DEADLINE, reading).await.unwrap().unwrap();
            if bytes.is_empty() {
                return None;
            }
            self.input.extend(bytes);
            self.memfds.extend(memfd);
        }
    }

    /// The next frame, which must be a snapshot: its version, itself, and its memfd's inode.
    async fn snapshot(&mut self) -> (u64, Snapshot, u64) {
        let message = self.receive().await;
        let Some(FromControl::Snapshot { version, bytes }) = message else {
            panic!("wants a snapshot: {message:?}")
        };
        let memfd = self.memfds.remove(0);
        let mut content = vec![0; usize::try_from(bytes).unwrap()];
        memfd.read_exact_at(&mut content, 0).unwrap();
        let snapshot = codec::decode_whole(&content).unwrap();
        (version.0, snapshot, memfd.metadata().unwrap().ino())
    }
}

fn receive_once(stream: &UnixStream) -> std::io::Result<(Vec<u8>, Option<File>)> {
    let mut bytes = [0; 1024];
    let mut space = nix::cmsg_space!([RawFd; 1]);
    let mut parts = [IoSliceMut::new(&mut bytes)];
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(stream.as_raw_fd(), &mut parts, Some(&mut space), flags)?;
    let mut memfd = None;
    for beside in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(descriptors) = beside {
            // By name, since a number cannot be owned without an unsafe promise.
            memfd = Some(File::open(format!("/proc/self/fd/{}", descriptors[0]))?);
        }
    }
    let length = message.bytes;
    Ok((bytes[..length].to_vec(), memfd))
}

fn hello(slot: u16) -> ToControl {
    ToControl::Hello {
        protocol: PROTOCOL_VERSION,
        schema: schema_fingerprint(),
        node: NodeIdentity { id: "router~1~gw.shop~shop".into(), ..NodeIdentity::default() },
        slot: WorkerSlot(slot),
        serving: SnapshotVersion(0),
    }
}

/// A publisher behind a socket. The folder lives as long as the test.
fn start() -> (Publisher, std::path::PathBuf, (tempfile::TempDir, bind::SocketPath)) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control.sock");
    let (listener, guard) = bind::bind(&path).unwrap();
    let publisher = Publisher::start();
    tokio::spawn(serve(UnixListener::from_std(listener).unwrap(), publisher.clone()));
    (publisher, path, (folder, guard))
}

#[actix::test]
async fn a_worker_follows_the_versions_and_its_answers_are_seen() {
    let (publisher, path, _alive) = start();
    let mut worker = Worker::greeted(&path, 3).await;
    publish(&publisher, &["a"]).await;
    let (version, snapshot, _) = worker.snapshot().await;
    assert_eq!((version, snapshot.version.0, snapshot.clusters.len()), (1, 1, 1));
    worker.ack(1).await;
    publish(&publisher, &["a", "b"]).await;
    assert_eq!(worker.snapshot().await.0, 2);
    let view = publisher.view().await.unwrap();
    let [status] = &view.subscribers[..] else { panic!("wants one subscriber") };
    assert_eq!(status.subscriber.slot, WorkerSlot(3));
    assert_eq!((status.session.sent().0, status.session.acked().0), (2, 1));
    assert!(!view.is_in_sync(status));

    let (version, reason) = (SnapshotVersion(2), "no room".to_owned());
    worker.send(&ToControl::Nack { version, reason }).await;
    publish(&publisher, &["c"]).await;
    assert_eq!(worker.snapshot().await.0, 3);
    let view = publisher.view().await.unwrap();
    assert_eq!(view.subscribers[0].session.nacked().unwrap().reason, "no room");
    assert_eq!(view.tally.nacked, 1);
}

#[actix::test]
async fn a_slow_worker_is_sent_the_newest_only_and_holds_up_nobody() {
    let (publisher, path, _alive) = start();
    let mut slow = Worker::greeted(&path, 0).await;
    let mut quick = Worker::greeted(&path, 1).await;
    for (version, hosts) in [(1, ["a"]), (2, ["b"]), (3, ["c"])] {
        publish(&publisher, &hosts).await;
        assert_eq!(quick.snapshot().await.0, version);
        quick.ack(version).await;
    }
    assert_eq!(slow.snapshot().await.0, 1);
    slow.ack(1).await;
    assert_eq!(slow.snapshot().await.0, 3);
}

#[actix::test]
async fn workers_of_one_host_share_one_copy() {
    let (publisher, path, _alive) = start();
    publish(&publisher, &["a"]).await;
    let (_, _, first) = Worker::greeted(&path, 0).await.snapshot().await;
    let (_, _, second) = Worker::greeted(&path, 1).await.snapshot().await;
    assert_eq!(first, second);
}

#[actix::test]
async fn a_worker_of_another_build_is_refused_with_both_schemas() {
    let (_publisher, path, _alive) = start();
    let mut worker = Worker::connect(&path).await;
    let mut message = hello(0);
    if let ToControl::Hello { schema, .. } = &mut message {
        *schema = [0xee; 32];
    }
    worker.send(&message).await;
    let Some(FromControl::Refused { reason }) = worker.receive().await else {
        panic!("wants a refusal")
    };
    assert!(reason.contains(&"ee".repeat(32)), "{reason}");
    let ours: String = schema_fingerprint().iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(reason.contains(&ours), "{reason}");
    assert_eq!(worker.receive().await, None);
}

#[actix::test]
async fn a_worker_that_breaks_the_rules_is_hung_up_on_and_forgotten() {
    let (publisher, path, _alive) = start();
    publish(&publisher, &["a"]).await;
    for breach in [ToControl::Ack { version: SnapshotVersion(9) }, hello(0)] {
        let mut worker = Worker::greeted(&path, 0).await;
        worker.snapshot().await;
        worker.send(&breach).await;
        assert_eq!(worker.receive().await, None, "{breach:?}");
    }
    let mut garbler = Worker::greeted(&path, 0).await;
    garbler.snapshot().await;
    garbler.stream.write_all(&[0xff; 64]).await.unwrap();
    assert_eq!(garbler.receive().await, None);
    drop(Worker::greeted(&path, 0).await);
    let forgotten = async {
        while !publisher.view().await.unwrap().subscribers.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, forgotten).await.unwrap();
}

#[actix::test]
async fn a_version_published_before_the_worker_came_is_sent_at_once() {
    let (publisher, path, _alive) = start();
    publish(&publisher, &["a"]).await;
    let (version, snapshot, _) = Worker::greeted(&path, 0).await.snapshot().await;
    let expected = Snapshot { version: SnapshotVersion(1), ..snapshot_with(&["a"]) };
    assert_eq!((version, snapshot), (1, expected));
}

#[test]
fn only_the_same_user_and_root_may_speak() {
    for (peer, own, allowed) in
        [(1000, 1000, true), (0, 1000, true), (1001, 1000, false), (1000, 0, false)]
    {
        assert_eq!(may_speak(peer, own), allowed, "{peer} to {own}");
    }
}

#[tokio::test]
async fn a_peer_is_known_by_what_the_kernel_says() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    assert!(is_trusted(&ours) && is_trusted(&theirs));
}
