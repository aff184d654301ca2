//! The health of a cluster's endpoints, known to all workers of the pod: [`outlier`]'s judgement
//! on words of the [`region`](crate::region).
//!
//! Only a failing request writes; a good one reads one word, and writes only to end a streak. An
//! ejection is marked first and counted then, so that two workers which eject at once cannot
//! together exceed the limit: both see both marks, and whoever finds too many takes its own back.

use std::rc::Rc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, SeqCst};

use fairway_shared::snapshot::cluster::OutlierPolicy;

use super::outlier::{self, Outcome, Streaks};
use crate::region::Cell;
use crate::subset::host::Host;

/// Words of a cluster's cell.
const CHANGES: usize = 0;
const SWEPT_AT_MS: usize = 1;
/// Words of an endpoint's cell.
const STREAKS: usize = 0;
/// When it was ejected; 0 = it is not.
const EJECTED_AT_MS: usize = 1;

/// One endpoint's.
#[derive(Debug)]
pub struct HostHealth(Cell);

/// One cluster's policy and what all workers know of it.
#[derive(Debug)]
pub struct Outliers {
    /// When an endpoint is ejected.
    pub policy: OutlierPolicy,
    cell: Rc<Cell>,
}

impl HostHealth {
    /// On the endpoint's cell.
    pub fn new(cell: Cell) -> Self {
        Self(cell)
    }

    /// Is it ejected, as far as any worker knows?
    pub fn is_ejected(&self) -> bool {
        self.0.word(EJECTED_AT_MS).load(SeqCst) != 0
    }

    fn update<T>(&self, change: impl Fn(Streaks) -> (Streaks, T)) -> T {
        let word = self.0.word(STREAKS);
        let mut known = word.load(Acquire);
        loop {
            let (next, result) = change(Streaks::from_word(known));
            match word.compare_exchange_weak(known, next.to_word(), AcqRel, Acquire) {
                Ok(_) => return result,
                Err(newer) => known = newer,
            }
        }
    }

    /// Counts an outcome; is an ejection due?
    fn count(&self, policy: &OutlierPolicy, outcome: Outcome) -> bool {
        let streaks = Streaks::from_word(self.0.word(STREAKS).load(Acquire));
        if outcome == Outcome::Success && streaks.is_clean() {
            return false;
        }
        self.update(|streaks| outlier::count(policy, streaks, outcome))
    }
}

impl Outliers {
    /// On the cluster's cell.
    pub fn new(policy: OutlierPolicy, cell: Rc<Cell>) -> Self {
        Self { policy, cell }
    }

    /// Counts how a request to one of `hosts` went. True if it was ejected for it.
    pub fn note(&self, host: &Host, outcome: Outcome, hosts: &[Rc<Host>], now_ms: u64) -> bool {
        let health = host.health.borrow();
        let Some(health) = &*health else { return false };
        if !health.count(&self.policy, outcome) {
            return false;
        }
        let mark = health.0.word(EJECTED_AT_MS);
        let now_ms = now_ms.max(1);
        if mark.compare_exchange(0, now_ms, SeqCst, SeqCst).is_err() {
            return false; // another worker was first
        }
        let is_ejected =
            |host: &&Rc<Host>| host.health.borrow().as_ref().is_some_and(HostHealth::is_ejected);
        let ejected = hosts.iter().filter(is_ejected).count();
        if !outlier::is_allowed(&self.policy, ejected, hosts.len()) {
            // Taken back; nobody else clears a mark this young.
            mark.store(0, SeqCst);
            return false;
        }
        let more = |streaks: Streaks| Streaks {
            ejections: streaks.ejections.saturating_add(1),
            ..streaks
        };
        health.update(|streaks| (more(streaks), ()));
        self.cell.word(CHANGES).fetch_add(1, AcqRel);
        true
    }

    /// Looks whose ejection is over, once per interval whichever worker comes first.
    pub fn sweep(&self, hosts: &[Rc<Host>], now_ms: u64) {
        let swept = self.cell.word(SWEPT_AT_MS);
        let last_ms = swept.load(Acquire);
        let is_due = now_ms >= last_ms.saturating_add(self.policy.interval_ms);
        if !is_due || swept.compare_exchange(last_ms, now_ms, AcqRel, Acquire).is_err() {
            return;
        }
        // The first look only sets the clock.
        for host in hosts.iter().filter(|_| last_ms != 0) {
            if let Some(health) = &*host.health.borrow() {
                self.sweep_one(health, now_ms);
            }
        }
    }

    fn sweep_one(&self, health: &HostHealth, now_ms: u64) {
        let mark = health.0.word(EJECTED_AT_MS);
        let since_ms = mark.load(SeqCst);
        let ejected_for_ms = (since_ms != 0).then(|| now_ms.saturating_sub(since_ms));
        let is_over =
            health.update(|streaks| outlier::sweep(&self.policy, streaks, ejected_for_ms));
        if is_over {
            mark.store(0, SeqCst);
            self.cell.word(CHANGES).fetch_add(1, AcqRel);
        }
    }

    /// Rises with each ejection and each return, of whatever worker.
    pub fn changes(&self) -> u64 {
        self.cell.word(CHANGES).load(Acquire)
    }

    /// Is this worker the one that reports for all?
    pub fn is_spokesman(&self) -> bool {
        self.cell.is_spokesman()
    }
}

#[cfg(test)]
mod tests;
