//! The gateway itself: a supervisor that holds the listening sockets, and workers that serve.
//!
//! | module | owns |
//! | --- | --- |
//! | [`args`] | the command line, a drop-in for the reference's |
//! | [`supervisor`] | the loop that holds sockets and keeps workers running |
//! | [`admin`] | the supervisor's HTTP: health, figures, state |
//! | `worker` | a worker process: subscribe, apply, serve |
//! | `listener`, `http`, `route`, `cluster`, `subset` | a request's way, in that order |
//! | `names` | endpoints known by name, resolved |
//! | `tcp` | the same for opaque bytes |
//! | [`black_box`] | what outlives a worker |
//! | `proxy_protocol` | who is at the other end, as a load balancer in front says |
//! | `telemetry` | what a worker counts |
//! | `region` | what the workers of a pod know together, in shared memory |
//! | [`sys`] | all `unsafe`: descriptors over sockets, listening sockets, CPUs, processes |

pub mod admin;
pub mod args;
pub mod black_box;
mod clock;
mod cluster;
#[cfg(test)]
mod fuzz;
mod http;
mod listener;
mod names;
mod proxy_protocol;
mod region;
mod route;
mod subset;
pub mod supervisor;
pub mod sys;
mod tcp;
mod telemetry;
mod tls;
mod worker;

use std::env;
use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::panic;
use std::process::{self, ExitCode};

use args::{Command, Flags};
use supervisor::End;
use sys::process::WorkerCommand;
use tracing_subscriber::EnvFilter;

/// Here rather than in a `main`: `fairway` runs workers too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The role that only a supervisor starts; not for people.
const WORKER_ROLE: &str = "worker";
/// This very executable, even if the file was replaced since: supervisor and workers are always
/// one build.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// Runs the gateway: the supervisor, or a worker if the first of `args` says so. `args` are those
/// after the program's name and `prefix`, and `prefix` is what makes this program the data plane:
/// nothing for `fairway-dataplane`, `dataplane` for `fairway`.
///
/// Exit codes: 0 drained, 1 cannot start, 2 bad command line, 128 + n ended by a second signal n.
pub fn main_with(prefix: &[&str], args: impl Iterator<Item = OsString>) -> ExitCode {
    abort_on_panic();
    let mut args = args.peekable();
    if args.next_if(|word| word == WORKER_ROLE).is_some() {
        return worker::boot::run(|settings| log_to_stderr(&settings.log_level));
    }
    match args::parse(args, &|name| env::var(name).ok()) {
        Ok(Command::Run(flags, warnings)) => supervise(&flags, &warnings, prefix),
        Ok(Command::Help) => say(io::stdout(), args::USAGE, ExitCode::SUCCESS),
        Ok(Command::Version) => {
            let line = format!("fairway-dataplane {}\n", env!("CARGO_PKG_VERSION"));
            say(io::stdout(), &line, ExitCode::SUCCESS)
        }
        Err(error) => say(io::stderr(), &format!("error: {error}\n"), ExitCode::from(2)),
    }
}

fn supervise(flags: &Flags, warnings: &[String], prefix: &[&str]) -> ExitCode {
    log_to_stderr(flags.log_level);
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let words = prefix.iter().copied().chain([WORKER_ROLE]);
    let command = WorkerCommand {
        program: THIS_PROGRAM.into(),
        name: env::args_os().next().unwrap_or_else(|| THIS_PROGRAM.into()),
        args: words.map(OsString::from).collect(),
        env: Vec::new(),
    };
    match supervisor::boot::start(flags, command) {
        Ok(End::Drained) => ExitCode::SUCCESS,
        Ok(End::Aborted(signal)) => ExitCode::from(signal.exit_code()),
        Err(error) => say(io::stderr(), &format!("error: {error}\n"), ExitCode::FAILURE),
    }
}

/// Logs to stderr from this level up (`error`, `warn`, `info`, `debug`).
fn log_to_stderr(level: &str) {
    let log = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(level))
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    // A second call finds the first one's logger in place, which will do.
    let _ = log.try_init();
}

/// A panic in any thread ends the process, so that no half of it lives on: a worker is replaced
/// by its supervisor, the supervisor by whoever runs the pod.
fn abort_on_panic() {
    panic::set_hook(Box::new(|panic| {
        // Stderr may be gone; the process ends either way.
        let _ = writeln!(io::stderr(), "{panic}");
        if let Some(black_box) = black_box::writer::get() {
            black_box.panicked(&panic.to_string());
        }
        process::abort();
    }));
}

/// Says it as well as the stream allows.
fn say(mut stream: impl Write, text: &str, code: ExitCode) -> ExitCode {
    // Nobody is left to tell if it cannot be written.
    let _ = stream.write_all(text.as_bytes());
    code
}
