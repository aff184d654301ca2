//! A worker's unexpected end, as it is told: what ended it, what it served, what it had in hand.
//! Pure.

use std::fmt;

use serde_json::{Value, json};

use crate::black_box::reader::{Findings, Remembered};
use crate::sys::process::Exit;

/// Why a worker ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// It said so before it aborted.
    Panic,
    /// It gave no sign of life, or did not read, and was killed.
    Stall,
    /// Any other signal, such as for a bad access or for want of memory.
    Signal,
    /// By itself, without being asked to.
    Exit,
}

impl Cause {
    /// As metrics and pages name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Panic => "panic",
            Self::Stall => "stall",
            Self::Signal => "signal",
            Self::Exit => "exit",
        }
    }
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crash {
    /// How the process ended.
    pub exit: Exit,
    /// Why.
    pub cause: Cause,
    /// From the start of its last snapshot to the end, in milliseconds.
    pub since_tried_ms: Option<u64>,
    /// What it left.
    pub findings: Findings,
}

impl Crash {
    /// `was_killed`: by the supervisor. `now_ms`: in the clock of the findings.
    pub fn new(exit: Exit, was_killed: bool, findings: Findings, now_ms: u64) -> Self {
        let cause = match exit {
            _ if was_killed => Cause::Stall,
            _ if findings.panic.is_some() => Cause::Panic,
            Exit::Code(_) => Cause::Exit,
            Exit::Signal(_) | Exit::Unknown => Cause::Signal,
        };
        let since_tried_ms = findings.tried.map(|tried| now_ms.saturating_sub(tried.at_ms));
        Self { exit, cause, since_tried_ms, findings }
    }

    /// The request that was being handled.
    pub fn suspect(&self) -> Option<&Remembered> {
        self.findings.current.as_ref()
    }

    /// For the page of workers.
    pub fn to_json(&self) -> Value {
        let head = |remembered: &Remembered| {
            json!({ "request": remembered.head, "inFlight": remembered.is_open,
                "fingerprint": format!("{:016x}", remembered.fingerprint) })
        };
        json!({
            "exit": self.exit.to_string(),
            "cause": self.cause.name(),
            "panic": self.findings.panic,
            "snapshot": self.findings.tried.map(|tried| tried.version),
            "millisSinceApply": self.since_tried_ms,
            "requestsInFlight": self.findings.in_flight,
            "handling": self.findings.current.as_ref().map(head),
            "lastRequests": self.findings.recent.iter().map(head).collect::<Vec<_>>(),
        })
    }
}

impl fmt::Display for Crash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.exit)?;
        match (self.cause, &self.findings.panic) {
            (Cause::Stall, _) => write!(f, " (it gave no sign of life)")?,
            (_, Some(panic)) => write!(f, ", {}", one_line(panic))?,
            _ => {}
        }
        if let (Some(tried), Some(since_ms)) = (self.findings.tried, self.since_tried_ms) {
            let seconds = since_ms as f64 / 1_000.0;
            write!(f, "; snapshot {} for {seconds:.1} s", tried.version)?;
        }
        write!(f, "; {} requests in flight", self.findings.in_flight)?;
        match self.suspect() {
            Some(suspect) => write!(f, "; handling {}", suspect.head),
            None => Ok(()),
        }
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::black_box::reader::Tried;

    fn findings() -> Findings {
        let current = Remembered { head: "GET a /p".to_owned(), fingerprint: 0xab, is_open: true };
        Findings {
            tried: Some(Tried { hash: [1; 32], version: 12, at_ms: 1_000, is_applied: true }),
            panic: None,
            in_flight: 3,
            current: Some(current.clone()),
            recent: vec![current],
        }
    }

    #[test]
    fn the_line_names_cause_snapshot_and_requests() {
        let panic = Some("panicked at src/x.rs:1:2:\nindex out of bounds".to_owned());
        for (exit, was_killed, findings, line) in [
            (
                Exit::Signal("SIGSEGV"),
                false,
                findings(),
                "SIGSEGV; snapshot 12 for 3.5 s; 3 requests in flight; handling GET a /p",
            ),
            (
                Exit::Signal("SIGABRT"),
                false,
                Findings { panic, current: None, ..findings() },
                "SIGABRT, panicked at src/x.rs:1:2: index out of bounds; snapshot 12 for 3.5 s; 3 \
                 requests in flight",
            ),
            (
                Exit::Signal("SIGKILL"),
                true,
                Findings { tried: None, ..findings() },
                "SIGKILL (it gave no sign of life); 3 requests in flight; handling GET a /p",
            ),
            (Exit::Code(1), false, Findings::default(), "exit code 1; 0 requests in flight"),
        ] {
            assert_eq!(Crash::new(exit, was_killed, findings, 4_500).to_string(), line);
        }
    }

    #[test]
    fn the_page_has_the_same_and_the_last_requests() {
        let page = Crash::new(Exit::Signal("SIGSEGV"), false, findings(), 4_500).to_json();
        assert_eq!((&page["cause"], &page["snapshot"]), (&json!("signal"), &json!(12)));
        assert_eq!(page["lastRequests"][0]["fingerprint"], "00000000000000ab");
        assert_eq!(page["handling"]["request"], "GET a /p");
    }
}
