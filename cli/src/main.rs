//! The `fairway` binary; all of it is in the library, so that tests can build one of their own.

use std::process::ExitCode;

fn main() -> ExitCode {
    fairway::main_with(std::env::args_os().skip(1))
}
