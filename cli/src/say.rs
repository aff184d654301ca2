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

/// An error with all of its causes, on one line.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        // A transparent error repeats its cause.
        if !line.ends_with(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        cause = error.source();
    }
    line
}
