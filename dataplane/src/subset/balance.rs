//! Picks over a published view (Istio contract 3.3). Pure but for the view's own cursor; chance
//! comes from the caller.

use std::cell::Cell;
use std::rc::Rc;

use fairway_shared::snapshot::cluster::Balancer;

use super::host::Host;
use crate::route::weights::Weights;

/// How often a draw is repeated to avoid a host that was tried already (Istio contract 2.9).
const DRAWS_MAX: usize = 5;

/// The endpoints that one cluster may use now. Replaced whole on every change.
#[derive(Debug)]
pub struct SubsetView {
    hosts: Box<[Rc<Host>]>,
    weights: Box<[u32]>,
    turns: Weights,
    balancer: Balancer,
    cursor: Cell<u32>,
}

impl SubsetView {
    /// `start` is where round robin begins: each worker draws its own, so that workers which
    /// share nothing do not all begin with the same host.
    pub fn new(hosts: Vec<(Rc<Host>, u32)>, balancer: Balancer, start: u32) -> Self {
        let (hosts, weights): (Vec<_>, Vec<_>) = hosts.into_iter().unzip();
        let turns = Weights::new(weights.iter().copied());
        Self {
            hosts: hosts.into(),
            weights: weights.into(),
            turns,
            balancer,
            cursor: Cell::new(start),
        }
    }

    /// All of them.
    pub fn hosts(&self) -> &[Rc<Host>] {
        &self.hosts
    }

    /// Where the next round robin would go on.
    pub fn cursor(&self) -> u32 {
        self.cursor.get()
    }

    /// A host for the next request, none of `tried` if that can be helped; nothing if there is
    /// no host at all.
    pub fn pick(&self, tried: &[Rc<Host>], random: &mut fastrand::Rng) -> Option<&Rc<Host>> {
        let mut chosen = self.draw(random)?;
        for _ in 0..DRAWS_MAX {
            if !tried.iter().any(|host| Rc::ptr_eq(host, chosen)) {
                break;
            }
            chosen = self.draw(random)?;
        }
        Some(chosen)
    }

    fn draw(&self, random: &mut fastrand::Rng) -> Option<&Rc<Host>> {
        let count = self.hosts.len();
        let index = match (count, self.balancer) {
            (0, _) => return None,
            (1, _) => 0,
            // Without a key every host is as good as any other.
            (_, Balancer::Random | Balancer::RingHash { .. } | Balancer::Maglev { .. }) => {
                random.usize(..count)
            }
            (_, Balancer::RoundRobin) => self.next_turn(),
            (_, Balancer::LeastRequest) => self.less_busy(random.usize(..count), {
                // A second host that is not the first.
                random.usize(..count - 1)
            }),
        };
        self.hosts.get(index)
    }

    /// Equal weights go strictly in turn, others in proportion.
    fn next_turn(&self) -> usize {
        let turn = self.cursor.get();
        self.cursor.set(turn.wrapping_add(1));
        let is_even = self.weights.windows(2).all(|pair| pair[0] == pair[1]);
        if is_even { turn as usize % self.hosts.len() } else { self.turns.choose(turn) }
    }

    /// Of two hosts the one with less load per weight; `second` skips over `first`.
    fn less_busy(&self, first: usize, second: usize) -> usize {
        let second = if second >= first { second + 1 } else { second };
        let load = |index: usize| u64::from(self.hosts[index].active()) + 1;
        let weight = |index: usize| u64::from(self.weights[index].max(1));
        // a / wa <= b / wb without division.
        if load(first) * weight(second) <= load(second) * weight(first) { first } else { second }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subset::host::Busy;

    fn hosts(weights: &[u32]) -> Vec<(Rc<Host>, u32)> {
        let address = |index: usize| ([127, 0, 0, 1], 9000 + index as u16).into();
        weights.iter().enumerate().map(|(i, w)| (Rc::new(Host::new(address(i))), *w)).collect()
    }

    fn counts(view: &SubsetView, picks: usize) -> Vec<usize> {
        let mut random = fastrand::Rng::with_seed(7);
        let mut counts = vec![0; view.hosts().len()];
        for _ in 0..picks {
            let picked = view.pick(&[], &mut random).unwrap();
            counts[view.hosts().iter().position(|host| Rc::ptr_eq(host, picked)).unwrap()] += 1;
        }
        counts
    }

    #[test]
    fn round_robin_is_exactly_even_and_follows_weights() {
        assert_eq!(
            counts(&SubsetView::new(hosts(&[1, 1, 1]), Balancer::RoundRobin, 5), 300),
            [100, 100, 100]
        );
        let weighted = counts(&SubsetView::new(hosts(&[3, 1]), Balancer::RoundRobin, 5), 400);
        assert!(weighted[0].abs_diff(300) <= 2, "{weighted:?}");
    }

    #[test]
    fn random_reaches_every_host_about_equally() {
        for count in counts(&SubsetView::new(hosts(&[1; 4]), Balancer::Random, 0), 4000) {
            assert!((850..1150).contains(&count), "{count}");
        }
    }

    #[test]
    fn least_request_avoids_the_busy_host() {
        let hosts = hosts(&[1, 1, 1]);
        let _load: Vec<Busy> = (0..10).map(|_| Busy::new(Rc::clone(&hosts[0].0))).collect();
        let view = SubsetView::new(hosts, Balancer::LeastRequest, 0);
        assert_eq!(counts(&view, 300)[0], 0);
    }

    #[test]
    fn a_host_that_was_tried_is_avoided_while_there_is_another() {
        let view = SubsetView::new(hosts(&[1, 1]), Balancer::RoundRobin, 0);
        let tried = [Rc::clone(&view.hosts()[0])];
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..20 {
            assert!(!Rc::ptr_eq(view.pick(&tried, &mut random).unwrap(), &tried[0]));
        }
        let alone = SubsetView::new(vec![(Rc::clone(&tried[0]), 1)], Balancer::RoundRobin, 0);
        assert!(alone.pick(&tried, &mut random).is_some());
        assert!(SubsetView::new(vec![], Balancer::Random, 0).pick(&[], &mut random).is_none());
    }
}
