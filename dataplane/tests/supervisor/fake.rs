//! A worker of few words, run in a process of its own: asks for one listener, reports, and does
//! what the first line of a connection says.

use std::env;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process;
use std::thread;
use std::time::{Duration, Instant};

use fairway_dataplane::black_box::head::Head;
use fairway_dataplane::black_box::writer;
use fairway_dataplane::sys::fd_pass::{recv_with_fds, worker_socket_from_env};
use fairway_shared::id::{SnapshotVersion, WorkerSlot};
use fairway_shared::ipc::codec;
use fairway_shared::ipc::message::{
    BoundListener, Figures, FromWorker, SampleValue, Series, SnapshotSource, ToWorker,
};
use http::Request;

/// Set for the process that is to be a worker, to whether it obeys `Drain`.
pub const ROLE_ENV: &str = "FAIRWAY_FAKE_WORKER";
pub const OBEYS: &str = "obeys";
pub const IGNORES_DRAIN: &str = "ignores-drain";

const TURN: Duration = Duration::from_millis(5);
const REPORT_INTERVAL: Duration = Duration::from_millis(50);

struct Fake {
    link: UnixStream,
    listener: Option<TcpListener>,
    lent: Vec<(WorkerSlot, TcpListener)>,
    requests: u64,
    is_obedient: bool,
}

/// Serves until drained or orphaned.
pub fn run() {
    let link = worker_socket_from_env().unwrap();
    link.set_read_timeout(Some(TURN)).unwrap();
    let is_obedient = env::var(ROLE_ENV).unwrap() == OBEYS;
    let mut fake = Fake { link, listener: None, lent: Vec::new(), requests: 0, is_obedient };
    let (mut pending, mut fds, mut chunk) = (Vec::new(), Vec::new(), [0; 4096]);
    let mut reported = Instant::now();
    loop {
        match recv_with_fds(&fake.link, &mut chunk) {
            Ok((0, _)) => return,
            Ok((count, more)) => {
                pending.extend_from_slice(&chunk[..count]);
                fds.extend(more);
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        while let Some((message, used)) = codec::decode(&pending).unwrap() {
            pending.drain(..used);
            if fake.obey(message, &mut || TcpListener::from(fds.remove(0))) {
                return;
            }
        }
        if reported.elapsed() > REPORT_INTERVAL {
            fake.report(0);
            reported = Instant::now();
        }
        while let Some(stream) = fake.accept() {
            fake.serve(&stream);
        }
    }
}

impl Fake {
    /// True: it is time to end.
    fn obey(&mut self, message: ToWorker, socket: &mut dyn FnMut() -> TcpListener) -> bool {
        match message {
            ToWorker::RegionShared => {}
            ToWorker::Configure(settings) => {
                let memory = OwnedFd::from(socket());
                writer::open(&File::from(memory)).unwrap();
                let wanted = SocketAddr::new(settings.bind[0], 0);
                self.say(&FromWorker::ListenerWanted { wanted });
            }
            ToWorker::ListenerGranted { bound, .. } => {
                self.listener = Some(socket());
                self.say(&applied(bound));
            }
            ToWorker::ListenerRefused { reason, .. } => panic!("refused: {reason}"),
            ToWorker::ReopenLogs | ToWorker::ClustersWanted { .. } => {}
            ToWorker::ReportWanted { nonce } => self.report(nonce),
            ToWorker::Announce => {}
            ToWorker::Drain { .. } => return self.is_obedient,
            ToWorker::ListenerLent { owner, .. } => self.lent.push((owner, socket())),
            ToWorker::ListenersReturned { owner } => self.lent.retain(|(of, _)| *of != owner),
        }
        false
    }

    fn accept(&self) -> Option<TcpStream> {
        let mut sockets = self.listener.iter().chain(self.lent.iter().map(|(_, socket)| socket));
        sockets.find_map(|socket| Some(socket.accept().ok()?.0))
    }

    fn serve(&mut self, stream: &TcpStream) {
        self.requests += 1;
        stream.set_nonblocking(false).unwrap();
        let mut order = String::new();
        BufReader::new(stream).read_line(&mut order).unwrap();
        match order.trim() {
            "crash" => {
                let request = Request::get("/crash").header("host", "fake").body(()).unwrap();
                let head = Head::line(&request);
                let black_box = writer::get().unwrap();
                if black_box.is_quarantined(&head) {
                    return writeln!(&*stream, "quarantined").unwrap();
                }
                black_box.begin(&head).handle(|| process::abort())
            }
            "stall" => loop {
                thread::park();
            },
            _ => writeln!(&*stream, "{}", process::id()).unwrap(),
        }
    }

    fn report(&mut self, nonce: u64) {
        let requests = Series {
            number: 0,
            name: "istio_requests_total".into(),
            labels: vec![("response_code".into(), "200".into())],
        };
        let figures = Figures {
            defined: vec![requests],
            samples: vec![(0, SampleValue::Counter(self.requests))],
            retired: vec![],
        };
        self.say(&FromWorker::Report { nonce, is_last: true, figures });
    }

    fn say(&mut self, message: &FromWorker) {
        let mut bytes = Vec::new();
        codec::encode(message, &mut bytes).unwrap();
        // The supervisor may have ended; the next read says so.
        let _ = self.link.write_all(&bytes);
    }
}

fn applied(bound: SocketAddr) -> FromWorker {
    let listener = BoundListener {
        port: 80,
        gateway_ports: vec![80],
        addresses: vec![bound],
        protocol: "HTTP".into(),
        gateways: vec!["shop/shop".into()],
        problem: None,
    };
    FromWorker::Applied {
        version: SnapshotVersion(1),
        source: SnapshotSource::Control,
        listeners: vec![listener],
    }
}
