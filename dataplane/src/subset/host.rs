//! One endpoint as one cluster of this worker sees it: its address, how busy it is, its idle
//! connections. Outlives changes of the endpoint list, so that what is known of it is kept.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;

use crate::cluster::pool::Pool;

/// See the module.
#[derive(Debug)]
pub struct Host {
    /// Where to connect.
    pub address: SocketAddr,
    /// Idle connections.
    pub pool: Pool,
    active: Cell<u32>,
    retired: Cell<bool>,
}

impl Host {
    /// A host that nothing is known of.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, pool: Pool::default(), active: Cell::new(0), retired: Cell::new(false) }
    }

    /// Requests that run on it now.
    pub fn active(&self) -> u32 {
        self.active.get()
    }

    /// It left the endpoint list: what runs may finish, nothing is pooled any more.
    pub fn retire(&self) {
        self.retired.set(true);
        self.pool.clear();
    }

    /// Has it left the endpoint list?
    pub fn is_retired(&self) -> bool {
        self.retired.get()
    }
}

/// A host that runs one request more for as long as this lives.
#[derive(Debug)]
pub struct Busy(Rc<Host>);

impl Busy {
    /// Counts a request.
    pub fn new(host: Rc<Host>) -> Self {
        host.active.set(host.active.get() + 1);
        Self(host)
    }

    /// The host.
    pub fn host(&self) -> &Rc<Host> {
        &self.0
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.active.set(self.0.active.get() - 1);
    }
}
