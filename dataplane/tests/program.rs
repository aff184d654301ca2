//! `fairway-dataplane` as a process: its command line, its status line, its end.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use fairway_shared::instance::{SupervisorStatus, WorkerState};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const PROGRAM: &str = env!("CARGO_BIN_EXE_fairway-dataplane");
const DEADLINE: Duration = Duration::from_secs(20);
/// Between two looks at a condition.
const POLL: Duration = Duration::from_millis(2);

/// A supervisor on free ports, whose status lines are its stdout. No control is to be found.
fn start(directory: &Path) -> Child {
    let mut command = Command::new(PROGRAM);
    command.args(["proxy", "router", "--workers", "2", "--status-fd", "1", "--quiet"]);
    command.args(["--adminPort", "0", "--statusPort=0", "--metrics-port", "0"]);
    command.args(["--status-address", "127.0.0.1", "--bind", "127.0.0.1"]);
    command.args(["--shutdown-grace", "0s", "--discoveryAddress", "127.0.0.1:1"]);
    command.arg("--instance-dir").arg(directory);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap()
}

fn status_lines(child: &mut Child) -> impl Iterator<Item = SupervisorStatus> + use<> {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap())
}

fn exit_code(mut child: Child) -> Option<i32> {
    let started = Instant::now();
    while started.elapsed() < DEADLINE {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        thread::park_timeout(POLL);
    }
    child.kill().unwrap();
    panic!("it does not end");
}

fn terminate(child: &Child) {
    kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).unwrap();
}

#[test]
fn without_control_it_is_alive_but_not_ready_and_ends_with_0() {
    let directory = tempfile::tempdir().unwrap();
    let mut child = start(&directory.path().join("instance"));
    let mut lines = status_lines(&mut child);
    let first = lines.next().unwrap();
    assert_eq!(first.supervisor.pid, Some(child.id()));
    assert_eq!(first.workers.len(), 2);
    let get = |path: &str| {
        let mut stream = TcpStream::connect(&first.supervisor.status).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    };
    assert!(get("/healthz/live").starts_with("HTTP/1.1 200"));
    let unready = get("/healthz/ready");
    assert!(unready.starts_with("HTTP/1.1 503"), "{unready}");
    assert!(unready.ends_with("has not applied a snapshot yet\n"), "{unready}");
    terminate(&child);
    assert_eq!(exit_code(child), Some(0));
    assert!(!lines.last().unwrap().ready);
}

#[test]
fn its_workers_do_not_outlive_it() {
    let directory = tempfile::tempdir().unwrap();
    let mut child = start(directory.path());
    let mut lines = status_lines(&mut child);
    let all_run = |status: &SupervisorStatus| {
        status.workers.iter().all(|worker| worker.state == WorkerState::Starting)
    };
    let running = lines.find(all_run).unwrap();
    let pids: Vec<_> = running.workers.iter().filter_map(|worker| worker.pid).collect();
    assert_eq!(pids.len(), 2);
    child.kill().unwrap();
    child.wait().unwrap();
    let is_alive = |pid: &u32| kill(Pid::from_raw(*pid as i32), None).is_ok();
    let started = Instant::now();
    while pids.iter().any(is_alive) {
        assert!(started.elapsed() < DEADLINE, "workers {pids:?} live on");
        thread::park_timeout(POLL);
    }
}

#[test]
fn a_bad_command_line_and_a_port_that_is_taken_are_told_on_one_line() {
    let run = |args: &[&str]| {
        let output = Command::new(PROGRAM).args(args).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let bad = run(&["--statusPort", "x"]);
    let told = "error: --statusPort `x` is not a port from 0 to 65535\n";
    assert_eq!(bad, (Some(2), told.to_owned()));

    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = held.local_addr().unwrap().port().to_string();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let (code, told) = run(&["--admin-port", &port, "--instance-dir", path]);
    assert_eq!(code, Some(1));
    assert!(told.starts_with("error: --admin-port: cannot listen on 127.0.0.1:"), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
}
