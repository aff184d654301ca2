//! Lines for people. A reader that has gone away is no reason to stop serving, so a failed write
//! is dropped here, where `println!` would panic.

use std::fmt::Display;
use std::io::Write;

/// One line on stdout.
pub(crate) fn line(text: &dyn Display) {
    drop(writeln!(std::io::stdout(), "{text}"));
}

/// One line on stderr, with the program's name.
pub(crate) fn problem(text: &dyn Display) {
    drop(writeln!(std::io::stderr(), "fairway: {text}"));
}
