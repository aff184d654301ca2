//! `fairway-control`: everything is in the library, so that `fairway` can be control too.

use std::process::ExitCode;

fn main() -> ExitCode {
    fairway_control::main_with(std::env::args_os())
}
