//! For how long a connection, or a stream of one, has made no progress.
//!
//! No timer is armed and no clock read for it: whoever makes progress sets a flag, and the worker
//! looks at the flags once a second ([`Pulse::sweep`]). A limit is so kept to a second.

use std::cell::Cell;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32};
use std::time::{Duration, Instant};

use fairway_shared::ipc::edge::{EdgeLimits, limit};

/// How long who was told that time is up may take to say so to the client, before the end.
const GRACE: Duration = Duration::from_secs(2);

/// What progress would be, and so which limit holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Nothing is limited here: TLS handshakes and opaque bytes have limits of their own.
    Free,
    /// Its first byte.
    Opening,
    /// The rest of a request's head.
    Head,
    /// A byte of a request or of its response.
    Busy,
    /// The next request.
    Idle,
    /// A byte of a protocol that is not HTTP any more.
    Tunnel,
}

impl Phase {
    const ALL: [Self; 6] =
        [Self::Free, Self::Opening, Self::Head, Self::Busy, Self::Idle, Self::Tunnel];
}

/// Longest times without progress; `None` = no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    head: Option<Duration>,
    idle: Option<Duration>,
    stream: Option<Duration>,
}

impl From<&EdgeLimits> for Patience {
    fn from(limits: &EdgeLimits) -> Self {
        Self {
            head: limit(limits.head_timeout_ms),
            idle: limit(limits.idle_timeout_ms),
            stream: limit(limits.stream_idle_timeout_ms),
        }
    }
}

impl Patience {
    fn during(&self, phase: Phase) -> Option<Duration> {
        match phase {
            Phase::Free => None,
            Phase::Opening | Phase::Head => self.head,
            Phase::Busy => self.stream,
            Phase::Idle | Phase::Tunnel => self.idle,
        }
    }
}

/// What a sweep found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// There is time.
    Alive,
    /// Time has just run out, in that phase.
    Late(Phase),
    /// Time has run out and nobody did anything about it.
    Over,
}

/// See the module. Its words are atomic because what HTTP may hand to an upgrade has to be `Send`;
/// all of them are read and written on one thread, by plain loads and stores.
#[derive(Debug)]
pub struct Pulse {
    phase: AtomicU8,
    is_fresh: AtomicBool,
    is_late: AtomicBool,
    has_streams: AtomicBool,
    is_flooded: AtomicBool,
    is_unsent: AtomicBool,
    has_body: AtomicBool,
    is_holding: AtomicBool,
    heard: AtomicU32,
}

impl Pulse {
    /// In that phase from now on.
    pub fn new(phase: Phase) -> Self {
        Self {
            phase: AtomicU8::new(phase as u8),
            is_fresh: AtomicBool::new(true),
            is_late: AtomicBool::new(false),
            has_streams: AtomicBool::new(false),
            is_flooded: AtomicBool::new(false),
            is_unsent: AtomicBool::new(false),
            has_body: AtomicBool::new(false),
            is_holding: AtomicBool::new(false),
            heard: AtomicU32::new(0),
        }
    }

    /// What is waited for.
    pub fn phase(&self) -> Phase {
        let phase = self.phase.load(Relaxed);
        Phase::ALL.into_iter().find(|known| *known as u8 == phase).unwrap_or(Phase::Free)
    }

    /// Something else is waited for from now on.
    pub fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Relaxed);
        self.is_fresh.store(true, Relaxed);
        self.is_late.store(false, Relaxed);
    }

    /// The connection is HTTP/2: its streams have pulses of their own.
    pub fn has_streams(&self) -> bool {
        self.has_streams.load(Relaxed)
    }

    /// See [`Self::has_streams`].
    pub fn set_has_streams(&self) {
        self.has_streams.store(true, Relaxed);
    }

    /// Does HTTP/2 hold the rest of a response that its client takes no more of?
    pub fn is_holding(&self) -> bool {
        self.is_holding.load(Relaxed)
    }

    /// See [`Self::is_holding`].
    pub fn set_holding(&self, is_holding: bool) {
        self.is_holding.store(is_holding, Relaxed);
    }

    /// Was the connection ended because its frames were a flood?
    pub fn is_flooded(&self) -> bool {
        self.is_flooded.load(Relaxed)
    }

    /// See [`Self::is_flooded`].
    pub fn set_flooded(&self) {
        self.is_flooded.store(true, Relaxed);
    }

    /// A request begins, of whose body some may be still to come when it is answered.
    pub fn set_body(&self, has_body: bool) {
        self.has_body.store(has_body, Relaxed);
    }

    /// Bytes for the client wait to be taken, or do not any more.
    pub fn set_unsent(&self, is_unsent: bool) {
        self.is_unsent.store(is_unsent, Relaxed);
    }

    /// Does an HTTP/1.1 connection stand between two requests, nothing owed either way?
    pub fn is_between(&self) -> bool {
        let owes = self.is_unsent.load(Relaxed) || self.has_body.load(Relaxed);
        self.phase() == Phase::Idle && !owes && !self.has_streams()
    }

    /// Progress was made.
    pub fn touch(&self) {
        self.is_fresh.store(true, Relaxed);
    }

    /// So many bytes came from the client.
    pub fn heard(&self, count: usize) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.heard.store(self.heard.load(Relaxed).saturating_add(count), Relaxed);
        match self.phase() {
            Phase::Opening | Phase::Idle if !self.has_streams() => self.enter(Phase::Head),
            Phase::Opening => self.enter(Phase::Idle),
            // Of HTTP/2 only what is taken is progress, not what is said meanwhile.
            Phase::Busy if !self.has_streams() => self.touch(),
            Phase::Busy | Phase::Free | Phase::Head | Phase::Idle | Phase::Tunnel => {}
        }
    }

    /// Bytes went to the client.
    pub fn said(&self) {
        if self.phase() == Phase::Busy {
            self.touch();
        }
    }

    /// Bytes from the client since this was last asked: at least those of a request's head, unless
    /// they came together with an earlier request.
    pub fn take_heard(&self) -> u32 {
        let heard = self.heard.load(Relaxed);
        self.heard.store(0, Relaxed);
        heard
    }

    /// The phase in which time has run out, if it has.
    pub fn late(&self) -> Option<Phase> {
        self.is_late.load(Relaxed).then(|| self.phase())
    }

    /// Looks whether time has run out. `since` is the sweep's own: when it last saw progress.
    pub fn sweep(&self, since: &Cell<Option<Instant>>, now: Instant, patience: &Patience) -> Found {
        let begun = match since.get() {
            Some(begun) if !self.is_fresh.load(Relaxed) => begun,
            _ => {
                self.is_fresh.store(false, Relaxed);
                since.set(Some(now));
                return Found::Alive;
            }
        };
        let waited = now.saturating_duration_since(begun);
        if self.is_late.load(Relaxed) {
            return if waited >= GRACE { Found::Over } else { Found::Alive };
        }
        match patience.during(self.phase()) {
            Some(limit) if waited >= limit => {
                self.is_late.store(true, Relaxed);
                since.set(Some(now));
                Found::Late(self.phase())
            }
            _ => Found::Alive,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patience(head: u64, idle: u64, stream: u64) -> Patience {
        let limits = EdgeLimits {
            head_timeout_ms: head * 1000,
            idle_timeout_ms: idle * 1000,
            stream_idle_timeout_ms: stream * 1000,
            ..EdgeLimits::default()
        };
        Patience::from(&limits)
    }

    #[test]
    fn each_phase_has_its_limit_and_0_is_none() {
        let patience = patience(10, 0, 20);
        for (phase, late_after) in [
            (Phase::Free, None),
            (Phase::Opening, Some(10)),
            (Phase::Head, Some(10)),
            (Phase::Busy, Some(20)),
            (Phase::Idle, None),
            (Phase::Tunnel, None),
        ] {
            let (pulse, since, start) = (Pulse::new(phase), Cell::default(), Instant::now());
            let found = (0..100).find(|second| {
                let now = start + Duration::from_secs(*second);
                pulse.sweep(&since, now, &patience) == Found::Late(phase)
            });
            assert_eq!(found, late_after, "{phase:?}");
        }
    }

    #[test]
    fn between_two_requests_nothing_is_owed() {
        let pulse = Pulse::new(Phase::Idle);
        let states = [(false, false), (true, false), (false, true)].map(|(unsent, body)| {
            pulse.set_unsent(unsent);
            pulse.set_body(body);
            pulse.is_between()
        });
        assert_eq!(states, [true, false, false]);
        pulse.set_body(false);
        pulse.heard(1);
        assert!(!pulse.is_between());
    }

    #[test]
    fn progress_puts_the_end_off_and_silence_after_the_warning_brings_it() {
        let (pulse, since, start) = (Pulse::new(Phase::Busy), Cell::default(), Instant::now());
        let after = |second| start + Duration::from_secs(second);
        let at = |second| pulse.sweep(&since, after(second), &patience(0, 0, 5));
        assert_eq!((at(0), at(4)), (Found::Alive, Found::Alive));
        pulse.touch();
        assert_eq!((at(5), at(9)), (Found::Alive, Found::Alive));
        assert_eq!((at(10), pulse.late()), (Found::Late(Phase::Busy), Some(Phase::Busy)));
        assert_eq!((at(11), at(12)), (Found::Alive, Found::Over));
        pulse.enter(Phase::Busy);
        assert_eq!((at(13), pulse.late()), (Found::Alive, None));
    }
}
