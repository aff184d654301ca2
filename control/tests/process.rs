//! The program from the outside: its command line, its status line, its end.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use fairway_shared::instance::ControlStatus;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const DEADLINE: Duration = Duration::from_secs(30);
const PROGRAM: &str = env!("CARGO_BIN_EXE_fairway-control");
const FREE_PORTS: [&str; 6] = ["--grpc-port", "0", "--debug-port", "0", "--monitoring-port", "0"];

/// A running control, killed with the test.
struct Control {
    process: Child,
    status: ControlStatus,
}

impl Control {
    fn start(directory: &Path, socket: &Path) -> Self {
        let mut process = Command::new(PROGRAM)
            .args(FREE_PORTS)
            .args(["--status-fd", "1", "--config-dir"])
            .arg(directory)
            .arg("--unix-socket")
            .arg(socket)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let status = serde_json::from_str(&line).unwrap();
        Self { process, status }
    }

    /// Sends a signal; the exit code and what was said on stderr.
    fn stop(mut self, signal: Signal) -> (Option<i32>, String) {
        let pid = Pid::from_raw(i32::try_from(self.process.id()).unwrap());
        kill(pid, signal).unwrap();
        let code = self.process.wait().unwrap().code();
        let mut said = String::new();
        self.process.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (code, said)
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < DEADLINE, "not in time: {what}");
        std::thread::yield_now();
    }
}

fn refused(args: &[&str]) -> Output {
    // No cluster of whoever runs the tests is to be found.
    let mut program = Command::new(PROGRAM);
    program.args(args).env_remove("KUBECONFIG").env_remove("KUBERNETES_SERVICE_HOST");
    program.env("HOME", "/no/such/home").output().unwrap()
}

/// Exit code and the only line.
fn check_refusal(args: &[&str], code: i32, parts: &[&str]) {
    let output = refused(args);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
    assert_eq!(said.lines().count(), 1, "{args:?}: {said}");
    assert!(parts.iter().all(|part| said.contains(part)), "{args:?}: {said}");
}

#[test]
fn control_tells_where_it_is_publishes_and_leaves_nothing_behind() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("control.sock");
        fs::write(directory.path().join("broken.yaml"), "kind: [").unwrap();
        let control = Control::start(directory.path(), &socket);
        assert_eq!(control.status.pid, Some(control.process.id()));
        assert_eq!(control.status.unix, socket.display().to_string());
        assert!(socket.exists());
        let debug = control.status.debug.clone();
        wait_until("ready", || get(&debug, "/ready").starts_with("HTTP/1.1 200"));
        let metrics = get(&control.status.monitoring, "/metrics");
        assert!(metrics.contains("fairway_control_snapshot_version 1"), "{metrics}");
        let (code, said) = control.stop(signal);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("Error [FWY0001] (broken.yaml:"), "{said}");
        assert!(said.contains("snapshot 1 published: 0 listeners"), "{said}");
        assert!(!socket.exists(), "the socket was left behind");
    }
}

#[test]
fn a_mistake_on_the_command_line_is_told_in_one_line() {
    check_refusal(&FREE_PORTS, 2, &["no cluster is configured", "--config-dir"]);
    check_refusal(&["--config-dir", "/", "--no-such"], 2, &["--no-such", "--help"]);
    check_refusal(&["--config-dir", "/", "--debug-port", "x"], 2, &["--debug-port", "65535"]);
    let nowhere = ["--config-dir", "/no/such/directory"];
    let args = [&nowhere[..], &FREE_PORTS[..]].concat();
    check_refusal(&args, 2, &["--config-dir", "/no/such/directory"]);
}

#[test]
fn a_port_in_use_is_told_in_one_line() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let port = address.port().to_string();
    let args = ["--config-dir", "/", "--grpc-port", &port];
    check_refusal(&args, 1, &["--grpc-port", &address.to_string(), "another port"]);
}
