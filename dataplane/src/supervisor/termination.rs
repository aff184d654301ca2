//! How the gateway ends: readiness goes at once, listeners stay for the grace, then what runs
//! may finish until the deadline (Istio contract 8.5). Pure.

use super::slot::Millis;
use crate::sys::signal::TermSignal;

/// How far the end has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Phase {
    /// It has not begun.
    #[default]
    Running,
    /// Not ready any more, but still accepting.
    Grace {
        /// When accepting ends.
        until_ms: Millis,
    },
    /// No more accepts; what runs may finish.
    Draining {
        /// The supervisor ends with its last worker.
        then_exits: bool,
    },
}

/// Who wants the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// A signal. The second one wants it at once.
    Signal(TermSignal),
    /// `POST /quitquitquit`.
    Quit,
    /// `POST /drain_listeners`: no more accepts, but the supervisor stays.
    DrainListeners,
    /// None: time has passed.
    Tick,
}

/// What is to be done with the workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Have all say with each answer that their connections close.
    Announce,
    /// Ask all to finish until then.
    Drain {
        /// When they are killed.
        until_ms: Millis,
    },
    /// Kill all and exit with the signal's code.
    Abort(TermSignal),
}

/// How long things may take, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// `--shutdown-grace`.
    pub grace_ms: u64,
    /// `--drain-duration`.
    pub drain_ms: u64,
}

impl Phase {
    /// When a [`Wish::Tick`] is due.
    pub fn next_wake_ms(&self) -> Option<Millis> {
        match self {
            Self::Grace { until_ms } => Some(*until_ms),
            Self::Running | Self::Draining { .. } => None,
        }
    }
}

/// What the phase becomes, and what is to be done.
pub fn step(phase: Phase, wish: Wish, now_ms: Millis, times: Times) -> (Phase, Option<Order>) {
    let drain = Order::Drain { until_ms: now_ms + times.drain_ms };
    match (phase, wish) {
        (Phase::Grace { .. } | Phase::Draining { then_exits: true }, Wish::Signal(signal)) => {
            (phase, Some(Order::Abort(signal)))
        }
        (Phase::Running, Wish::Signal(_) | Wish::Quit) if times.grace_ms > 0 => {
            (Phase::Grace { until_ms: now_ms + times.grace_ms }, Some(Order::Announce))
        }
        (Phase::Running, Wish::Signal(_) | Wish::Quit) => {
            (Phase::Draining { then_exits: true }, Some(drain))
        }
        (Phase::Grace { until_ms }, Wish::Tick) if now_ms >= until_ms => {
            (Phase::Draining { then_exits: true }, Some(drain))
        }
        (Phase::Grace { .. }, Wish::DrainListeners) => {
            (Phase::Draining { then_exits: true }, Some(drain))
        }
        (Phase::Running, Wish::DrainListeners) => {
            (Phase::Draining { then_exits: false }, Some(drain))
        }
        (Phase::Draining { then_exits: false }, Wish::Signal(_) | Wish::Quit) => {
            (Phase::Draining { then_exits: true }, None)
        }
        _ => (phase, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: Times = Times { grace_ms: 5_000, drain_ms: 45_000 };
    const TERM: Wish = Wish::Signal(TermSignal::Terminate);
    const INT: Wish = Wish::Signal(TermSignal::Interrupt);
    const RUNNING: Phase = Phase::Running;
    const GRACE: Phase = Phase::Grace { until_ms: 5_000 };
    const EXITING: Phase = Phase::Draining { then_exits: true };
    const EMPTYING: Phase = Phase::Draining { then_exits: false };

    #[test]
    fn the_end_comes_step_by_step_and_a_second_signal_cuts_it_short() {
        let drain_at = |now_ms: u64| Some(Order::Drain { until_ms: now_ms + 45_000 });
        let abort = Some(Order::Abort(TermSignal::Interrupt));
        for (phase, wish, now_ms, expected) in [
            (RUNNING, Wish::Tick, 9_000, (RUNNING, None)),
            (RUNNING, TERM, 0, (GRACE, Some(Order::Announce))),
            (RUNNING, Wish::Quit, 0, (GRACE, Some(Order::Announce))),
            (GRACE, Wish::Tick, 4_999, (GRACE, None)),
            (GRACE, Wish::Tick, 5_000, (EXITING, drain_at(5_000))),
            (GRACE, Wish::Quit, 100, (GRACE, None)),
            (GRACE, Wish::DrainListeners, 100, (EXITING, drain_at(100))),
            (GRACE, INT, 100, (GRACE, abort)),
            (EXITING, INT, 100, (EXITING, abort)),
            (EXITING, Wish::Quit, 100, (EXITING, None)),
            (EXITING, Wish::Tick, 99_000, (EXITING, None)),
            (RUNNING, Wish::DrainListeners, 7, (EMPTYING, drain_at(7))),
            (EMPTYING, TERM, 100, (EXITING, None)),
        ] {
            assert_eq!(step(phase, wish, now_ms, TIMES), expected, "{wish:?} in {phase:?}");
        }
    }

    #[test]
    fn without_a_grace_the_drain_begins_at_once() {
        let times = Times { grace_ms: 0, ..TIMES };
        let drained = (EXITING, Some(Order::Drain { until_ms: 45_003 }));
        assert_eq!(step(RUNNING, TERM, 3, times), drained);
    }
}
