//! Scrapes under way: which workers have not reported yet, and how long they are waited for.
//! Generic over the answer's channel only so that it can be judged without one.

use std::collections::BTreeSet;

use fairway_shared::id::WorkerSlot;

use super::slot::Millis;

/// Longest wait for the workers' reports; the last known figures answer for the rest.
pub const SCRAPE_WAIT_MS: u64 = 200;
/// Scrapes under way at once; more are answered with what is known.
const PENDING_MAX: usize = 16;

/// The scrapes under way, each with the `Reply` that ends it.
#[derive(Debug)]
pub struct Scrapes<Reply> {
    pending: Vec<Pending<Reply>>,
    last_nonce: u64,
}

#[derive(Debug)]
struct Pending<Reply> {
    nonce: u64,
    waiting: BTreeSet<WorkerSlot>,
    until_ms: Millis,
    reply: Reply,
}

impl<Reply> Default for Scrapes<Reply> {
    fn default() -> Self {
        Self { pending: Vec::new(), last_nonce: 0 }
    }
}

impl<Reply> Scrapes<Reply> {
    /// A scrape begins; the nonce to ask `workers` with. The reply comes back from [`Self::due`].
    pub fn begin(&mut self, workers: BTreeSet<WorkerSlot>, now_ms: Millis, reply: Reply) -> u64 {
        self.last_nonce += 1;
        let is_crowded = self.pending.len() >= PENDING_MAX;
        self.pending.push(Pending {
            nonce: self.last_nonce,
            waiting: if is_crowded { BTreeSet::new() } else { workers },
            until_ms: now_ms + SCRAPE_WAIT_MS,
            reply,
        });
        self.last_nonce
    }

    /// What is gathered for the reply, while it is waited for.
    pub fn gathering(&mut self, nonce: u64) -> Option<&mut Reply> {
        self.pending.iter_mut().find(|scrape| scrape.nonce == nonce).map(|scrape| &mut scrape.reply)
    }

    /// A worker has answered.
    pub fn reported(&mut self, slot: WorkerSlot, nonce: u64) {
        for scrape in self.pending.iter_mut().filter(|scrape| scrape.nonce == nonce) {
            scrape.waiting.remove(&slot);
        }
    }

    /// A worker will not answer any more.
    pub fn ended(&mut self, slot: WorkerSlot) {
        for scrape in &mut self.pending {
            scrape.waiting.remove(&slot);
        }
    }

    /// Takes out the scrapes that can be answered now.
    pub fn due(&mut self, now_ms: Millis) -> Vec<Reply> {
        let is_due =
            |scrape: &mut Pending<Reply>| scrape.waiting.is_empty() || now_ms >= scrape.until_ms;
        self.pending.extract_if(.., is_due).map(|scrape| scrape.reply).collect()
    }

    /// When [`Self::due`] has to be asked at the latest.
    pub fn next_wake_ms(&self) -> Option<Millis> {
        self.pending.iter().map(|scrape| scrape.until_ms).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: WorkerSlot = WorkerSlot(0);
    const TWO: WorkerSlot = WorkerSlot(1);

    #[test]
    fn a_scrape_is_answered_by_the_last_report_an_end_or_the_deadline() {
        let both = BTreeSet::from([ONE, TWO]);
        let mut scrapes = Scrapes::default();
        let first = scrapes.begin(both.clone(), 0, "reports");
        let second = scrapes.begin(both.clone(), 10, "an end");
        scrapes.begin(both, 20, "the deadline");
        assert_eq!(scrapes.next_wake_ms(), Some(SCRAPE_WAIT_MS));
        scrapes.reported(ONE, first);
        scrapes.reported(ONE, second);
        assert!(scrapes.due(30).is_empty());
        scrapes.reported(TWO, first);
        assert_eq!(scrapes.due(40), ["reports"]);
        scrapes.ended(TWO);
        assert_eq!(scrapes.due(50), ["an end"]);
        assert!(scrapes.due(19 + SCRAPE_WAIT_MS).is_empty());
        assert_eq!(scrapes.due(20 + SCRAPE_WAIT_MS), ["the deadline"]);
        assert_eq!(scrapes.next_wake_ms(), None);
    }

    #[test]
    fn without_workers_or_in_a_crowd_the_answer_is_what_is_known() {
        let mut scrapes = Scrapes::default();
        scrapes.begin(BTreeSet::new(), 0, 0);
        assert_eq!(scrapes.due(0), [0]);
        for number in 0..=PENDING_MAX {
            scrapes.begin(BTreeSet::from([ONE]), 0, number);
        }
        assert_eq!(scrapes.due(0), [PENDING_MAX]);
    }
}
