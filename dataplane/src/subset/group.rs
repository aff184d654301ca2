//! Hosts that are equal but for their weights, and the picks among them (Istio contract 3.3).
//! Pure but for the turn of round robin; chance comes from the caller.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;

use fairway_shared::snapshot::cluster::Balancer;

use super::host::Host;
use super::maglev::Maglev;
use super::ring::Ring;
use crate::route::weights::Weights;

/// See the module. Never empty.
#[derive(Debug)]
pub struct Group {
    hosts: Box<[Rc<Host>]>,
    weights: Box<[u32]>,
    places: Weights,
    is_even: bool,
    picker: Picker,
    turn: Cell<u32>,
}

#[derive(Debug)]
enum Picker {
    Random,
    RoundRobin,
    LeastRequest,
    Ring(Ring),
    Maglev(Maglev),
}

impl Group {
    /// `turn` is where round robin begins.
    pub fn new(members: Vec<(Rc<Host>, u32)>, balancer: Balancer, turn: u32) -> Self {
        debug_assert!(!members.is_empty(), "a group without hosts cannot pick");
        let (hosts, weights): (Vec<_>, Vec<_>) = members.into_iter().unzip();
        let weighted = || -> Vec<(SocketAddr, u32)> {
            hosts.iter().zip(&weights).map(|(host, weight)| (host.address, *weight)).collect()
        };
        let picker = match balancer {
            Balancer::Random => Picker::Random,
            Balancer::RoundRobin => Picker::RoundRobin,
            Balancer::LeastRequest => Picker::LeastRequest,
            Balancer::RingHash { ring_size_min } => {
                Picker::Ring(Ring::new(&weighted(), ring_size_min))
            }
            Balancer::Maglev { table_size } => Picker::Maglev(Maglev::new(&weighted(), table_size)),
        };
        Self {
            places: Weights::new(weights.iter().copied()),
            is_even: weights.windows(2).all(|pair| pair[0] == pair[1]),
            hosts: hosts.into(),
            weights: weights.into(),
            picker,
            turn: Cell::new(turn),
        }
    }

    /// All of them.
    pub fn hosts(&self) -> impl Iterator<Item = &Rc<Host>> {
        self.hosts.iter()
    }

    /// Where the next round robin would go on.
    pub fn turn(&self) -> u32 {
        self.turn.get()
    }

    /// The next host. With a key and a balancer that hashes always the same one, and another for
    /// each further `attempt`.
    pub fn draw(&self, key: Option<u64>, attempt: usize, random: &mut fastrand::Rng) -> &Rc<Host> {
        let index = match (&self.picker, key) {
            _ if self.hosts.len() == 1 => 0,
            (Picker::Ring(ring), Some(key)) => ring.host(key, attempt),
            (Picker::Maglev(table), Some(key)) => table.host(key, attempt),
            (Picker::RoundRobin, _) => self.next_turn(),
            (Picker::LeastRequest, _) => self.less_busy(random),
            // Without a key every host is as good as any other.
            (Picker::Random | Picker::Ring(_) | Picker::Maglev(_), _) => self.any(random),
        };
        &self.hosts[index]
    }

    /// By chance, in proportion to the weights.
    fn any(&self, random: &mut fastrand::Rng) -> usize {
        match self.is_even {
            true => random.usize(..self.hosts.len()),
            false => self.places.at(random.u32(..)),
        }
    }

    /// Equal weights go strictly in turn, others in proportion.
    fn next_turn(&self) -> usize {
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        if self.is_even { turn as usize % self.hosts.len() } else { self.places.choose(turn) }
    }

    /// Of two hosts drawn by chance the one with fewer requests. Weights are in the draw; a host
    /// that carries its share of the load should not be punished for it by being compared with a
    /// lighter one, so that load counts per weight.
    fn less_busy(&self, random: &mut fastrand::Rng) -> usize {
        if self.is_even {
            let first = random.usize(..self.hosts.len());
            let second = random.usize(..self.hosts.len() - 1);
            // A second host that is not the first.
            let second = if second >= first { second + 1 } else { second };
            let is_less = self.hosts[first].active() <= self.hosts[second].active();
            return if is_less { first } else { second };
        }
        let (first, second) = (self.places.at(random.u32(..)), self.places.at(random.u32(..)));
        let (load, weight) = (|i: usize| u64::from(self.hosts[i].active()), &self.weights);
        // a / wa <= b / wb without division.
        let is_less =
            load(first) * u64::from(weight[second]) <= load(second) * u64::from(weight[first]);
        if is_less { first } else { second }
    }
}
