use super::*;
use crate::subset::host::Busy;
use nix::time::ClockId;
use proptest::prelude::*;
use std::time::Duration;

const RING: Balancer = Balancer::RingHash { ring_size_min: 1024 };
const MAGLEV: Balancer = Balancer::Maglev { table_size: 65_537 };

fn hosts(weights: &[u32]) -> Vec<(Rc<Host>, u32)> {
    let address = |index: usize| ([10, 0, (index >> 8) as u8, index as u8], 8080).into();
    weights.iter().enumerate().map(|(i, w)| (Rc::new(Host::new(address(i))), *w)).collect()
}

fn flat(hosts: Vec<(Rc<Host>, u32)>, balancer: Balancer, turn: u32) -> SubsetView {
    let all = hosts.iter().map(|(host, _)| Rc::clone(host)).collect();
    SubsetView::new(all, vec![Members { hosts, share: 1 }], balancer, turn)
}

/// How often each host is picked; the key of a pick is its number's hash.
fn counts(view: &SubsetView, picks: u64, seed: u64, has_key: bool) -> Vec<u64> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut counts = vec![0; view.hosts().len()];
    for number in 0..picks {
        let key = has_key.then(|| hash::of_bytes(&number.to_le_bytes()));
        let picked = view.pick(key, &[], &mut random).unwrap();
        counts[view.hosts().iter().position(|host| Rc::ptr_eq(host, picked)).unwrap()] += 1;
    }
    counts
}

/// Pearson's statistic of counts against shares.
fn chi_square(counts: &[u64], weights: &[u32]) -> f64 {
    let picks: u64 = counts.iter().sum();
    let total: u32 = weights.iter().sum();
    let terms = counts.iter().zip(weights).map(|(count, weight)| {
        let expected = picks as f64 * f64::from(*weight) / f64::from(total);
        (*count as f64 - expected).powi(2) / expected
    });
    terms.sum()
}

#[test]
fn picks_by_chance_follow_the_weights() {
    // The 99.9 % quantile of chi-square with 9 degrees of freedom is 27.9.
    let even = [1; 10];
    let uneven = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
    for balancer in [Balancer::Random, Balancer::LeastRequest, RING, MAGLEV] {
        for (seed, weights) in [(1, even), (2, uneven), (3, even), (4, uneven)] {
            let view = flat(hosts(&weights), balancer, 0);
            let statistic = chi_square(&counts(&view, 20_000, seed, false), &weights);
            assert!(statistic < 27.9, "{balancer:?} {weights:?}: {statistic}");
        }
    }
}

#[test]
fn round_robin_is_exactly_even_and_follows_weights() {
    let even = flat(hosts(&[1, 1, 1]), Balancer::RoundRobin, 5);
    assert_eq!(counts(&even, 300, 0, false), [100, 100, 100]);
    let weighted = counts(&flat(hosts(&[3, 1]), Balancer::RoundRobin, 5), 400, 0, false);
    assert!(weighted[0].abs_diff(300) <= 2, "{weighted:?}");
}

#[test]
fn workers_that_share_nothing_are_even_together() {
    let mut starts = fastrand::Rng::with_seed(11);
    let mut together = vec![0; 7];
    for _ in 0..64 {
        // Five picks each: no worker goes round once.
        let view = flat(hosts(&[1; 7]), Balancer::RoundRobin, starts.u32(..));
        let own = counts(&view, 5, 0, false);
        together.iter_mut().zip(own).for_each(|(sum, count)| *sum += count);
    }
    // 99.9 % with 6 degrees of freedom: 22.5.
    let statistic = chi_square(&together, &[1; 7]);
    assert!(statistic < 22.5, "{together:?}: {statistic}");
}

#[test]
fn least_request_avoids_the_busy_host_per_weight() {
    let even = hosts(&[1, 1, 1]);
    let _load: Vec<Busy> = (0..10).map(|_| Busy::new(Rc::clone(&even[0].0))).collect();
    assert_eq!(counts(&flat(even, Balancer::LeastRequest, 0), 300, 7, false)[0], 0);
    let uneven = hosts(&[1, 9]);
    let _load: Vec<Busy> = [0, 1, 1, 1, 1].map(|i| Busy::new(Rc::clone(&uneven[i].0))).into();
    let counts = counts(&flat(uneven, Balancer::LeastRequest, 0), 300, 7, false);
    assert!(counts[0] < 10, "the light host is the busier one: {counts:?}");
}

#[test]
fn keys_spread_over_hosts_in_proportion() {
    for (balancer, tolerance) in [(RING, 0.35), (MAGLEV, 0.05)] {
        let weights = [1, 1, 2, 4];
        let counts = counts(&flat(hosts(&weights), balancer, 0), 80_000, 0, true);
        for (count, weight) in counts.iter().zip(weights) {
            let expected = 10_000.0 * f64::from(weight);
            let off = (*count as f64 - expected).abs() / expected;
            assert!(off < tolerance, "{balancer:?}: {counts:?}");
        }
    }
}

#[test]
fn removing_one_host_of_ten_moves_few_keys() {
    for balancer in [RING, MAGLEV] {
        let ten = hosts(&[1; 10]);
        for gone in 0..10 {
            let mut nine = ten.clone();
            nine.remove(gone);
            let (before, after) = (flat(ten.clone(), balancer, 0), flat(nine, balancer, 0));
            let mut random = fastrand::Rng::with_seed(0);
            let moved = (0..10_000_u32).filter(|number| {
                let key = Some(hash::of_bytes(&number.to_le_bytes()));
                let before = before.pick(key, &[], &mut random).unwrap();
                !Rc::ptr_eq(before, after.pick(key, &[], &mut random).unwrap())
            });
            let moved = moved.count();
            assert!((500..=1500).contains(&moved), "{balancer:?} without {gone}: {moved}");
        }
    }
}

#[test]
fn a_key_has_one_host_and_a_retry_another() {
    for balancer in [RING, MAGLEV] {
        let view = flat(hosts(&[1; 10]), balancer, 0);
        let mut random = fastrand::Rng::with_seed(3);
        for number in 0..200_u32 {
            let key = Some(hash::of_bytes(&number.to_le_bytes()));
            let first = Rc::clone(view.pick(key, &[], &mut random).unwrap());
            assert!(Rc::ptr_eq(&first, view.pick(key, &[], &mut random).unwrap()));
            let tried = [Rc::clone(&first)];
            let second = Rc::clone(view.pick(key, &tried, &mut random).unwrap());
            assert!(Rc::ptr_eq(&second, view.pick(key, &tried, &mut random).unwrap()));
        }
    }
}

#[test]
fn a_host_that_was_tried_is_avoided_while_there_is_another() {
    let view = flat(hosts(&[1, 1]), Balancer::RoundRobin, 0);
    let tried = [Rc::clone(&view.hosts()[0])];
    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..20 {
        assert!(!Rc::ptr_eq(view.pick(None, &tried, &mut random).unwrap(), &tried[0]));
    }
    let alone = flat(vec![(Rc::clone(&tried[0]), 1)], Balancer::RoundRobin, 0);
    assert!(alone.pick(None, &tried, &mut random).is_some());
}

#[test]
fn groups_get_their_shares_and_a_key_stays_in_its_group() {
    let members = |range: std::ops::Range<usize>, share| Members {
        hosts: hosts(&[1; 6])[range].to_vec(),
        share,
    };
    for (has_key, balancer) in [(false, Balancer::LeastRequest), (true, RING)] {
        let groups = vec![members(0..2, 80), members(2..4, 20), members(4..6, 0)];
        let all: Vec<_> =
            groups.iter().flat_map(|g| g.hosts.iter().map(|(h, _)| Rc::clone(h))).collect();
        let counts = counts(&SubsetView::new(all, groups, balancer, 0), 20_000, 5, has_key);
        let (first, second) = (counts[0] + counts[1], counts[2] + counts[3]);
        assert!(first.abs_diff(16_000) < 400 && second.abs_diff(4_000) < 400, "{counts:?}");
        assert_eq!(counts[4] + counts[5], 0);
    }
    let none = SubsetView::new(vec![], vec![], Balancer::Random, 0);
    assert!(none.pick(None, &[], &mut fastrand::Rng::with_seed(0)).is_none());
}

#[test]
fn a_pick_among_five_thousand_hosts_looks_at_a_few() {
    // This thread's own time: what else the machine does is not in it.
    let used = || Duration::from(ClockId::CLOCK_THREAD_CPUTIME_ID.now().unwrap());
    let cost = |balancer, count: usize| {
        let view = flat(hosts(&vec![1; count]), balancer, 0);
        let mut random = fastrand::Rng::with_seed(0);
        let begun = used();
        for number in 0..20_000_u64 {
            view.pick(Some(hash::spread(number)), &[], &mut random).unwrap();
        }
        used() - begun
    };
    for balancer in [Balancer::Random, Balancer::RoundRobin, Balancer::LeastRequest, RING, MAGLEV] {
        let (few, many) = (cost(balancer, 50), cost(balancer, 5_000));
        assert!(many < few * 10, "{balancer:?}: {few:?} for 50, {many:?} for 5,000");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_host_with_weight_owns_keys(count in 1_usize..40, seed: u64) {
        for balancer in [RING, Balancer::Maglev { table_size: 2_053 }] {
            let view = flat(hosts(&vec![3; count]), balancer, 0);
            let mut seen = std::collections::BTreeSet::new();
            for number in 0..6_000 {
                let key = Some(hash::spread(seed ^ number));
                let picked = view.pick(key, &[], &mut fastrand::Rng::with_seed(seed)).unwrap();
                seen.insert(picked.address);
            }
            prop_assert_eq!(seen.len(), count);
        }
    }
}

#[test]
fn elsewhere_is_where_nothing_was_tried_or_else_another_host() {
    let (near, far) = (hosts(&[1, 1]), hosts(&[1]));
    let all: Vec<_> = near.iter().chain(&far).map(|(host, _)| Rc::clone(host)).collect();
    let groups = [(near, 1), (far, 0)].map(|(hosts, share)| Members { hosts, share });
    let view = SubsetView::new(all.clone(), groups.into(), Balancer::Random, 0);
    let mut random = fastrand::Rng::with_seed(1);
    let mut pick = |tried: &[usize]| {
        let tried: Vec<_> = tried.iter().map(|index| Rc::clone(&all[*index])).collect();
        let picked = view.pick_elsewhere(None, &tried, &mut random).unwrap();
        all.iter().position(|host| Rc::ptr_eq(host, picked)).unwrap()
    };
    for (tried, expected) in [(&[0][..], 2), (&[1], 2), (&[0, 2], 1), (&[1, 2], 0)] {
        assert_eq!(pick(tried), expected, "{tried:?}");
    }
}
