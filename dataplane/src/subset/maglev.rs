//! A Maglev table: every host fills slots in an order of its own, in turn, until none is free; a
//! key's slot says its host (Istio contract 3.3, `maglev`). Built when the endpoints change.

use std::net::SocketAddr;

use super::hash;

/// Salts that make two independent hashes of one address.
const OFFSET_SALT: u64 = 1;
const SKIP_SALT: u64 = 2;
/// No host yet.
const FREE: u32 = u32::MAX;

/// Slots, each with the number of its host.
#[derive(Debug)]
pub struct Maglev {
    slots: Box<[u32]>,
}

/// The order in which one host asks for slots.
struct Claims {
    next: u64,
    skip: u64,
    weight: f64,
    /// Turns the host has had, in units of the heaviest host's turns.
    credit: f64,
}

impl Maglev {
    /// `size` is a prime, so that every host's order reaches every slot; another number takes the
    /// default's place. Hosts without weight get nothing.
    pub fn new(hosts: &[(SocketAddr, u32)], size: u32) -> Self {
        let size = if is_prime(size) { size } else { 65_537 };
        let modulus = u64::from(size);
        let claims = |(address, weight): &(SocketAddr, u32)| Claims {
            next: hash::of_address(*address, OFFSET_SALT) % modulus,
            skip: hash::of_address(*address, SKIP_SALT) % (modulus - 1) + 1,
            weight: f64::from(*weight),
            credit: 0.0,
        };
        let mut claims: Vec<Claims> = hosts.iter().map(claims).collect();
        let heaviest = claims.iter().map(|host| host.weight).fold(0.0, f64::max);
        let mut slots = vec![FREE; size as usize];
        let mut free = if heaviest > 0.0 { slots.len() } else { 0 };
        while free > 0 {
            for (number, host) in claims.iter_mut().enumerate() {
                host.credit += host.weight / heaviest;
                if host.credit >= 1.0 && free > 0 {
                    host.credit -= 1.0;
                    host.claim(&mut slots, number as u32);
                    free -= 1;
                }
            }
        }
        Self { slots: slots.into() }
    }

    /// The host of a key; further attempts go to other slots.
    pub fn host(&self, key: u64, attempt: usize) -> usize {
        let key = if attempt == 0 { key } else { hash::spread(key ^ attempt as u64) };
        match self.slots.get((key % self.slots.len().max(1) as u64) as usize) {
            None | Some(&FREE) => 0,
            Some(host) => *host as usize,
        }
    }
}

impl Claims {
    /// Takes the host's next slot that is free; there is one.
    fn claim(&mut self, slots: &mut [u32], number: u32) {
        let size = slots.len() as u64;
        loop {
            let slot = self.next as usize;
            self.next = (self.next + self.skip) % size;
            if slots[slot] == FREE {
                slots[slot] = number;
                return;
            }
        }
    }
}

fn is_prime(number: u32) -> bool {
    let divides = |divisor: u32| number.is_multiple_of(divisor);
    number >= 2 && (2..).take_while(|d| d * d <= number).all(|divisor| !divides(divisor))
}
