//! How a process that `up` started is tied to it: the kernel sends SIGTERM when `up` ends, however
//! it ends. The bond is made here, by the child itself, because asking for it between fork and
//! exec would need unsafe code.
//!
//! `fairway child PID control …` is `fairway control …` for as long as its parent is PID.

use std::ffi::OsString;
use std::process::ExitCode;

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::getppid;

use crate::{USAGE, say};

/// The hidden sub-command.
pub(crate) const WORD: &str = "child";

/// Arguments that make a child of the calling process run `command`.
pub(crate) fn arguments(command: &[String]) -> Vec<String> {
    let mut all = vec![WORD.to_owned(), std::process::id().to_string()];
    all.extend_from_slice(command);
    all
}

/// Ties this process to its parent and goes on with the rest of `args`.
pub(crate) fn run(args: &[OsString], command: fn(Vec<OsString>) -> ExitCode) -> ExitCode {
    let [parent, rest @ ..] = args else { return refuse() };
    let Some(parent) = parent.to_str().and_then(|pid| pid.parse::<i32>().ok()) else {
        return refuse();
    };
    if let Err(errno) = set_pdeathsig(Signal::SIGTERM) {
        say::problem(&format_args!("cannot tie this process to its parent: {errno}"));
        return ExitCode::FAILURE;
    }
    // A parent that ended before the bond was made would never be noticed.
    if getppid().as_raw() != parent {
        say::problem(&"the process that started this one is gone");
        return ExitCode::FAILURE;
    }
    command(rest.to_vec())
}

fn refuse() -> ExitCode {
    say::problem(&"`child` is for processes that `fairway up` starts");
    ExitCode::from(USAGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_that_is_not_told_its_parent_does_not_run() {
        fn never(_: Vec<OsString>) -> ExitCode {
            panic!("ran without its parent")
        }
        for args in [vec![], vec!["control"], vec!["", "control"]] {
            let args: Vec<OsString> = args.into_iter().map(OsString::from).collect();
            assert_eq!(format!("{:?}", run(&args, never)), format!("{:?}", ExitCode::from(USAGE)));
        }
    }

    #[test]
    fn a_childs_arguments_name_this_process() {
        let arguments = arguments(&["control".to_owned(), "--quiet".to_owned()]);
        assert_eq!(arguments[..2], ["child".to_owned(), std::process::id().to_string()]);
        assert_eq!(arguments[2..], ["control", "--quiet"]);
    }
}
