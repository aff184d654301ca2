//! A DNS server of a few lines: answers A questions as told, over UDP on a port from the kernel.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// Bytes in front of the question (RFC 1035 4.1.1).
const HEADER_BYTES: usize = 12;
const TYPE_A: u16 = 1;

/// What is answered for one name.
#[derive(Debug, Clone)]
pub enum Zone {
    /// These addresses, for that many seconds.
    Addresses(Vec<Ipv4Addr>, u32),
    /// The server says that it cannot.
    Failure,
}

/// See the module. Stops when dropped. Names that it was not told of do not exist.
#[derive(Debug)]
pub struct DnsServer {
    address: SocketAddr,
    zones: Arc<Mutex<Zones>>,
    answering: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Zones {
    by_name: HashMap<String, Zone>,
    asked: HashMap<String, u32>,
}

impl DnsServer {
    /// Starts on a free port of loopback.
    ///
    /// # Panics
    /// If there is none.
    pub async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
        let address = socket.local_addr().expect("a bound socket has an address");
        let zones = Arc::<Mutex<Zones>>::default();
        let shared = Arc::clone(&zones);
        let answering = tokio::spawn(async move {
            let mut question = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut question).await {
                let answer = answer(&question[..length], &mut lock(&shared));
                if let Some(answer) = answer {
                    let _ = socket.send_to(&answer, from).await;
                }
            }
        });
        Self { address, zones, answering }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What a name is answered with from now on.
    pub fn tell(&self, name: &str, zone: Zone) {
        lock(&self.zones).by_name.insert(name.to_owned(), zone);
    }

    /// How often a name's IPv4 addresses were asked for.
    pub fn asked(&self, name: &str) -> u32 {
        lock(&self.zones).asked.get(name).copied().unwrap_or(0)
    }
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        self.answering.abort();
    }
}

fn lock(zones: &Mutex<Zones>) -> MutexGuard<'_, Zones> {
    zones.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One question in, one message out; `None` for what is no question.
fn answer(message: &[u8], zones: &mut Zones) -> Option<Vec<u8>> {
    let (name, end) = name_at(message, HEADER_BYTES)?;
    let kind = u16::from_be_bytes(message.get(end..end + 2)?.try_into().ok()?);
    let question = message.get(HEADER_BYTES..end + 4)?;
    if kind == TYPE_A {
        *zones.asked.entry(name.clone()).or_default() += 1;
    }
    let nothing = (Vec::new(), 0);
    let (code, (addresses, ttl)) = match zones.by_name.get(&name) {
        None => (3_u8, nothing),
        Some(Zone::Failure) => (2, nothing),
        Some(Zone::Addresses(addresses, ttl)) if kind == TYPE_A => (0, (addresses.clone(), *ttl)),
        Some(Zone::Addresses(..)) => (0, nothing),
    };
    let count = u8::try_from(addresses.len()).ok()?;
    // A response to a standard question, recursion available; one question, so many answers.
    let mut reply = message.get(..2)?.to_vec();
    reply.extend([0x81, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0]);
    reply.extend(question);
    for address in addresses {
        // The name of the question, type A, class IN.
        reply.extend([0xc0, HEADER_BYTES as u8, 0, 1, 0, 1]);
        reply.extend(ttl.to_be_bytes());
        reply.extend([0, 4]);
        reply.extend(address.octets());
    }
    Some(reply)
}

/// The name that begins at `at`, in lower case, and where what follows begins.
fn name_at(message: &[u8], mut at: usize) -> Option<(String, usize)> {
    let mut labels = Vec::new();
    loop {
        let length = usize::from(*message.get(at)?);
        let label = message.get(at + 1..at + 1 + length)?;
        at += 1 + length;
        if length == 0 {
            return Some((labels.join("."), at));
        }
        labels.push(String::from_utf8_lossy(label).to_lowercase());
    }
}
