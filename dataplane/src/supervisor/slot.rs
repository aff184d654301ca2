//! The supervisor's judgement of one worker slot: when to start, restart, kill, drain. Pure: no
//! syscall, no clock, no log line. Timers are not ordered but derived, see [`Slot::next_wake_ms`],
//! so that none can be forgotten. No effect closes a listener: a worker's death must not be able
//! to.

use crate::sys::process::Pid;

/// Milliseconds since the supervisor started.
pub type Millis = u64;

/// A process, as its slot remembers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: Pid,
    /// When it was started.
    pub since_ms: Millis,
    /// Ends in a row, before this process, that came before its predecessor was stable.
    pub crashes: u32,
}

/// One worker slot: a CPU and its share of the held listeners. Processes come and go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// No process; one starts at `until_ms`.
    Waiting {
        /// Never before.
        until_ms: Millis,
        /// As in [`Process`].
        crashes: u32,
    },
    /// A process runs and serves no snapshot yet. It may wait for control as long as it likes,
    /// if only it gives signs of life.
    Starting {
        /// The process.
        process: Process,
        /// Last sign of life.
        heard_ms: Millis,
    },
    /// It serves.
    Serving {
        /// The process.
        process: Process,
        /// Last sign of life.
        heard_ms: Millis,
    },
    /// It is lost, and another one starts once it has ended.
    Ending {
        /// The process.
        process: Process,
        /// When it is killed; `None` = it was.
        kill_at_ms: Option<Millis>,
    },
    /// It finishes what runs, and none follows.
    Draining {
        /// The process.
        pid: Pid,
        /// When it is killed; `None` = it was.
        kill_at_ms: Option<Millis>,
    },
    /// No process, ever again.
    Retired,
}

/// What happened. News of a process that the slot no longer runs changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Time has passed.
    Tick,
    /// The answer to [`Effect::Spawn`].
    Spawned(Pid),
    /// The answer to [`Effect::Spawn`].
    SpawnFailed,
    /// A sign of life.
    Heard(Pid),
    /// The process serves a snapshot.
    Applied(Pid),
    /// The process closed its link or wrote nonsense to it: most likely it is about to end.
    LinkLost(Pid),
    /// The process does not read what it is sent.
    Unresponsive(Pid),
    /// The process has ended.
    Exited(Pid),
    /// The supervisor itself stood still, so no process is to blame for its silence.
    Resumed,
    /// Finish what runs until then, and retire.
    Drain {
        /// When the process is killed.
        until_ms: Millis,
    },
    /// Retire now.
    Stop,
}

/// Orders to the driver, carried out in sequence. It answers `Spawn` with `Spawned` or
/// `SpawnFailed` before it brings another event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Start a process.
    Spawn,
    /// Send it its settings.
    Configure(Pid),
    /// Ask it to finish what runs until then.
    Drain {
        /// Which.
        pid: Pid,
        /// When it is killed.
        until_ms: Millis,
    },
    /// Kill it.
    Kill(Pid),
}

/// The times that judgement depends on, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Longest silence of a starting process.
    pub start_ms: u64,
    /// Longest silence of a serving process (`--worker-stall`).
    pub stall_ms: u64,
    /// From a lost link to the kill: time for an ending process to say how it ends.
    pub link_grace_ms: u64,
    /// A process that lasted this long was stable: its end is the first in a row.
    pub stable_ms: u64,
    /// Wait before the second restart in a row; the first comes at once.
    pub backoff_ms: u64,
    /// The wait doubles up to this.
    pub backoff_max_ms: u64,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            start_ms: 10_000,
            stall_ms: 2_000,
            link_grace_ms: 1_000,
            stable_ms: 60_000,
            backoff_ms: 100,
            backoff_max_ms: 10_000,
        }
    }
}

impl Slot {
    /// A slot whose first process starts at once.
    pub const NEW: Self = Self::Waiting { until_ms: 0, crashes: 0 };

    /// The process that fills the slot, whatever its condition.
    pub fn pid(&self) -> Option<Pid> {
        match self {
            Self::Waiting { .. } | Self::Retired => None,
            Self::Draining { pid, .. } => Some(*pid),
            Self::Starting { process, .. }
            | Self::Serving { process, .. }
            | Self::Ending { process, .. } => Some(process.pid),
        }
    }

    /// When the slot needs a [`Event::Tick`] at the latest, if nothing else happens.
    pub fn next_wake_ms(&self, policy: &Policy) -> Option<Millis> {
        match self {
            Self::Waiting { until_ms, .. } => Some(*until_ms),
            Self::Starting { heard_ms, .. } => Some(heard_ms + policy.start_ms),
            Self::Serving { heard_ms, .. } => Some(heard_ms + policy.stall_ms),
            Self::Ending { kill_at_ms, .. } | Self::Draining { kill_at_ms, .. } => *kill_at_ms,
            Self::Retired => None,
        }
    }
}

/// What the slot becomes, and what is to be done. `now_ms` is read once per turn of the driver.
pub fn step(slot: Slot, event: Event, now_ms: Millis, policy: &Policy) -> (Slot, Vec<Effect>) {
    match event {
        Event::Tick => match slot.next_wake_ms(policy) {
            Some(wake_ms) if now_ms >= wake_ms => overdue(slot),
            _ => (slot, vec![]),
        },
        Event::Spawned(pid) => started(slot, pid, now_ms),
        Event::SpawnFailed => match slot {
            Slot::Waiting { crashes, .. } => (restart(crashes + 1, now_ms, policy), vec![]),
            _ => (slot, vec![]),
        },
        Event::Resumed => (heard(slot, now_ms), vec![]),
        Event::Drain { until_ms } => drain(slot, until_ms),
        Event::Stop => stop(slot),
        Event::Heard(pid)
        | Event::Applied(pid)
        | Event::LinkLost(pid)
        | Event::Unresponsive(pid)
        | Event::Exited(pid)
            if slot.pid() != Some(pid) =>
        {
            (slot, vec![])
        }
        Event::Heard(_) => (heard(slot, now_ms), vec![]),
        Event::Applied(_) => (serving(slot, now_ms), vec![]),
        Event::LinkLost(_) => (link_lost(slot, now_ms + policy.link_grace_ms), vec![]),
        Event::Unresponsive(pid) => (killed(slot), vec![Effect::Kill(pid)]),
        Event::Exited(_) => (exited(slot, now_ms, policy), vec![]),
    }
}

fn overdue(slot: Slot) -> (Slot, Vec<Effect>) {
    match slot.pid() {
        Some(pid) => (killed(slot), vec![Effect::Kill(pid)]),
        None => (slot, vec![Effect::Spawn]),
    }
}

fn started(slot: Slot, pid: Pid, now_ms: Millis) -> (Slot, Vec<Effect>) {
    match slot {
        Slot::Waiting { crashes, .. } => {
            let process = Process { pid, since_ms: now_ms, crashes };
            (Slot::Starting { process, heard_ms: now_ms }, vec![Effect::Configure(pid)])
        }
        // A process that nobody asked for must not live beside the slot's own.
        _ => (slot, vec![Effect::Kill(pid)]),
    }
}

fn heard(slot: Slot, now_ms: Millis) -> Slot {
    match slot {
        Slot::Starting { process, .. } => Slot::Starting { process, heard_ms: now_ms },
        Slot::Serving { process, .. } => Slot::Serving { process, heard_ms: now_ms },
        other => other,
    }
}

fn serving(slot: Slot, now_ms: Millis) -> Slot {
    match slot {
        Slot::Starting { process, .. } | Slot::Serving { process, .. } => {
            Slot::Serving { process, heard_ms: now_ms }
        }
        other => other,
    }
}

/// A draining process closes its link when it has finished: its deadline stands.
fn link_lost(slot: Slot, kill_at_ms: Millis) -> Slot {
    match slot {
        Slot::Starting { process, .. } | Slot::Serving { process, .. } => {
            Slot::Ending { process, kill_at_ms: Some(kill_at_ms) }
        }
        other => other,
    }
}

fn killed(slot: Slot) -> Slot {
    match slot {
        Slot::Starting { process, .. }
        | Slot::Serving { process, .. }
        | Slot::Ending { process, .. } => Slot::Ending { process, kill_at_ms: None },
        Slot::Draining { pid, .. } => Slot::Draining { pid, kill_at_ms: None },
        Slot::Waiting { .. } | Slot::Retired => slot,
    }
}

fn exited(slot: Slot, now_ms: Millis, policy: &Policy) -> Slot {
    match slot {
        Slot::Starting { process, .. }
        | Slot::Serving { process, .. }
        | Slot::Ending { process, .. } => {
            let was_stable = now_ms - process.since_ms >= policy.stable_ms;
            restart(if was_stable { 1 } else { process.crashes + 1 }, now_ms, policy)
        }
        Slot::Draining { .. } => Slot::Retired,
        Slot::Waiting { .. } | Slot::Retired => slot,
    }
}

fn restart(crashes: u32, now_ms: Millis, policy: &Policy) -> Slot {
    let wait_ms = match crashes.checked_sub(2) {
        None => 0,
        Some(doublings) => 2_u64
            .saturating_pow(doublings)
            .saturating_mul(policy.backoff_ms)
            .min(policy.backoff_max_ms),
    };
    Slot::Waiting { until_ms: now_ms + wait_ms, crashes }
}

fn drain(slot: Slot, until_ms: Millis) -> (Slot, Vec<Effect>) {
    match slot {
        Slot::Starting { process: Process { pid, .. }, .. }
        | Slot::Serving { process: Process { pid, .. }, .. } => {
            let next = Slot::Draining { pid, kill_at_ms: Some(until_ms) };
            (next, vec![Effect::Drain { pid, until_ms }])
        }
        Slot::Ending { process, kill_at_ms } => {
            (Slot::Draining { pid: process.pid, kill_at_ms }, vec![])
        }
        Slot::Waiting { .. } => (Slot::Retired, vec![]),
        Slot::Draining { .. } | Slot::Retired => (slot, vec![]),
    }
}

fn stop(slot: Slot) -> (Slot, Vec<Effect>) {
    match slot.pid() {
        Some(pid) => (Slot::Draining { pid, kill_at_ms: None }, vec![Effect::Kill(pid)]),
        None => (Slot::Retired, vec![]),
    }
}

#[cfg(test)]
mod tests;
