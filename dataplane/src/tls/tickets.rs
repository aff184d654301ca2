//! Session tickets that every worker can read: sealed with keys that all derive alike from one
//! secret of the supervisor's, anew for each period.
//!
//! Keys also depend on what the ticket is bound to: the chain and its demands on clients. A
//! ticket of one chain is noise to every other, so resumption cannot pass by a client-certificate
//! check, nor survive a change of it.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use ring::rand::{SecureRandom, SystemRandom};
use rustls::server::ProducesTickets;

/// How long a key seals, in seconds. It opens for another period after that.
const PERIOD_SECS: u64 = 6 * 3600;
/// Bytes of the period's number in front of a ticket.
const PERIOD_BYTES: usize = 8;
/// Separates these keys from any others that may derive from the same secret.
const PURPOSE: &[u8] = b"fairway session ticket 1";

/// What all tickets derive from.
#[derive(Clone)]
pub struct TicketSecret(Arc<Salt>);

impl TicketSecret {
    /// `secret` must be random, and the same in all workers.
    pub fn new(secret: &[u8; 32]) -> Self {
        Self(Arc::new(Salt::new(HKDF_SHA256, secret)))
    }

    /// Tickets that only the chain with this binding can use.
    pub fn bound_to(&self, binding: [u8; 32]) -> Arc<dyn ProducesTickets> {
        Arc::new(Tickets { secret: self.clone(), binding, random: SystemRandom::new() })
    }
}

impl std::fmt::Debug for TicketSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TicketSecret")
    }
}

#[derive(Debug)]
struct Tickets {
    secret: TicketSecret,
    binding: [u8; 32],
    random: SystemRandom,
}

impl Tickets {
    fn key(&self, period: u64) -> Option<LessSafeKey> {
        let info = [PURPOSE, &self.binding, &period.to_be_bytes()];
        let derived = self.secret.0.extract(&[]);
        let derived = derived.expand(&info, &AES_256_GCM).ok()?;
        Some(LessSafeKey::new(UnboundKey::from(derived)))
    }

    /// Layout: period, nonce, sealed bytes with their tag.
    fn seal(&self, plain: &[u8], period: u64) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).ok()?;
        let mut sealed = plain.to_vec();
        let once = Nonce::assume_unique_for_key(nonce);
        self.key(period)?.seal_in_place_append_tag(once, Aad::empty(), &mut sealed).ok()?;
        Some([&period.to_be_bytes(), &nonce[..], &sealed].concat())
    }

    fn open(&self, ticket: &[u8], now: u64) -> Option<Vec<u8>> {
        let (period, rest) = ticket.split_first_chunk::<PERIOD_BYTES>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let period = u64::from_be_bytes(*period);
        if !(now.saturating_sub(1)..=now).contains(&period) {
            return None;
        }
        let mut sealed = sealed.to_vec();
        let once = Nonce::assume_unique_for_key(*nonce);
        let plain = self.key(period)?.open_in_place(once, Aad::empty(), &mut sealed).ok()?.len();
        sealed.truncate(plain);
        Some(sealed)
    }
}

fn current_period() -> u64 {
    // A clock before 1970 costs resumption, nothing else.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.as_secs() / PERIOD_SECS
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        PERIOD_SECS as u32
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.seal(plain, current_period())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.open(ticket, current_period())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tickets(secret: u8, binding: u8) -> Tickets {
        let secret = TicketSecret::new(&[secret; 32]);
        Tickets { secret, binding: [binding; 32], random: SystemRandom::new() }
    }

    #[test]
    fn another_worker_opens_a_ticket_for_this_period_and_the_next() {
        let ticket = tickets(1, 1).seal(b"session", 7).unwrap();
        for (now, opens) in [(6, false), (7, true), (8, true), (9, false), (0, false)] {
            let opened = tickets(1, 1).open(&ticket, now);
            assert_eq!(opened, opens.then(|| b"session".to_vec()), "in period {now}");
        }
    }

    #[test]
    fn another_chain_or_gateway_cannot_open_it() {
        let ticket = tickets(1, 1).seal(b"session", 7).unwrap();
        assert_eq!(tickets(1, 2).open(&ticket, 7), None);
        assert_eq!(tickets(2, 1).open(&ticket, 7), None);
    }

    #[test]
    fn a_damaged_ticket_is_no_ticket() {
        let ticket = tickets(1, 1).seal(b"session", 7).unwrap();
        for cut in 0..ticket.len() {
            assert_eq!(tickets(1, 1).open(&ticket[..cut], 7), None, "cut at {cut}");
        }
        for at in 0..ticket.len() {
            let mut bad = ticket.clone();
            bad[at] ^= 1;
            assert_eq!(tickets(1, 1).open(&bad, 7), None, "flipped at {at}");
        }
    }
}
