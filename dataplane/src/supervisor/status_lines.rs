//! Status lines for whoever started the supervisor: one JSON object a line, newest wins. A
//! thread of its own writes them, so that a reader who stops reading cannot stop the loop.

use std::fs::File;
use std::io::{self, Write};
use std::thread;

use crossbeam_channel::{Sender, TrySendError, bounded};
use fairway_shared::instance::SupervisorStatus;

/// Lines queued beyond the one that is being written.
const LINES_MAX: usize = 4;

/// The sending half.
#[derive(Debug)]
pub struct StatusLines {
    queue: Sender<String>,
    last: Option<SupervisorStatus>,
}

impl StatusLines {
    /// Starts the thread on the write end of a pipe, or on a file.
    ///
    /// # Errors
    /// The kernel's, when no thread can be had.
    pub fn start(mut file: File) -> io::Result<Self> {
        let (queue, lines) = bounded::<String>(LINES_MAX);
        thread::Builder::new().name("status-lines".to_owned()).spawn(move || {
            for line in lines {
                if let Err(error) = file.write_all(line.as_bytes()) {
                    tracing::warn!("status lines end: {error}");
                    return;
                }
            }
        })?;
        Ok(Self { queue, last: None })
    }

    /// Queues a line unless it says what the last one said. False: the queue is full; offer the
    /// then newest later.
    pub fn offer(&mut self, status: SupervisorStatus) -> bool {
        if self.last.as_ref() == Some(&status) {
            return true;
        }
        let Ok(mut line) = serde_json::to_string(&status) else { return true };
        line.push('\n');
        match self.queue.try_send(line) {
            Err(TrySendError::Full(_)) => false,
            Ok(()) | Err(TrySendError::Disconnected(_)) => {
                self.last = Some(status);
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::os::fd::OwnedFd;

    #[test]
    fn each_change_is_a_line_and_a_reader_who_pauses_gets_the_newest() {
        let (reader, writer) = io::pipe().unwrap();
        let mut lines = StatusLines::start(OwnedFd::from(writer).into()).unwrap();
        let mut status = SupervisorStatus::default();
        assert!(lines.offer(status.clone()));
        assert!(lines.offer(status.clone()), "no change, no line");
        status.snapshot.reason = Some("x".repeat(100_000));
        let mut version = 0;
        while lines.offer(status.clone()) {
            version += 1;
            status.snapshot.version = version;
        }
        let mut reader = BufReader::new(reader).lines();
        let mut next = || -> SupervisorStatus {
            serde_json::from_str(&reader.next().unwrap().unwrap()).unwrap()
        };
        assert_eq!(next(), SupervisorStatus::default());
        assert_eq!(next().snapshot.version, 0);
        while !lines.offer(status.clone()) {
            next();
        }
        while next().snapshot.version < version {}
    }
}
