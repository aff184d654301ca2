//! What a cluster carries at most, for the gateway pod as a whole (Istio contract 3.4).
//!
//! Every worker counts for itself, in words of the [`region`](crate::region) that all workers
//! read; a limit holds for the sum. Whoever wants one more counts it first and adds up then, so
//! that two workers which want the last one at once may both be refused, but never both get it.
//! A cluster without limits has no [`Counters`] and pays nothing.

use std::cell::Cell as Figure;
use std::rc::Rc;
use std::sync::atomic::Ordering::SeqCst;

use fairway_shared::snapshot::cluster::{Limits, RetryBudget};
use tokio::sync::Notify;

use crate::region::{COUNTS, Cell};

/// What is counted. The discriminant is its number in a cluster's cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// Open connections: HTTP/1.1 and TCP.
    Connections,
    /// Requests that wait for a connection.
    Pending,
    /// Requests that run.
    Requests,
    /// Retries that run.
    Retries,
    /// Requests that wait because all connections are taken.
    Waiting,
}

const _: () = assert!(Count::Waiting as usize + 1 == COUNTS);

/// A limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a limit of the cluster is reached")]
pub struct Overflow;

/// One cluster's counts and limits.
#[derive(Debug)]
pub struct Counters {
    limits: Limits,
    shared: Rc<Shared>,
}

/// What outlives a change of limits.
#[derive(Debug)]
pub struct Shared {
    cell: Rc<Cell>,
    /// Told whenever a connection may be had.
    freed: Notify,
    refused: [Figure<u64>; COUNTS],
}

/// Counts one for as long as it lives.
#[derive(Debug)]
pub struct Permit {
    shared: Rc<Shared>,
    count: Count,
}

impl Shared {
    /// On the cluster's cell.
    pub fn new(cell: Rc<Cell>) -> Rc<Self> {
        Rc::new(Self { cell, freed: Notify::new(), refused: Default::default() })
    }
}

impl Counters {
    /// Counters for what has a limit; `None` if nothing has.
    pub fn new(limits: Limits, shared: impl FnOnce() -> Rc<Shared>) -> Option<Rc<Self>> {
        (limits != Limits::default()).then(|| Rc::new(Self { limits, shared: shared() }))
    }

    /// One more of those, if it is counted at all.
    ///
    /// # Errors
    /// The limit is reached; that is counted too.
    pub fn take(&self, count: Count) -> Result<Option<Permit>, Overflow> {
        let Some(limit) = self.limit(count) else { return Ok(None) };
        self.try_take(count, limit).map(Some).inspect_err(|_| self.note_refused(count))
    }

    /// One more connection, if they are counted; a refusal is not an overflow yet.
    ///
    /// # Errors
    /// All are taken.
    pub fn try_connection(&self) -> Result<Option<Permit>, Overflow> {
        let Some(limit) = self.limit(Count::Connections) else { return Ok(None) };
        self.try_take(Count::Connections, limit).map(Some)
    }

    /// A permit that is never refused.
    pub fn waiting(&self) -> Option<Permit> {
        self.try_take(Count::Waiting, u64::MAX).ok()
    }

    /// Waits until a connection of this worker may have become free.
    pub async fn freed(&self) {
        self.shared.freed.notified().await;
    }

    /// How many requests of other workers wait for a connection.
    pub fn waiting_elsewhere(&self) -> u64 {
        if self.limits.connections.is_none() {
            return 0;
        }
        self.shared.waiting_elsewhere()
    }

    /// What they are.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// How often a limit was reached, for each of [`Count`] up to retries.
    pub fn refused(&self, count: Count) -> u64 {
        self.shared.refused[count as usize].get()
    }

    /// Counts a refusal.
    pub fn note_refused(&self, count: Count) {
        let refused = &self.shared.refused[count as usize];
        refused.set(refused.get() + 1);
    }

    fn limit(&self, count: Count) -> Option<u64> {
        let Limits { connections, pending_requests, requests, retries, retry_budget } = self.limits;
        // What a retry budget is a share of is counted without a limit of its own.
        let basis = |limit: Option<u32>| {
            limit.map(u64::from).or(retry_budget.is_some().then_some(u64::MAX))
        };
        match count {
            Count::Connections => connections.map(u64::from),
            Count::Pending => basis(pending_requests),
            Count::Requests => basis(requests),
            Count::Retries => match retry_budget {
                Some(budget) => Some(self.allowance(budget)),
                None => retries.map(u64::from),
            },
            Count::Waiting => Some(u64::MAX),
        }
    }

    fn allowance(&self, budget: RetryBudget) -> u64 {
        let cell = &self.shared.cell;
        let running = cell.total(Count::Requests as usize) + cell.total(Count::Pending as usize);
        let share = running.saturating_mul(budget.share_millionths.into()) / 1_000_000;
        share.max(budget.retries_min.into())
    }

    fn try_take(&self, count: Count, limit: u64) -> Result<Permit, Overflow> {
        let own = self.shared.cell.own_count(count as usize);
        own.fetch_add(1, SeqCst);
        if limit != u64::MAX && self.shared.cell.total(count as usize) > limit {
            // Not by dropping a permit: that wakes whoever waits, who would take and fail again.
            own.fetch_sub(1, SeqCst);
            return Err(Overflow);
        }
        Ok(Permit { shared: Rc::clone(&self.shared), count })
    }
}

impl Shared {
    fn waiting_elsewhere(&self) -> u64 {
        let own = self.cell.own_count(Count::Waiting as usize).load(SeqCst);
        self.cell.total(Count::Waiting as usize).saturating_sub(own)
    }
}

impl Permit {
    /// A connection that idles with this permit would keep another worker's request waiting.
    pub fn is_wanted_elsewhere(&self) -> bool {
        self.shared.waiting_elsewhere() > 0
    }

    /// Tells a waiting request of this worker that a connection may be had.
    pub fn tell_waiting(&self) {
        self.shared.freed.notify_one();
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.shared.cell.own_count(self.count as usize).fetch_sub(1, SeqCst);
        if self.count == Count::Connections {
            self.tell_waiting();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::region::{Region, Table};
    use fairway_shared::id::WorkerSlot;

    fn pod(workers: u16, limits: Limits) -> (Region, Vec<Rc<Counters>>) {
        let region = Region::create(workers).unwrap();
        let worker = |slot| {
            let region = Region::open(region.share().unwrap(), workers, WorkerSlot(slot)).unwrap();
            let cell = region.claim(Table::Clusters, 1).unwrap();
            Counters::new(limits, || Shared::new(Rc::new(cell))).unwrap()
        };
        let workers = (0..workers).map(worker).collect();
        (region, workers)
    }

    #[test]
    fn a_limit_holds_for_all_workers_and_one_of_them_can_reach_it_alone() {
        let limits = Limits { requests: Some(10), ..Limits::default() };
        let (_region, workers) = pod(4, limits);
        let take = |worker: usize| workers[worker].take(Count::Requests);
        let mut held: Vec<_> = (0..10).map(|_| take(0).unwrap().unwrap()).collect();
        assert_eq!(take(0).unwrap_err(), Overflow);
        assert_eq!(take(3).unwrap_err(), Overflow);
        assert_eq!(
            (workers[3].refused(Count::Requests), workers[2].refused(Count::Requests)),
            (1, 0)
        );
        held.pop();
        let _other = take(2).unwrap().unwrap();
        assert!(take(0).is_err());
    }

    #[test]
    fn what_has_no_limit_is_not_counted() {
        assert!(Counters::new(Limits::default(), || unreachable!()).is_none());
        let limits = Limits { requests: Some(1), ..Limits::default() };
        let (_region, workers) = pod(1, limits);
        assert!(workers[0].take(Count::Pending).unwrap().is_none());
        assert!(workers[0].try_connection().unwrap().is_none());
        assert!(workers[0].take(Count::Requests).unwrap().is_some());
    }

    #[test]
    fn a_retry_budget_follows_what_runs_in_the_pod() {
        let budget = RetryBudget { share_millionths: 200_000, retries_min: 3 };
        let limits = Limits { retries: Some(1), retry_budget: Some(budget), ..Limits::default() };
        let (_region, workers) = pod(2, limits);
        let most = || (0..).map_while(|_| workers[0].take(Count::Retries).ok()).collect::<Vec<_>>();
        assert_eq!(most().len(), 3);
        let _running: Vec<_> = (0..50).map(|_| workers[1].take(Count::Requests)).collect();
        assert_eq!(most().len(), 10);
    }

    #[test]
    fn a_random_walk_with_crashes_never_exceeds_the_limit_and_agrees_with_a_model() {
        const WORKERS: u16 = 3;
        let limits = Limits { connections: Some(7), ..Limits::default() };
        for seed in 0..20 {
            let mut random = fastrand::Rng::with_seed(seed);
            let (region, mut workers) = pod(WORKERS, limits);
            let mut held: Vec<Vec<Permit>> = (0..WORKERS).map(|_| Vec::new()).collect();
            for step in 0..2_000 {
                let slot = random.usize(..workers.len());
                let sum: usize = held.iter().map(Vec::len).sum();
                match random.u8(..100) {
                    0 => {
                        // The process is gone: nothing of it is dropped.
                        held[slot].drain(..).for_each(std::mem::forget);
                        let region = {
                            std::mem::forget(Rc::clone(&workers[slot]));
                            region.forget(WorkerSlot(slot as u16));
                            Region::open(region.share().unwrap(), WORKERS, WorkerSlot(slot as u16))
                        };
                        let cell = region.unwrap().claim(Table::Clusters, 1).unwrap();
                        workers[slot] =
                            Counters::new(limits, || Shared::new(Rc::new(cell))).unwrap();
                    }
                    1..=55 => {
                        let taken = workers[slot].try_connection();
                        assert_eq!(taken.is_ok(), sum < 7, "seed {seed}, step {step}");
                        held[slot].extend(taken.ok().flatten());
                    }
                    _ => drop(held[slot].pop()),
                }
            }
        }
    }
}
