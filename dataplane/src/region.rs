//! What the workers of one pod know together: counts of limits and the health of endpoints, in
//! memory that the supervisor owns and every worker maps.
//!
//! The memory is two tables of cells. A cell belongs to whoever's key is in it, for as long as a
//! worker uses it, and every worker finds it by that key. Claiming takes a lock between
//! processes; using a claimed cell is a matter of single atomic words. A worker that ends without
//! a word is forgotten by the supervisor ([`Region::forget`]): what it counted is given back.
//!
//! Nothing here knows what the words mean: that is `cluster/limits` and `cluster/health`.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};

use fairway_shared::id::WorkerSlot;

use crate::sys::shared_words::Memory;

/// Cells for clusters and for endpoints.
const CLUSTER_CELLS: usize = 4_096;
const HOST_CELLS: usize = 65_536;
/// How far from its place a key is looked for.
const PROBES_MAX: usize = 128;
/// Workers that can be told apart; those beyond count for themselves.
const SLOTS_MAX: usize = 256;
/// Words that name a cell's users, a bit for each slot.
const USER_WORDS: usize = SLOTS_MAX / 64;
/// Words before a cell's content: its key, its users.
const HEAD_WORDS: usize = 1 + USER_WORDS;
/// Words that a cluster has beside those of each slot.
const CLUSTER_WORDS: usize = 4;
/// Words of an endpoint.
const HOST_WORDS: usize = 3;

/// Numbers that each slot counts for itself, in a cluster's cell.
pub const COUNTS: usize = 5;

/// Which table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// One cell for each cluster that shares anything.
    Clusters,
    /// One for each of its endpoints.
    Hosts,
}

/// The tables, as one worker or the supervisor sees them.
#[derive(Debug)]
pub struct Region {
    memory: Memory,
    slots: usize,
    slot: usize,
    /// How often this process has claimed each cell and not given it back: what drains may
    /// outlive a cluster and meet its successor.
    claims: RefCell<HashMap<usize, u32>>,
}

/// A cell in use. Given back when dropped.
#[derive(Debug)]
pub struct Cell {
    region: Rc<Region>,
    at: usize,
    table: Table,
}

impl Region {
    /// New tables for that many workers, as the supervisor keeps them.
    ///
    /// # Errors
    /// The kernel's.
    pub fn create(workers: u16) -> io::Result<Self> {
        let slots = usize::from(workers).clamp(1, SLOTS_MAX);
        Ok(Self {
            memory: Memory::create(words(slots))?,
            slots,
            slot: 0,
            claims: RefCell::default(),
        })
    }

    /// A descriptor for a worker.
    ///
    /// # Errors
    /// The kernel's.
    pub fn share(&self) -> io::Result<OwnedFd> {
        self.memory.share()
    }

    /// The tables of a pod, as the worker of that slot sees them.
    ///
    /// # Errors
    /// The kernel's; `InvalidInput` if they were made for other numbers.
    pub fn open(fd: OwnedFd, workers: u16, slot: WorkerSlot) -> io::Result<Rc<Self>> {
        let slots = usize::from(workers).clamp(1, SLOTS_MAX);
        let memory = Memory::open(fd)?;
        let slot = usize::from(slot.0);
        if memory.words().len() != words(slots).get() || slot >= slots {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(Rc::new(Self { memory, slots, slot, claims: RefCell::default() }))
    }

    /// Tables that nobody else sees.
    ///
    /// # Errors
    /// The kernel's, if there is no memory.
    pub fn private() -> io::Result<Rc<Self>> {
        let memory = Memory::private(words(1))?;
        Ok(Rc::new(Self { memory, slots: 1, slot: 0, claims: RefCell::default() }))
    }

    /// The cell of a key: that of the other workers if any of them uses it, else a fresh one, all
    /// zero. `None` if the table is full around the key's place, or its lock is held for too
    /// long.
    pub fn claim(self: &Rc<Self>, table: Table, key: u64) -> Option<Cell> {
        let _lock = self.memory.lock()?;
        let key = key.max(1);
        let cells = || (0..PROBES_MAX).map(|step| self.cell_at(table, key, step));
        let is_keys = |at: &usize| self.words()[*at].load(Relaxed) == key;
        let at = cells().find(is_keys).or_else(|| cells().find(|at| self.is_unused(*at)))?;
        if self.is_unused(at) {
            self.words()[at + HEAD_WORDS..][..self.content_words(table)]
                .iter()
                .for_each(|word| word.store(0, Relaxed));
            self.words()[at].store(key, Relaxed);
        }
        self.user_word(at, self.slot).fetch_or(user_bit(self.slot), AcqRel);
        *self.claims.borrow_mut().entry(at).or_default() += 1;
        Some(Cell { region: Rc::clone(self), at, table })
    }

    /// Gives back whatever a worker that has ended counted or used.
    pub fn forget(&self, slot: WorkerSlot) {
        let slot = usize::from(slot.0);
        if slot >= self.slots {
            return;
        }
        for table in [Table::Clusters, Table::Hosts] {
            for index in 0..table.cells() {
                let at = self.start(table) + index * self.cell_words(table);
                if self.user_word(at, slot).load(Acquire) & user_bit(slot) == 0 {
                    continue;
                }
                if table == Table::Clusters {
                    for count in 0..COUNTS {
                        self.words()[self.count_at(at, count, slot)].store(0, SeqCst);
                    }
                }
                self.user_word(at, slot).fetch_and(!user_bit(slot), Release);
            }
        }
    }

    fn words(&self) -> &[AtomicU64] {
        self.memory.words()
    }

    fn is_unused(&self, at: usize) -> bool {
        self.words()[at + 1..][..USER_WORDS].iter().all(|word| word.load(Acquire) == 0)
    }

    fn user_word(&self, at: usize, slot: usize) -> &AtomicU64 {
        &self.words()[at + 1 + slot / 64]
    }

    fn count_at(&self, at: usize, count: usize, slot: usize) -> usize {
        at + HEAD_WORDS + CLUSTER_WORDS + count * self.slots + slot
    }

    fn cell_at(&self, table: Table, key: u64, step: usize) -> usize {
        let index = ((key % table.cells() as u64) as usize + step) % table.cells();
        self.start(table) + index * self.cell_words(table)
    }

    fn start(&self, table: Table) -> usize {
        match table {
            Table::Clusters => 0,
            Table::Hosts => CLUSTER_CELLS * self.cell_words(Table::Clusters),
        }
    }

    fn content_words(&self, table: Table) -> usize {
        content_words(table, self.slots)
    }

    fn cell_words(&self, table: Table) -> usize {
        HEAD_WORDS + self.content_words(table)
    }
}

impl Table {
    fn cells(self) -> usize {
        match self {
            Self::Clusters => CLUSTER_CELLS,
            Self::Hosts => HOST_CELLS,
        }
    }
}

impl Cell {
    /// A word that all workers write. There are [`Table::Clusters`] 4 and [`Table::Hosts`] 3.
    ///
    /// # Panics
    /// Beyond those.
    pub fn word(&self, index: usize) -> &AtomicU64 {
        let own = match self.table {
            Table::Clusters => CLUSTER_WORDS,
            Table::Hosts => HOST_WORDS,
        };
        assert!(index < own, "a cell has {own} words of its own");
        &self.region.words()[self.at + HEAD_WORDS + index]
    }

    /// What this worker counts under that number. Only for a cluster's cell.
    pub fn own_count(&self, count: usize) -> &AtomicU64 {
        &self.region.words()[self.region.count_at(self.at, count, self.region.slot)]
    }

    /// What all workers count together under that number. Only for a cluster's cell.
    pub fn total(&self, count: usize) -> u64 {
        let first = self.region.count_at(self.at, count, 0);
        self.region.words()[first..][..self.region.slots].iter().map(|word| word.load(SeqCst)).sum()
    }

    /// Is this worker the one of its users that speaks for all of them, in figures that are added
    /// up over workers?
    pub fn is_spokesman(&self) -> bool {
        let users = &self.region.words()[self.at + 1..][..USER_WORDS];
        let lowest = users.iter().enumerate().find_map(|(index, word)| {
            let bits = word.load(Relaxed);
            (bits != 0).then(|| index * 64 + bits.trailing_zeros() as usize)
        });
        lowest == Some(self.region.slot)
    }
}

impl Drop for Cell {
    fn drop(&mut self) {
        let mut claims = self.region.claims.borrow_mut();
        let left = claims.get(&self.at).map_or(0, |claims| claims - 1);
        if left > 0 {
            claims.insert(self.at, left);
            return;
        }
        claims.remove(&self.at);
        let slot = self.region.slot;
        self.region.user_word(self.at, slot).fetch_and(!user_bit(slot), Release);
    }
}

fn user_bit(slot: usize) -> u64 {
    1 << (slot % 64)
}

fn content_words(table: Table, slots: usize) -> usize {
    match table {
        Table::Clusters => CLUSTER_WORDS + COUNTS * slots,
        Table::Hosts => HOST_WORDS,
    }
}

fn words(slots: usize) -> NonZeroUsize {
    let clusters = CLUSTER_CELLS * (HEAD_WORDS + content_words(Table::Clusters, slots));
    let hosts = HOST_CELLS * (HEAD_WORDS + content_words(Table::Hosts, slots));
    NonZeroUsize::MIN.saturating_add(clusters + hosts - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subset::hash;

    /// Two workers of one pod, and their supervisor.
    fn pod() -> (Region, Rc<Region>, Rc<Region>) {
        let supervisor = Region::create(2).unwrap();
        let worker = |slot| Region::open(supervisor.share().unwrap(), 2, WorkerSlot(slot)).unwrap();
        let (first, second) = (worker(0), worker(1));
        (supervisor, first, second)
    }

    #[test]
    fn workers_find_each_other_by_key() {
        let (_supervisor, first, second) = pod();
        let ours = first.claim(Table::Hosts, 7).unwrap();
        let theirs = second.claim(Table::Hosts, 7).unwrap();
        let other = second.claim(Table::Hosts, 7 + HOST_CELLS as u64).unwrap();
        ours.word(1).store(5, Relaxed);
        assert_eq!((theirs.word(1).load(Relaxed), other.word(1).load(Relaxed)), (5, 0));
        assert!(ours.is_spokesman() && !theirs.is_spokesman());
    }

    #[test]
    fn a_cell_outlives_one_user_but_not_the_last() {
        let (_supervisor, first, second) = pod();
        let ours = first.claim(Table::Clusters, 7).unwrap();
        ours.word(0).store(5, Relaxed);
        let theirs = second.claim(Table::Clusters, 7).unwrap();
        drop(ours);
        assert_eq!(theirs.word(0).load(Relaxed), 5);
        assert!(theirs.is_spokesman());
        drop(theirs);
        assert_eq!(first.claim(Table::Clusters, 7).unwrap().word(0).load(Relaxed), 0);
    }

    #[test]
    fn a_cell_claimed_twice_is_given_back_twice() {
        let region = Region::private().unwrap();
        let old = region.claim(Table::Clusters, 7).unwrap();
        old.word(0).store(5, Relaxed);
        let new = region.claim(Table::Clusters, 7).unwrap();
        drop(old);
        assert_eq!(region.claim(Table::Clusters, 7).unwrap().word(0).load(Relaxed), 5);
        drop(new);
        assert_eq!(region.claim(Table::Clusters, 7).unwrap().word(0).load(Relaxed), 0);
    }

    #[test]
    fn what_a_dead_worker_counted_is_given_back() {
        let (supervisor, first, second) = pod();
        let ours = first.claim(Table::Clusters, 7).unwrap();
        let theirs = second.claim(Table::Clusters, 7).unwrap();
        ours.own_count(2).fetch_add(3, SeqCst);
        theirs.own_count(2).fetch_add(4, SeqCst);
        assert_eq!((ours.total(2), theirs.total(2)), (7, 7));
        std::mem::forget(theirs);
        supervisor.forget(WorkerSlot(1));
        assert_eq!(ours.total(2), 3);
        drop(ours);
        assert_eq!(second.claim(Table::Clusters, 7).unwrap().total(2), 0);
    }

    #[test]
    fn a_crowded_place_is_refused_and_free_again_later() {
        let region = Region::private().unwrap();
        let key = |step: u64| 9 + step * HOST_CELLS as u64;
        let held: Vec<_> = (0..PROBES_MAX as u64)
            .map(|step| region.claim(Table::Hosts, key(step)).unwrap())
            .collect();
        assert!(region.claim(Table::Hosts, key(1_000)).is_none());
        drop(held);
        assert!(region.claim(Table::Hosts, key(1_000)).is_some());
    }

    #[test]
    fn half_full_tables_have_room_for_every_key() {
        let region = Region::private().unwrap();
        let claim = |number| region.claim(Table::Hosts, hash::spread(number));
        let held: Vec<_> = (0..HOST_CELLS as u64 / 2).map(claim).collect();
        assert!(held.iter().all(Option::is_some));
    }

    #[test]
    fn memory_made_for_other_numbers_is_refused() {
        let supervisor = Region::create(2).unwrap();
        for (workers, slot) in [(3, 0), (2, 2)] {
            let opened = Region::open(supervisor.share().unwrap(), workers, WorkerSlot(slot));
            assert_eq!(opened.unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
    }
}
