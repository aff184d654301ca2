//! `fairway-dataplane`: the gateway pod's process, supervisor or worker.

use std::env;
use std::process::ExitCode;

fn main() -> ExitCode {
    fairway_dataplane::main_with(&[], env::args_os().skip(1))
}
