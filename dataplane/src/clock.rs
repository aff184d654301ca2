//! The worker's clock: read once per turn of the event loop, not once per request.
//!
//! The runtime refreshes it when it wakes from waiting. A loop that never waits would never
//! refresh, so every [`READS_PER_REFRESH`]th reader does too.

use std::cell::Cell;
use std::time::Instant;

/// How often the same instant may be handed out.
const READS_PER_REFRESH: u32 = 32;

thread_local! {
    static NOW: Cell<(Option<Instant>, u32)> = const { Cell::new((None, 0)) };
}

/// The instant of this turn of the loop.
pub fn now() -> Instant {
    NOW.with(|cell| match cell.get() {
        (Some(now), reads) if reads < READS_PER_REFRESH => {
            cell.set((Some(now), reads + 1));
            now
        }
        _ => {
            let now = Instant::now();
            cell.set((Some(now), 0));
            now
        }
    })
}

/// Makes the next reader read the real clock. Called by the runtime when it wakes from waiting.
pub fn refresh() {
    NOW.with(|cell| cell.set((None, 0)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_of_one_turn_see_one_instant_but_not_for_ever() {
        refresh();
        let first = now();
        assert_eq!(now(), first);
        let mut later = first;
        for _ in 0..=READS_PER_REFRESH {
            later = now();
        }
        assert!(later > first);
    }
}
