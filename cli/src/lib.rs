//! The one command for people.
//!
//! | module | owns |
//! | --- | --- |
//! | [`args`] | the command line |
//! | `up` | control, supervisor and workers as processes of one machine |
//! | `demo` | `up` on the built-in example, with its upstreams |
//! | `echo` | a small upstream that answers with what it received |
//! | `analyze` | what is wrong with manifests |
//! | `explain` | what becomes of a request, and why |
//! | `get`, `status`, `snapshot` | what a running control holds, and pins |
//! | `completions` | for shells |
//! | `ask`, `print`, `pod` | what those commands share: finding control, forms of output, the pod |
//! | `child` | how a process that `up` started is tied to it |
//!
//! The binary is whole by itself: control and data plane are libraries of it, and `up` starts the
//! same file again with a hidden sub-command for each.

#![forbid(unsafe_code)]

mod analyze;
pub mod args;
mod ask;
mod child;
mod completions;
mod demo;
mod echo;
mod explain;
mod get;
mod pod;
mod print;
mod say;
mod snapshot;
mod status;
mod up;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use args::{Command, Fairway};

/// Exit code of a command line that cannot be carried out as written.
pub const USAGE: u8 = 2;

/// Runs the command that `args` (without the program's name) asks for.
///
/// Exit code 0: done. 1: it failed while running. 2: the command line is wrong; one line on
/// stderr names what, and what is allowed.
pub fn main_with(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    match args.first().and_then(|word| word.to_str()) {
        Some(child::WORD) => child::run(&args[1..], main_with),
        Some("control") => fairway_control::main_with(args.into_iter()),
        Some("dataplane") => fairway_dataplane::main_with(&["dataplane"], args.into_iter().skip(1)),
        _ => run(args),
    }
}

fn run(args: Vec<OsString>) -> ExitCode {
    let program = std::iter::once(OsString::from("fairway"));
    match Fairway::try_parse_from(program.chain(args)) {
        Ok(fairway) => match fairway.command {
            Command::Up(args) => up::run(&args),
            Command::Demo(options) => demo::run(&options),
            Command::Echo(args) => echo::run(&args),
            Command::Analyze(args) => analyze::run(&args),
            Command::Get(args) => get::run(&args),
            Command::Status(args) => status::run(&args),
            Command::Snapshot(args) => snapshot::run(&args),
            Command::Completions(args) => completions::run(&args),
            Command::Explain(args) => explain::run(&args),
        },
        Err(error) => refuse(&error),
    }
}

/// Help goes to stdout whole; a mistake to stderr on one line.
fn refuse(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            say::line(&error.to_string().trim_end());
            ExitCode::SUCCESS
        }
        ErrorKind::MissingSubcommand => {
            say::problem(&"name a command, such as `fairway up DIR`; --help lists them");
            ExitCode::from(USAGE)
        }
        _ => {
            say::problem(&fairway_control::args::one_line(error));
            ExitCode::from(USAGE)
        }
    }
}
