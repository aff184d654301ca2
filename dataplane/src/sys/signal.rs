//! The signals that the gateway acts on, taken by one thread of their own instead of by handlers.

use std::io;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal};

/// A signal that the gateway acts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TermSignal {
    /// `SIGINT`, as from Ctrl-C.
    Interrupt,
    /// `SIGTERM`, as from an orchestrator.
    Terminate,
}

impl TermSignal {
    /// What a shell reports for a process that the signal ended: 128 + its number.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Interrupt => 130,
            Self::Terminate => 143,
        }
    }
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// The end.
    End(TermSignal),
    /// Log files opened anew: `SIGUSR1`, as from whoever rotates them.
    ReopenLogs,
}

/// The blocked signals. Whoever holds it waits for them.
pub struct TermSignals(SigSet);

impl TermSignals {
    /// Blocks the signals in the calling thread and in all threads that it starts later: call it
    /// before any other thread exists, or a signal ends the process as it does by default.
    ///
    /// # Errors
    /// The kernel's; none is known.
    pub fn block() -> io::Result<Self> {
        let mut set = SigSet::empty();
        set.add(Signal::SIGINT);
        set.add(Signal::SIGTERM);
        set.add(Signal::SIGUSR1);
        set.thread_block()?;
        Ok(Self(set))
    }

    /// Waits for the next one.
    ///
    /// # Errors
    /// The kernel's; none is known.
    pub fn wait(&self) -> io::Result<Request> {
        loop {
            match self.0.wait() {
                Ok(Signal::SIGINT) => return Ok(Request::End(TermSignal::Interrupt)),
                Ok(Signal::SIGUSR1) => return Ok(Request::ReopenLogs),
                Ok(_) => return Ok(Request::End(TermSignal::Terminate)),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::signal::raise;
    use std::thread;

    #[test]
    fn a_blocked_signal_is_waited_for_instead_of_ending_the_process() {
        let seen = thread::spawn(|| {
            let signals = TermSignals::block().unwrap();
            for signal in [Signal::SIGTERM, Signal::SIGUSR1, Signal::SIGINT] {
                raise(signal).unwrap();
            }
            [(); 3].map(|()| signals.wait().unwrap())
        });
        let seen = seen.join().unwrap();
        let ends = [TermSignal::Interrupt, TermSignal::Terminate].map(Request::End);
        for wanted in ends.into_iter().chain([Request::ReopenLogs]) {
            assert!(seen.contains(&wanted), "{wanted:?} in {seen:?}");
        }
    }
}
