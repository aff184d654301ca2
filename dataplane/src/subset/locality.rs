//! Which endpoints come first by where they are (Istio contract 3.3, `localityLbSetting`). Pure.

use std::collections::BTreeMap;

use fairway_shared::snapshot::cluster::{Endpoint, LocalityPolicy, LocalityShare};

/// Where an endpoint stands among the others of its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// 0 is used first; without gaps.
    Priority(u32),
    /// A locality with a fixed share of the traffic; relative to the others.
    Share {
        /// Number of the locality.
        locality: u32,
        /// Its share.
        share: u32,
    },
    /// Gets nothing.
    None,
}

impl Rank {
    /// For people; localities with shares are all of the first.
    pub fn priority(self) -> u32 {
        match self {
            Self::Priority(number) => number,
            Self::Share { .. } | Self::None => 0,
        }
    }
}

/// One rank for each endpoint, in order.
pub fn ranks(policy: &LocalityPolicy, endpoints: &[&Endpoint]) -> Vec<Rank> {
    let distances: Vec<u32> = match policy {
        LocalityPolicy::Flat => return vec![Rank::Priority(0); endpoints.len()],
        LocalityPolicy::Distribute { shares } => return distribute(shares, endpoints),
        LocalityPolicy::Failover { own, .. } if own.is_empty() => vec![0; endpoints.len()],
        LocalityPolicy::Failover { own, region } => {
            endpoints.iter().map(|e| distance(own, region.as_deref(), &e.locality)).collect()
        }
        LocalityPolicy::FailoverByLabels { labels } => endpoints
            .iter()
            .map(|endpoint| {
                let is_equal =
                    |(name, value): &&(String, String)| endpoint.labels.get(name) == Some(value);
                (labels.len() - labels.iter().take_while(is_equal).count()) as u32
            })
            .collect(),
    };
    // Distances that no endpoint has leave no gap.
    let mut known: Vec<u32> = distances.clone();
    known.sort_unstable();
    known.dedup();
    let priority = |distance: &u32| known.partition_point(|one| one < distance) as u32;
    distances.iter().map(|distance| Rank::Priority(priority(distance))).collect()
}

/// 0 same subzone, 1 same zone, 2 same region, 3 the named region, 4 the rest.
fn distance(own: &str, named_region: Option<&str>, locality: &str) -> u32 {
    let (own, other) = (parts(own), parts(locality));
    match own.iter().zip(&other).take_while(|(own, other)| own == other).count() {
        3 => 0,
        2 => 1,
        1 => 2,
        _ if named_region == Some(other[0]) => 3,
        _ => 4,
    }
}

/// Region, zone, subzone; what is missing is empty.
fn parts(locality: &str) -> [&str; 3] {
    let mut parts = locality.splitn(3, '/');
    [(); 3].map(|()| parts.next().unwrap_or_default())
}

/// A share that covers several localities is divided between them by the weights of their
/// endpoints.
fn distribute(shares: &[LocalityShare], endpoints: &[&Endpoint]) -> Vec<Rank> {
    let share_of = |endpoint: &Endpoint| {
        shares.iter().position(|share| covers(&share.locality, &endpoint.locality))
    };
    // Locality -> its number and weight; and the weight below each share.
    let mut localities: BTreeMap<&str, (u32, u64)> = BTreeMap::new();
    let mut totals = vec![0_u64; shares.len()];
    for endpoint in endpoints {
        let Some(share) = share_of(endpoint) else { continue };
        let number = localities.len() as u32;
        let (_, weight) = localities.entry(&endpoint.locality).or_insert((number, 0));
        *weight += u64::from(endpoint.weight);
        totals[share] += u64::from(endpoint.weight);
    }
    let rank = |endpoint: &&Endpoint| {
        let share = share_of(endpoint)?;
        let (locality, weight) = *localities.get(endpoint.locality.as_str())?;
        // In ten-thousandths of a percent, so that small localities of a share do not vanish.
        let scaled = u64::from(shares[share].percent) * 10_000 * weight / totals[share].max(1);
        Some(Rank::Share { locality, share: scaled as u32 }).filter(|_| scaled > 0)
    };
    endpoints.iter().map(|endpoint| rank(endpoint).unwrap_or(Rank::None)).collect()
}

/// `region/zone/*` covers its subzones, `region` all of a region, `*` everything.
fn covers(pattern: &str, locality: &str) -> bool {
    let mut places = locality.split('/');
    pattern.split('/').all(|part| part == "*" || places.next() == Some(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(locality: &str, labels: &[(&str, &str)], weight: u32) -> Endpoint {
        let label = |(name, value): &(&str, &str)| (name.to_string(), value.to_string());
        Endpoint {
            address: ([10, 0, 0, 1], 1).into(),
            weight,
            labels: labels.iter().map(label).collect(),
            locality: locality.into(),
        }
    }

    fn priorities(policy: &LocalityPolicy, endpoints: &[Endpoint]) -> Vec<u32> {
        let endpoints: Vec<_> = endpoints.iter().collect();
        let number = |rank: &Rank| match rank {
            Rank::Priority(number) => *number,
            other => panic!("{other:?}"),
        };
        ranks(policy, &endpoints).iter().map(number).collect()
    }

    fn at(localities: &[&str]) -> Vec<Endpoint> {
        localities.iter().map(|locality| endpoint(locality, &[], 1)).collect()
    }

    #[test]
    fn nearer_endpoints_come_first_without_gaps() {
        let failover = |own: &str, region: Option<&str>| LocalityPolicy::Failover {
            own: own.into(),
            region: region.map(str::to_owned),
        };
        let all = ["r1/z1/s1", "r1/z1/s2", "r1/z2/s1", "r2/z1/s1", "r3/z1/s1", ""];
        for (policy, localities, expected) in [
            (failover("r1/z1/s1", None), &all[..], &[0, 1, 2, 3, 3, 3][..]),
            (failover("r1/z1/s1", Some("r3")), &all, &[0, 1, 2, 4, 3, 4]),
            (failover("r1/z1/s1", None), &["r1/z2", "r9"], &[0, 1]),
            (failover("r1/z1", None), &["r1/z1", "r1/z1/s1"], &[0, 1]),
            (failover("", None), &["r1/z2", "r9"], &[0, 0]),
            (LocalityPolicy::Flat, &["r1/z2", "r9"], &[0, 0]),
        ] {
            assert_eq!(priorities(&policy, &at(localities)), expected, "{policy:?} {localities:?}");
        }
    }

    #[test]
    fn more_leading_labels_equal_come_first() {
        let labels = ["net", "zone"].map(|name| (name.to_owned(), "1".to_owned())).to_vec();
        let policy = LocalityPolicy::FailoverByLabels { labels };
        let endpoints = [
            endpoint("", &[("net", "1"), ("zone", "1")], 1),
            endpoint("", &[("net", "1"), ("zone", "2")], 1),
            endpoint("", &[("net", "2"), ("zone", "1")], 1),
            endpoint("", &[], 1),
        ];
        assert_eq!(priorities(&policy, &endpoints), [0, 1, 2, 2]);
    }

    #[test]
    fn shares_are_divided_by_weight_and_the_unlisted_get_nothing() {
        let shares = [("r1/z1/*", 80), ("r1/*", 20)]
            .map(|(locality, percent)| LocalityShare { locality: locality.into(), percent });
        let policy = LocalityPolicy::Distribute { shares: shares.to_vec() };
        let endpoints = [
            endpoint("r1/z1/s1", &[], 1),
            endpoint("r1/z1/s2", &[], 3),
            endpoint("r1/z2/s1", &[], 5),
            endpoint("r2/z1/s1", &[], 1),
        ];
        let found = ranks(&policy, &endpoints.iter().collect::<Vec<_>>());
        let share = |locality, share| Rank::Share { locality, share };
        assert_eq!(found, [share(0, 200_000), share(1, 600_000), share(2, 200_000), Rank::None]);
    }

    #[test]
    fn patterns_cover_what_lies_below() {
        for (pattern, locality, expected) in [
            ("*", "", true),
            ("r1", "r1/z1", true),
            ("r1/*", "r1/z1/s1", true),
            ("r1/z1", "r1/z2", false),
            ("r1/z1/s1", "r1/z1", false),
            ("r1/z1/*", "r1/z1", true),
        ] {
            assert_eq!(covers(pattern, locality), expected, "{pattern} {locality}");
        }
    }
}
