//! Who accepts for a slot that has no serving worker. Pure: which loans there should be, and what
//! has to be told to whom to get there.
//!
//! The sockets of such a slot still get their share of new connections from the kernel, and
//! nobody would take them out of the queue. A sibling does so until the slot serves again. Owner
//! and borrower may both accept for a moment: the queue is one, so nothing is lost or taken twice.

use std::collections::BTreeMap;

use fairway_shared::id::WorkerSlot;

use super::slot::Slot;
use crate::sys::process::Pid;

/// Slots whose sockets a sibling accepts from, by owner.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Loans(BTreeMap<WorkerSlot, Borrower>);

/// The process that accepts for another slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Borrower {
    /// Its own slot.
    pub slot: WorkerSlot,
    /// A successor in that slot knows nothing of the loan.
    pub pid: Pid,
}

/// What a worker has to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Accept from the sockets of `owner` too.
    Lend {
        /// Whose sockets.
        owner: WorkerSlot,
        /// Who is told.
        to: WorkerSlot,
    },
    /// The owner accepts by itself again.
    Return {
        /// Whose sockets.
        owner: WorkerSlot,
        /// Who is told.
        by: WorkerSlot,
    },
}

impl Loans {
    /// How many slots are lent.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Who accepts for the slot, if anybody does.
    pub fn borrower(&self, owner: WorkerSlot) -> Option<WorkerSlot> {
        Some(self.0.get(&owner)?.slot)
    }

    /// Makes the loans fit the slots. A loan whose borrower still serves stays where it is; a new
    /// one goes to the next serving slot in a circle, so that neighbours share the work.
    pub fn settle(&mut self, slots: &[Slot]) -> Vec<Order> {
        let mut orders = Vec::new();
        for (index, slot) in slots.iter().enumerate() {
            let owner = number(index);
            let lent = self.0.get(&owner).copied();
            let stands = lent.filter(|to| serving_pid(slots, to.slot) == Some(to.pid));
            if !needs_help(slot) {
                self.0.remove(&owner);
                orders.extend(stands.map(|to| Order::Return { owner, by: to.slot }));
            } else if stands.is_none() {
                self.0.remove(&owner);
                if let Some(to) = next_serving(slots, index) {
                    self.0.insert(owner, to);
                    orders.push(Order::Lend { owner, to: to.slot });
                }
            }
        }
        orders
    }
}

/// A slot that retires has had its last process: nobody is to accept for it any more.
fn needs_help(slot: &Slot) -> bool {
    matches!(slot, Slot::Waiting { .. } | Slot::Starting { .. } | Slot::Ending { .. })
}

fn next_serving(slots: &[Slot], after: usize) -> Option<Borrower> {
    let circle = (after + 1..slots.len()).chain(0..after).map(number);
    circle.map(|slot| Some(Borrower { slot, pid: serving_pid(slots, slot)? })).find_map(|to| to)
}

fn serving_pid(slots: &[Slot], slot: WorkerSlot) -> Option<Pid> {
    match slots.get(usize::from(slot.0)) {
        Some(Slot::Serving { process, .. }) => Some(process.pid),
        _ => None,
    }
}

fn number(index: usize) -> WorkerSlot {
    WorkerSlot(u16::try_from(index).unwrap_or(u16::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::slot::Process;
    use proptest::prelude::*;

    fn serving(pid: u32) -> Slot {
        let process = Process { pid: Pid(pid), since_ms: 0, crashes: 0 };
        Slot::Serving { process, heard_ms: 0 }
    }
    fn dead() -> Slot {
        Slot::Waiting { until_ms: 9, crashes: 1 }
    }
    fn lend(owner: u16, to: u16) -> Order {
        Order::Lend { owner: WorkerSlot(owner), to: WorkerSlot(to) }
    }
    fn back(owner: u16, by: u16) -> Order {
        Order::Return { owner: WorkerSlot(owner), by: WorkerSlot(by) }
    }

    #[test]
    fn a_dead_slot_is_lent_to_its_neighbour_until_it_serves_again() {
        let mut loans = Loans::default();
        assert_eq!(loans.settle(&[serving(1), serving(2), serving(3)]), []);
        assert_eq!(loans.settle(&[serving(1), dead(), serving(3)]), [lend(1, 2)]);
        assert_eq!(loans.settle(&[serving(1), dead(), serving(3)]), []);
        assert_eq!(loans.settle(&[serving(1), serving(4), serving(3)]), [back(1, 2)]);
        assert_eq!(loans.count(), 0);
    }

    #[test]
    fn a_borrower_that_dies_is_replaced_and_its_own_slot_is_lent_too() {
        let mut loans = Loans::default();
        loans.settle(&[dead(), serving(2), serving(3)]);
        let orders = loans.settle(&[dead(), dead(), serving(3)]);
        assert_eq!(orders, [lend(0, 2), lend(1, 2)]);
        // The successor in the borrower's slot has none of the sockets.
        assert_eq!(loans.settle(&[dead(), dead(), serving(9)]), [lend(0, 2), lend(1, 2)]);
        assert_eq!(loans.settle(&[dead(), dead(), dead()]), []);
        assert_eq!(loans.count(), 0);
    }

    #[test]
    fn a_slot_that_ends_for_good_is_not_lent() {
        let mut loans = Loans::default();
        let draining = Slot::Draining { pid: Pid(1), kill_at_ms: None };
        for gone in [draining, Slot::Retired] {
            assert_eq!(loans.settle(&[gone, serving(2)]), []);
        }
        loans.settle(&[dead(), serving(2)]);
        assert_eq!(loans.settle(&[Slot::Retired, serving(2)]), [back(0, 1)]);
    }

    fn any_slot() -> impl Strategy<Value = Slot> {
        prop_oneof![
            (1..4_u32).prop_map(serving),
            Just(dead()),
            Just(Slot::Retired),
            Just(Slot::Draining { pid: Pid(1), kill_at_ms: None }),
        ]
    }

    proptest! {
        /// Workers keep what they are told; after each step somebody serves for every slot that
        /// cannot, if anybody serves at all, and nobody serves for a slot that can.
        #[test]
        fn exactly_the_helpless_are_helped(
            walk in proptest::collection::vec(proptest::collection::vec(any_slot(), 3), 1..30)
        ) {
            let mut loans = Loans::default();
            let mut told: BTreeMap<(u16, Pid), Vec<u16>> = BTreeMap::new();
            for slots in walk {
                let pid = |slot: WorkerSlot| serving_pid(&slots, slot);
                told.retain(|(slot, of), _| pid(WorkerSlot(*slot)) == Some(*of));
                for order in loans.settle(&slots) {
                    match order {
                        Order::Lend { owner, to } => {
                            let key = (to.0, pid(to).expect("only who serves is told"));
                            told.entry(key).or_default().push(owner.0);
                        }
                        Order::Return { owner, by } => {
                            let key = (by.0, pid(by).expect("only who serves is told"));
                            told.entry(key).or_default().retain(|held| *held != owner.0);
                        }
                    }
                }
                let anybody = slots.iter().any(|slot| matches!(slot, Slot::Serving { .. }));
                for (index, slot) in slots.iter().enumerate() {
                    let helpers = told.values().flatten().filter(|o| usize::from(**o) == index);
                    let expected = usize::from(needs_help(slot) && anybody);
                    prop_assert_eq!(helpers.count(), expected, "slot {} of {:?}", index, slots);
                }
            }
        }
    }
}
