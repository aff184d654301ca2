//! A ring of points: each host owns the arcs that end in its points, and a key belongs to the
//! host of the next point (Istio contract 3.3, `ringHash`). Built when the endpoints change.

use std::net::SocketAddr;

use super::hash;

/// Most points on a ring, unless more are asked for: 8 MiB.
const POINTS_MAX: u32 = 512 * 1024;

/// Sorted points, each with the number of its host.
#[derive(Debug)]
pub struct Ring {
    points: Box<[(u64, u32)]>,
}

impl Ring {
    /// The lightest host gets `points_min` points, the others in proportion to their weights, so
    /// that a host's points do not depend on how many others there are: those of the hosts that
    /// stay never move. Only where the ring would grow too large does each get fewer. Hosts
    /// without weight get none.
    pub fn new(hosts: &[(SocketAddr, u32)], points_min: u32) -> Self {
        let total: f64 = hosts.iter().map(|(_, weight)| f64::from(*weight)).sum();
        let lightest = hosts.iter().map(|(_, weight)| *weight).filter(|weight| *weight > 0).min();
        let lightest = f64::from(lightest.unwrap_or(1));
        let points_max = f64::from(POINTS_MAX.max(points_min));
        let points = f64::from(points_min.max(1)).min(points_max * lightest / total);
        let mut placed = Vec::new();
        for (number, (address, weight)) in hosts.iter().enumerate() {
            let own = (points * f64::from(*weight) / lightest).round() as u64;
            let point = |salt| (hash::of_address(*address, salt), number as u32);
            placed.extend((0..own.max(u64::from(*weight > 0))).map(point));
        }
        placed.sort_unstable();
        Self { points: placed.into() }
    }

    /// The host of a key; `attempt` counts the points to go past it.
    pub fn host(&self, key: u64, attempt: usize) -> usize {
        let count = self.points.len();
        let next = self.points.partition_point(|(point, _)| *point < key);
        match count {
            0 => 0,
            _ => self.points[(next + attempt) % count].1 as usize,
        }
    }
}
