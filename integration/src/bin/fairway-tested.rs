//! The `fairway` command, built here so that Cargo tells the tests where it is.

use std::process::ExitCode;

fn main() -> ExitCode {
    fairway::main_with(std::env::args_os().skip(1))
}
