//! The held listening sockets: one per slot and wanted address. Nobody else owns one.
//!
//! A socket is made when the slot's worker first asks, because one that listens while nobody
//! accepts would strand the connections that the kernel gives it. From then on it outlives every
//! process of the slot. It is closed when a worker says that it is done with it, or when the
//! slot's next process serves a snapshot without having asked for it.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use fairway_shared::id::WorkerSlot;

use crate::sys::socket::{ListenError, Sharing, listen_on, probe, reserve};

/// Ports tried until one is free on every address.
const RESERVE_ATTEMPTS: u32 = 16;

/// Every held socket.
#[derive(Debug, Default)]
pub struct Inventory {
    /// By the address as asked for; never an entry without a socket.
    held: BTreeMap<SocketAddr, Held>,
    /// Ports promised to listeners that may come and go; bound, but not listened on.
    reserved: BTreeMap<u16, Vec<OwnedFd>>,
}

#[derive(Debug)]
struct Held {
    /// Differs from the wanted address where that has port 0.
    bound: SocketAddr,
    sockets: BTreeMap<WorkerSlot, Socket>,
}

#[derive(Debug)]
struct Socket {
    listener: Arc<TcpListener>,
    /// By the slot's present process.
    is_asked_for: bool,
}

impl Inventory {
    /// Chooses a port that is free on all of these addresses and holds it to the end.
    ///
    /// # Errors
    /// [`ListenError`] of the last attempt.
    pub fn reserve(&mut self, hosts: &[IpAddr]) -> Result<u16, ListenError> {
        let mut attempt = reserve_on_all(hosts);
        for _ in 1..RESERVE_ATTEMPTS {
            if attempt.is_ok() {
                break;
            }
            attempt = reserve_on_all(hosts);
        }
        let (port, sockets) = attempt?;
        self.reserved.insert(port, sockets);
        Ok(port)
    }

    /// The slot's socket for an address and the address it is bound to, made if there is none.
    /// All slots share the port that the first of them got for port 0.
    ///
    /// # Errors
    /// [`ListenError`]; asking again tries again.
    pub fn grant(
        &mut self,
        slot: WorkerSlot,
        wanted: SocketAddr,
    ) -> Result<(SocketAddr, Arc<TcpListener>), ListenError> {
        if let Some(held) = self.held.get_mut(&wanted) {
            if let Some(socket) = held.sockets.get_mut(&slot) {
                socket.is_asked_for = true;
                return Ok((held.bound, Arc::clone(&socket.listener)));
            }
            let (listener, _) = listen_on(held.bound, Sharing::Shared)?;
            return Ok((held.bound, held.keep(slot, listener)));
        }
        // A socket of ours on this port, on another address, must not count as a stranger.
        if !self.holds_port(wanted.port()) {
            probe(wanted)?;
        }
        let (listener, bound) = listen_on(wanted, Sharing::Shared)?;
        let held = self.held.entry(wanted).or_insert(Held { bound, sockets: BTreeMap::new() });
        Ok((bound, held.keep(slot, listener)))
    }

    /// Closes the slot's socket for an address.
    pub fn release(&mut self, slot: WorkerSlot, wanted: SocketAddr) {
        if let Some(held) = self.held.get_mut(&wanted) {
            held.sockets.remove(&slot);
        }
        self.drop_empty();
    }

    /// The slot's sockets and the addresses that they were asked for by.
    pub fn sockets_of(&self, slot: WorkerSlot) -> Vec<(SocketAddr, Arc<TcpListener>)> {
        let of = |(wanted, held): (&SocketAddr, &Held)| {
            Some((*wanted, Arc::clone(&held.sockets.get(&slot)?.listener)))
        };
        self.held.iter().filter_map(of).collect()
    }

    /// The end has begun: who connects from now on is refused instead of left waiting.
    pub fn close(&mut self) {
        self.held.clear();
        self.reserved.clear();
    }

    /// A process starts in the slot: what it needs it will ask for.
    pub fn process_started(&mut self, slot: WorkerSlot) {
        for held in self.held.values_mut() {
            if let Some(socket) = held.sockets.get_mut(&slot) {
                socket.is_asked_for = false;
            }
        }
    }

    /// The slot's process serves a snapshot: what it has not asked for by now it does not need.
    pub fn snapshot_applied(&mut self, slot: WorkerSlot) {
        for held in self.held.values_mut() {
            held.sockets.retain(|owner, socket| *owner != slot || socket.is_asked_for);
        }
        self.drop_empty();
    }

    fn holds_port(&self, port: u16) -> bool {
        self.held.values().any(|held| held.bound.port() == port)
            || self.reserved.contains_key(&port)
    }

    fn drop_empty(&mut self) {
        self.held.retain(|_, held| !held.sockets.is_empty());
    }
}

/// The first address decides on the port; it may be taken on another.
fn reserve_on_all(hosts: &[IpAddr]) -> Result<(u16, Vec<OwnedFd>), ListenError> {
    let (mut port, mut sockets) = (0, Vec::new());
    for host in hosts {
        let (socket, got) = reserve(SocketAddr::new(*host, port))?;
        port = got.port();
        sockets.push(socket);
    }
    Ok((port, sockets))
}

impl Held {
    fn keep(&mut self, slot: WorkerSlot, listener: TcpListener) -> Arc<TcpListener> {
        let listener = Arc::new(listener);
        let socket = Socket { listener: Arc::clone(&listener), is_asked_for: true };
        self.sockets.insert(slot, socket);
        listener
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;

    const ONE: WorkerSlot = WorkerSlot(0);
    const TWO: WorkerSlot = WorkerSlot(1);

    fn any() -> SocketAddr {
        "127.0.0.1:0".parse().unwrap()
    }

    fn is_open(address: SocketAddr) -> bool {
        TcpStream::connect(address).is_ok()
    }

    #[test]
    fn slots_share_the_port_that_the_first_one_got_and_keep_their_sockets() {
        let mut inventory = Inventory::default();
        let (bound, first) = inventory.grant(ONE, any()).unwrap();
        let (also, second) = inventory.grant(TWO, any()).unwrap();
        assert_eq!(bound, also);
        assert!(!Arc::ptr_eq(&first, &second));
        let (again, same) = inventory.grant(ONE, any()).unwrap();
        assert_eq!(bound, again);
        assert!(Arc::ptr_eq(&first, &same));
    }

    #[test]
    fn reserved_ports_differ_take_no_connection_and_can_be_listened_on_again_and_again() {
        let mut inventory = Inventory::default();
        let host = [any().ip()];
        let ports = [inventory.reserve(&host).unwrap(), inventory.reserve(&host).unwrap()];
        assert_ne!(ports[0], ports[1]);
        let address = SocketAddr::new(host[0], ports[0]);
        for _ in 0..2 {
            assert!(!is_open(address));
            assert!(TcpListener::bind(address).is_err(), "a stranger got a reserved port");
            assert_eq!(inventory.grant(ONE, address).unwrap().0, address);
            assert!(is_open(address));
            inventory.release(ONE, address);
        }
    }

    #[test]
    fn a_socket_outlives_processes_and_is_closed_by_its_last_release() {
        let mut inventory = Inventory::default();
        let (bound, _) = inventory.grant(ONE, any()).unwrap();
        inventory.grant(TWO, any()).unwrap();
        inventory.process_started(ONE);
        inventory.release(TWO, any());
        assert!(is_open(bound));
        inventory.release(ONE, any());
        assert!(!is_open(bound));
        inventory.release(ONE, any());
    }

    #[test]
    fn what_a_new_process_does_not_ask_for_is_closed_once_it_serves() {
        let mut inventory = Inventory::default();
        let (kept, _) = inventory.grant(ONE, any()).unwrap();
        let gone = "127.0.0.2:0".parse().unwrap();
        let (dropped, _) = inventory.grant(ONE, gone).unwrap();
        inventory.process_started(ONE);
        inventory.grant(ONE, any()).unwrap();
        assert!(is_open(dropped));
        inventory.snapshot_applied(ONE);
        assert!(is_open(kept));
        assert!(!is_open(dropped));
    }

    #[test]
    fn a_port_that_a_stranger_shares_is_refused_and_our_own_is_not() {
        let (_stranger, taken) = listen_on(any(), Sharing::Shared).unwrap();
        let mut inventory = Inventory::default();
        let refused = inventory.grant(ONE, taken).unwrap_err().to_string();
        assert!(refused.contains("address in use"), "{refused}");

        let (bound, _) = inventory.grant(ONE, any()).unwrap();
        let everywhere = SocketAddr::new([0, 0, 0, 0].into(), bound.port());
        assert!(inventory.grant(ONE, everywhere).is_ok());
    }
}
