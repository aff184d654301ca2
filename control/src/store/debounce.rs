//! When a moment counts as quiet, and the longest wait for one. Pure: times are milliseconds of any
//! one clock that does not run backwards.

/// How long to wait. Istio contract 9.1: `PILOT_DEBOUNCE_AFTER`, `PILOT_DEBOUNCE_MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DebouncePolicy {
    /// A moment is quiet this long after the last event.
    pub quiet_ms: u64,
    /// An event waits no longer than this, however restless it stays.
    pub longest_ms: u64,
}

impl Default for DebouncePolicy {
    fn default() -> Self {
        Self { quiet_ms: 100, longest_ms: 10_000 }
    }
}

/// The events that wait, as a window in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Debounce {
    policy: DebouncePolicy,
    window: Option<Window>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Window {
    first_ms: u64,
    last_ms: u64,
}

impl Debounce {
    /// Nothing waits.
    pub fn new(policy: DebouncePolicy) -> Self {
        Self { policy, window: None }
    }

    /// Notes an event.
    pub fn event(&mut self, now_ms: u64) {
        let first_ms = self.window.map_or(now_ms, |window| window.first_ms);
        self.window = Some(Window { first_ms, last_ms: now_ms });
    }

    /// When to act on the events that wait, unless more of them move it; `None` if none wait.
    pub fn due_ms(&self) -> Option<u64> {
        let Window { first_ms, last_ms } = self.window?;
        let quiet_ms = last_ms.saturating_add(self.policy.quiet_ms);
        Some(quiet_ms.min(first_ms.saturating_add(self.policy.longest_ms)))
    }

    /// True if it is time to act; the events then wait no more.
    pub fn take_due(&mut self, now_ms: u64) -> bool {
        let is_due = self.due_ms().is_some_and(|due_ms| due_ms <= now_ms);
        if is_due {
            self.window = None;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const POLICY: DebouncePolicy = DebouncePolicy { quiet_ms: 100, longest_ms: 1_000 };

    /// When the events at these times are acted upon by a clock that looks every millisecond.
    fn acts(events: &[u64], until_ms: u64) -> Vec<u64> {
        let mut debounce = Debounce::new(POLICY);
        let mut acts = Vec::new();
        for now_ms in 0..=until_ms {
            if debounce.take_due(now_ms) {
                acts.push(now_ms);
            }
            events.iter().filter(|event| **event == now_ms).for_each(|_| debounce.event(now_ms));
        }
        acts
    }

    #[test]
    fn a_window_closes_when_it_is_quiet_or_too_long() {
        let restless: Vec<u64> = (0..=2_500).step_by(50).collect();
        let cases: [(&[u64], &[u64]); 6] = [
            (&[], &[]),
            (&[5], &[105]),
            (&[5, 5, 60], &[160]),
            (&[0, 100], &[100, 200]),
            (&[0, 300], &[100, 400]),
            (&restless, &[1_000, 2_000, 2_600]),
        ];
        for (events, expected) in cases {
            assert_eq!(acts(events, 4_000), expected, "{events:?}");
        }
    }

    #[test]
    fn nothing_is_due_without_an_event() {
        let mut debounce = Debounce::new(POLICY);
        assert_eq!(debounce.due_ms(), None);
        assert!(!debounce.take_due(u64::MAX));
        debounce.event(u64::MAX);
        assert_eq!(debounce.due_ms(), Some(u64::MAX));
    }

    proptest! {
        #[test]
        fn every_event_is_acted_upon_in_time_and_never_while_it_is_restless(
            mut events in proptest::collection::vec(0_u64..5_000, 0..60),
        ) {
            events.sort_unstable();
            let acts = acts(&events, 7_000);
            for event in &events {
                let act = acts.iter().find(|act| *act > event).expect("an act after each event");
                prop_assert!(act - event <= POLICY.longest_ms);
            }
            let mut before = 0;
            for act in acts {
                let window: Vec<_> = events.iter().filter(|e| (before..act).contains(e)).collect();
                let (first, last) = (window.first().unwrap(), window.last().unwrap());
                prop_assert!(act - *last >= POLICY.quiet_ms || act - *first == POLICY.longest_ms);
                before = act;
            }
        }
    }
}
