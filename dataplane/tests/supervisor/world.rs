//! A supervisor's loop in a thread, its admin ports, and fake workers in processes of their own.

use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::process;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, bounded};
use fairway_dataplane::admin::{Admin, Wanted};
use fairway_dataplane::supervisor::event::{EVENTS_MAX, Event, Overview, Question};
use fairway_dataplane::supervisor::slot::Policy;
use fairway_dataplane::supervisor::termination::Times;
use fairway_dataplane::supervisor::{End, Holdings, Settings, run};
use fairway_dataplane::sys::process::WorkerCommand;
use fairway_dataplane::sys::signal::TermSignal;
use fairway_shared::id::WorkerSlot;
use fairway_shared::ipc::message::{NodeIdentity, WorkerSettings};
use tokio::sync::oneshot;

use crate::fake::ROLE_ENV;

/// Nothing here takes long; who waits longer has failed.
pub const DEADLINE: Duration = Duration::from_secs(20);
/// Between two looks at a condition.
const POLL: Duration = Duration::from_millis(2);

pub struct World {
    events: Sender<Event>,
    supervisor: JoinHandle<End>,
    pub admin: SocketAddr,
    pub status: SocketAddr,
}

impl World {
    /// `fake` is how the workers behave; `grace_ms` and `drain_ms` how the end goes.
    pub fn start(workers: usize, fake: &str, times: Times) -> Self {
        Self::start_with(workers, fake, times, |_| {})
    }

    /// With a last change to the settings.
    pub fn start_with(
        workers: usize,
        fake: &str,
        times: Times,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let any = (IpAddr::from([127, 0, 0, 1]), 0);
        let admin = Admin::bind(&Wanted { admin: any, status: any, metrics: any }).unwrap();
        let addresses = admin.addresses(process::id());
        let (events, receiver) = bounded(EVENTS_MAX);
        admin.start(events.clone(), "node".into()).unwrap();
        let mut settings = Settings {
            worker: worker_settings(),
            command: WorkerCommand {
                program: env::current_exe().unwrap(),
                name: "fake-worker".into(),
                args: ["--exact", "fake_worker_process", "--quiet"].map(Into::into).into(),
                env: vec![(ROLE_ENV.into(), fake.into())],
            },
            cpus: vec![None; workers],
            policy: Policy { stall_ms: 1_000, ..Policy::default() },
            quarantine_after: None,
            times,
            addresses: addresses.clone(),
        };
        change(&mut settings);
        let sender = events.clone();
        let supervisor =
            thread::spawn(move || run(settings, &receiver, sender, Holdings::default()));
        let [admin, status] = [addresses.admin, addresses.status].map(|text| text.parse().unwrap());
        Self { events, supervisor, admin, status }
    }

    pub fn signal(&self, signal: TermSignal) {
        self.events.send(Event::Signal(signal)).unwrap();
    }

    pub fn end(self) -> End {
        until("the supervisor ends", || self.supervisor.is_finished().then_some(()));
        self.supervisor.join().unwrap()
    }

    pub fn overview(&self) -> Overview {
        let (sender, answer) = oneshot::channel();
        self.events.send(Event::Question(Question::Overview(sender))).unwrap();
        answer.blocking_recv().unwrap()
    }

    /// Once all slots serve: the address of the listener.
    pub fn ready(&self) -> SocketAddr {
        until("ready", || self.overview().status.ready.then_some(()));
        self.overview().status.listeners[0].address.parse().unwrap()
    }

    pub fn pids(&self) -> Vec<Option<u32>> {
        self.overview().status.workers.iter().map(|worker| worker.pid).collect()
    }
}

/// Asks again and again; fails after [`DEADLINE`].
#[track_caller]
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(started.elapsed() < DEADLINE, "never: {what}");
        thread::park_timeout(POLL);
    }
}

/// Says a line to a worker and returns its answer; empty if it ends instead.
pub fn say(address: SocketAddr, line: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    writeln!(stream, "{line}").unwrap();
    let mut answer = String::new();
    // A worker that crashes resets the connection, which is what such a caller wants.
    let _ = BufReader::new(stream).read_line(&mut answer);
    answer
}

/// Status and body.
pub fn http(address: SocketAddr, method: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    write!(stream, "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

fn worker_settings() -> WorkerSettings {
    WorkerSettings {
        slot: WorkerSlot(0),
        workers: 0,
        bind: vec![[127, 0, 0, 1].into()],
        port_map: Default::default(),
        low_port_offset: 0,
        control_socket: None,
        control_grpc: None,
        node: NodeIdentity::default(),
        last_good: String::new(),
        server_header: None,
        drain_ms: 0,
        identity_dir: String::new(),
        ticket_secret: Default::default(),
        log_level: "info".into(),
        ..WorkerSettings::default()
    }
}
