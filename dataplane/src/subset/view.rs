//! From the endpoints that a cluster has to what it may use now: health, priorities, shares and
//! warm-up put together. Pure.

use std::rc::Rc;
use std::time::Instant;

use fairway_shared::snapshot::cluster::{Balancer, Warmup};

use super::balance::{Members, SubsetView};
use super::host::Host;
use super::locality::Rank;
use super::spill::{self, Health};
use super::warmup;

/// One endpoint of the cluster.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// What is known of it.
    pub host: Rc<Host>,
    /// Its weight.
    pub weight: u32,
    /// Where it stands.
    pub rank: Rank,
}

/// What the cluster's policy says about picking.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// How an endpoint is picked.
    pub balancer: Balancer,
    /// Below this share of healthy endpoints all are used, in percent.
    pub panic_threshold_pct: u8,
    /// How new endpoints are eased in.
    pub warmup: Option<Warmup>,
}

impl Rules {
    fn warmup(&self) -> Option<Warmup> {
        warmup::in_force(self.warmup, self.balancer)
    }

    fn is_hashing(&self) -> bool {
        matches!(self.balancer, Balancer::RingHash { .. } | Balancer::Maglev { .. })
    }

    /// Is any endpoint younger than the warm-up lasts, so that the view changes with time alone?
    pub fn is_warming(&self, candidates: &[Candidate], now: Instant) -> bool {
        self.warmup().is_some_and(|warmup| {
            let is_young = |one: &Candidate| warmup::factor(&warmup, one.age(now)) < warmup::SCALE;
            candidates.iter().any(is_young)
        })
    }
}

impl Candidate {
    fn age(&self, now: Instant) -> std::time::Duration {
        now.saturating_duration_since(self.host.since)
    }
}

/// What may be used now. `turn` is where round robin goes on.
pub fn assemble(candidates: &[Candidate], rules: &Rules, turn: u32, now: Instant) -> SubsetView {
    let all = candidates.iter().map(|one| Rc::clone(&one.host)).collect();
    let is_shared = candidates.iter().any(|one| matches!(one.rank, Rank::Share { .. }));
    let mut groups = match is_shared {
        true => by_share(candidates, rules),
        false => by_priority(candidates, rules),
    };
    if rules.is_warming(candidates, now)
        && let Some(warmup) = rules.warmup()
    {
        let hosts = groups.iter_mut().flat_map(|group| &mut group.hosts);
        for (host, weight) in hosts {
            let age = now.saturating_duration_since(host.since);
            *weight = weight.saturating_mul(warmup::factor(&warmup, age));
        }
    }
    SubsetView::new(all, groups, rules.balancer, turn)
}

fn health<'a>(members: impl Iterator<Item = &'a Candidate>) -> Health {
    members.fold(Health { healthy: 0, all: 0 }, |sum, one| Health {
        healthy: sum.healthy + u64::from(!one.host.is_ejected()),
        all: sum.all + 1,
    })
}

fn usable(members: &[&Candidate], is_panic: bool) -> Vec<(Rc<Host>, u32)> {
    let used = members.iter().filter(|one| is_panic || !one.host.is_ejected());
    used.map(|one| (Rc::clone(&one.host), one.weight.max(1))).collect()
}

/// One group for each priority.
fn by_priority(candidates: &[Candidate], rules: &Rules) -> Vec<Members> {
    let mut priorities: Vec<Vec<&Candidate>> = Vec::new();
    for one in candidates {
        if let Rank::Priority(number) = one.rank {
            let number = number as usize;
            priorities.resize_with(priorities.len().max(number + 1), Vec::new);
            priorities[number].push(one);
        }
    }
    let healths: Vec<_> = priorities.iter().map(|p| health(p.iter().copied())).collect();
    let loads = spill::loads(&healths, rules.panic_threshold_pct);
    let groups = priorities.iter().zip(loads);
    groups
        .map(|(members, load)| Members { hosts: usable(members, load.is_panic), share: load.share })
        .collect()
}

/// One group for each locality; a balancer that hashes gets one group, in which the shares have
/// become weights, so that a key does not move when shares do.
fn by_share(candidates: &[Candidate], rules: &Rules) -> Vec<Members> {
    let is_listed = |one: &&Candidate| one.rank != Rank::None;
    let whole = [health(candidates.iter().filter(is_listed))];
    let is_panic = spill::loads(&whole, rules.panic_threshold_pct)[0].is_panic;
    let mut localities: Vec<(u32, Vec<&Candidate>)> = Vec::new();
    for one in candidates {
        if let Rank::Share { locality, share } = one.rank {
            let number = locality as usize;
            localities.resize_with(localities.len().max(number + 1), Default::default);
            localities[number].0 = share;
            localities[number].1.push(one);
        }
    }
    let groups = localities.iter().map(|(share, members)| {
        let capacity = match is_panic {
            true => spill::WHOLE,
            false => spill::capacity(health(members.iter().copied())),
        };
        let share = u64::from(*share) * u64::from(capacity) / u64::from(spill::WHOLE);
        Members { hosts: usable(members, is_panic), share: share as u32 }
    });
    let groups: Vec<Members> = groups.collect();
    if rules.is_hashing() { vec![merged(groups)] } else { groups }
}

fn merged(groups: Vec<Members>) -> Members {
    let weighted = groups.into_iter().flat_map(|Members { hosts, share }| {
        let total: u64 = hosts.iter().map(|(_, weight)| u64::from(*weight)).sum();
        let part = move |weight| (u64::from(weight) * u64::from(share) / total.max(1)) as u32;
        hosts.into_iter().map(move |(host, weight)| (host, part(weight)))
    });
    Members { hosts: weighted.filter(|(_, weight)| *weight > 0).collect(), share: 1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const RULES: Rules =
        Rules { balancer: Balancer::RoundRobin, panic_threshold_pct: 0, warmup: None };

    /// Ranks, and whether the endpoint is ejected.
    fn candidates(of: &[(Rank, bool)]) -> Vec<Candidate> {
        let one = |(index, (rank, is_ejected)): (usize, &(Rank, bool))| {
            let host = Rc::new(Host::new(([10, 0, 0, 1], index as u16 + 1).into()));
            host.set_ejected(*is_ejected);
            Candidate { host, weight: 1, rank: *rank }
        };
        of.iter().enumerate().map(one).collect()
    }

    fn counts(candidates: &[Candidate], rules: &Rules, now: Instant) -> Vec<u32> {
        let view = assemble(candidates, rules, 0, now);
        let mut counts = vec![0; candidates.len()];
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..1_000 {
            let Some(picked) = view.pick(None, &[], &mut random) else { break };
            counts[usize::from(picked.address.port()) - 1] += 1;
        }
        counts
    }

    fn check(of: &[(Rank, bool)], panic_threshold_pct: u8, expected: &[u32]) {
        let rules = Rules { panic_threshold_pct, ..RULES };
        let found = counts(&candidates(of), &rules, Instant::now());
        let is_near = |(found, expected): (&u32, &u32)| found.abs_diff(*expected) <= 40;
        assert!(found.iter().zip(expected).all(is_near), "{of:?}: {found:?}");
        assert!(found.iter().zip(expected).all(|(f, e)| (*f == 0) == (*e == 0)), "{found:?}");
    }

    #[test]
    fn ejected_endpoints_get_nothing_and_the_next_priority_steps_in() {
        use Rank::Priority;
        let (near, far) = (Priority(0), Priority(1));
        check(&[(near, false), (near, true)], 0, &[1_000, 0]);
        check(&[(near, true), (near, true)], 0, &[0, 0]);
        check(&[(near, false), (near, false), (far, false)], 0, &[500, 500, 0]);
        check(&[(near, false), (near, true), (far, false)], 0, &[700, 0, 300]);
        check(&[(near, true), (far, false), (far, false)], 0, &[0, 500, 500]);
        check(&[(near, false), (near, true), (near, true)], 50, &[333, 333, 333]);
    }

    #[test]
    fn shares_hold_until_a_locality_is_ill() {
        let share = |locality, share| Rank::Share { locality, share };
        let (a, b) = (share(0, 800_000), share(1, 200_000));
        check(&[(a, false), (a, false), (b, false), (Rank::None, false)], 0, &[400, 400, 200, 0]);
        check(&[(a, true), (a, true), (b, false)], 0, &[0, 0, 1_000]);
        // 0.8 * 0.7 to 0.2
        check(&[(a, false), (a, true), (b, false)], 0, &[737, 0, 263]);
    }

    #[test]
    fn keys_follow_shares_as_weights() {
        let share = |locality, share| (Rank::Share { locality, share }, false);
        let candidates = candidates(&[share(0, 900_000), share(1, 100_000)]);
        let rules = Rules { balancer: Balancer::Maglev { table_size: 65_537 }, ..RULES };
        let view = assemble(&candidates, &rules, 0, Instant::now());
        let mut random = fastrand::Rng::with_seed(1);
        let first = (0..1_000).filter(|number| {
            let key = super::super::hash::spread(*number);
            view.pick(Some(key), &[], &mut random).unwrap().address.port() == 1
        });
        let first = first.count();
        assert!((870..930).contains(&first), "{first}");
    }

    #[test]
    fn a_new_endpoint_is_eased_in_and_is_whole_in_the_end() {
        let warmup = Warmup { duration_ms: 10_000, minimum_pct: 10, aggression_thousandths: 1_000 };
        let rules = Rules { warmup: Some(warmup), ..RULES };
        let mut candidates = candidates(&[(Rank::Priority(0), false); 2]);
        let now = Instant::now() + Duration::from_secs(60);
        let mut young = Host::new(([10, 0, 0, 1], 2).into());
        young.since = now;
        candidates[1].host = Rc::new(young);
        for (after_secs, expected, is_warming) in [(0, 91, true), (5, 333, true), (10, 500, false)]
        {
            let now = now + Duration::from_secs(after_secs);
            let found = counts(&candidates, &rules, now)[1];
            assert!(found.abs_diff(expected) <= 15, "{found} after {after_secs} s");
            assert_eq!(rules.is_warming(&candidates, now), is_warming);
        }
    }
}
