//! Which snapshots crash their workers. Pure.
//!
//! A snapshot is new until a worker has served it for [`TRIAL_MS`]. A slot whose processes end
//! within that time of trying a new one, [`CRASHES_MAX`] in a row, condemns it, by its content,
//! and no later process of any slot applies it. A crash under a proven snapshot has another
//! reason, such as a request; and while nothing is proven there is nothing to go back to.

use std::collections::VecDeque;

use fairway_shared::id::WorkerSlot;

use crate::black_box::ContentHash;
use crate::black_box::reader::Tried;

/// How soon after it was tried a crash is blamed on the snapshot, in milliseconds.
pub const TRIAL_MS: u64 = 10_000;
/// So many crashes condemn it.
pub const CRASHES_MAX: u32 = 3;
/// Snapshots remembered of each kind; the oldest is forgotten.
const REMEMBERED_MAX: usize = 64;

/// What is known of snapshots, by content.
#[derive(Debug, Default)]
pub struct Poison {
    proven: VecDeque<ContentHash>,
    suspected: VecDeque<(WorkerSlot, ContentHash, u32)>,
    has_fallback: bool,
    condemned: VecDeque<ContentHash>,
}

/// What a crash means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing against the snapshot.
    Innocent,
    /// So many crashes speak against it.
    Suspected(u32),
    /// This crash was one too many.
    Condemned,
}

impl Poison {
    /// `has_fallback`: a snapshot to go back to is on disk already.
    pub fn new(has_fallback: bool) -> Self {
        Self { has_fallback, ..Self::default() }
    }

    /// What no process is to apply.
    pub fn condemned(&self) -> Vec<ContentHash> {
        self.condemned.iter().copied().collect()
    }

    /// A worker that lives has tried this.
    pub fn seen_alive(&mut self, tried: &Tried, now_ms: u64) {
        if tried.is_applied && now_ms.saturating_sub(tried.at_ms) >= TRIAL_MS {
            self.prove(tried.hash);
        }
    }

    /// The slot's worker crashed; this is what it tried last. Those that live must have been seen
    /// before.
    pub fn crashed(&mut self, slot: WorkerSlot, tried: &Tried, now_ms: u64) -> Verdict {
        self.seen_alive(tried, now_ms);
        let before = self.suspected.iter().position(|(suspect, ..)| *suspect == slot);
        let before = before.and_then(|at| self.suspected.remove(at));
        let before = before.filter(|(_, hash, _)| *hash == tried.hash).map_or(0, |(.., n)| n);
        let is_early = now_ms.saturating_sub(tried.at_ms) < TRIAL_MS;
        let is_known = self.proven.contains(&tried.hash) || self.condemned.contains(&tried.hash);
        if !is_early || is_known || !self.has_fallback {
            return Verdict::Innocent;
        }
        if before + 1 >= CRASHES_MAX {
            remember(&mut self.condemned, tried.hash);
            return Verdict::Condemned;
        }
        remember(&mut self.suspected, (slot, tried.hash, before + 1));
        Verdict::Suspected(before + 1)
    }

    fn prove(&mut self, hash: ContentHash) {
        self.has_fallback = true;
        if !self.proven.contains(&hash) {
            remember(&mut self.proven, hash);
        }
        self.suspected.retain(|(_, suspect, _)| *suspect != hash);
    }
}

fn remember<T>(list: &mut VecDeque<T>, item: T) {
    if list.len() >= REMEMBERED_MAX {
        list.pop_front();
    }
    list.push_back(item);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tried(hash: u8, at_ms: u64) -> Tried {
        Tried { hash: [hash; 32], version: 1, at_ms, is_applied: true }
    }

    const ONE: WorkerSlot = WorkerSlot(0);
    const TWO: WorkerSlot = WorkerSlot(1);

    #[test]
    fn the_third_early_crash_of_a_slot_condemns_a_new_snapshot_and_no_other() {
        let mut poison = Poison::new(true);
        assert_eq!(poison.crashed(ONE, &tried(1, 0), 500), Verdict::Suspected(1));
        assert_eq!(poison.crashed(TWO, &tried(1, 0), 600), Verdict::Suspected(1));
        assert_eq!(poison.crashed(ONE, &tried(1, 700), 900), Verdict::Suspected(2));
        assert_eq!(poison.crashed(TWO, &tried(2, 700), 900), Verdict::Suspected(1));
        assert_eq!(poison.crashed(ONE, &tried(1, 900), 9_000), Verdict::Condemned);
        assert_eq!(poison.condemned(), [[1; 32]]);
        assert_eq!(poison.crashed(TWO, &tried(1, 9_000), 9_001), Verdict::Innocent, "it is over");
    }

    #[test]
    fn without_anything_to_go_back_to_nothing_is_condemned() {
        let mut poison = Poison::new(false);
        for at_ms in 0..10 {
            assert_eq!(poison.crashed(ONE, &tried(1, at_ms), at_ms), Verdict::Innocent);
        }
        poison.seen_alive(&tried(2, 0), TRIAL_MS);
        assert_eq!(poison.crashed(ONE, &tried(1, TRIAL_MS), TRIAL_MS), Verdict::Suspected(1));
    }

    #[test]
    fn a_late_crash_proves_the_snapshot_and_later_ones_have_another_reason() {
        let mut poison = Poison::new(true);
        assert_eq!(poison.crashed(ONE, &tried(1, 0), 500), Verdict::Suspected(1));
        assert_eq!(poison.crashed(ONE, &tried(1, 500), 500 + TRIAL_MS), Verdict::Innocent);
        for n in 0..10 {
            assert_eq!(poison.crashed(ONE, &tried(1, 20_000), 20_000 + n), Verdict::Innocent);
        }
    }

    #[test]
    fn a_sibling_that_serves_it_proves_it_unless_it_only_tries() {
        let mut poison = Poison::new(true);
        let stuck = Tried { is_applied: false, ..tried(1, 0) };
        poison.seen_alive(&stuck, TRIAL_MS);
        assert_eq!(poison.crashed(ONE, &tried(1, TRIAL_MS), TRIAL_MS), Verdict::Suspected(1));
        poison.seen_alive(&tried(1, 1), TRIAL_MS + 1);
        assert_eq!(poison.crashed(ONE, &tried(1, TRIAL_MS), TRIAL_MS + 2), Verdict::Innocent);
    }

    proptest! {
        #[test]
        fn nothing_proven_is_ever_condemned_and_memory_is_bounded(
            crashes in proptest::collection::vec((any::<u8>(), 0..30_000_u64), 0..600)
        ) {
            let mut poison = Poison::new(true);
            for (hash, lasted_ms) in crashes {
                poison.crashed(WorkerSlot(hash.into()), &tried(hash, 1_000), 1_000 + lasted_ms);
                let lists = [poison.proven.len(), poison.suspected.len(), poison.condemned.len()];
                prop_assert!(lists.iter().all(|length| *length <= REMEMBERED_MAX));
                if lasted_ms >= TRIAL_MS {
                    let last = poison.proven.back();
                    prop_assert!(poison.proven.contains(&[hash; 32]), "{:?}", last);
                }
            }
        }
    }
}
