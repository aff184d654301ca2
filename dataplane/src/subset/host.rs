//! One endpoint as one cluster of this worker sees it: its address, how busy it is, its health,
//! its connections. Outlives changes of the endpoint list, so that what is known of it is kept.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use fairway_shared::ipc::message::{EndpointCounts, EndpointState};

use crate::clock;
use crate::cluster::health::HostHealth;
use crate::cluster::limits::Permit;
use crate::cluster::pool::{Pool, Stream};
use crate::telemetry::cluster::HostFigures;

/// See the module.
#[derive(Debug)]
pub struct Host {
    /// Where to connect.
    pub address: SocketAddr,
    /// Since when it is known.
    pub since: Instant,
    /// Its connections.
    pub pool: Pool,
    /// Where its requests are counted.
    pub figures: HostFigures,
    /// What all workers know of its health; only in clusters that eject.
    pub health: RefCell<Option<HostHealth>>,
    /// What happened to it.
    pub counts: HostCounts,
    /// Its open connections.
    pub open: Rc<Cell<u32>>,
    place: RefCell<Place>,
    active: Cell<u32>,
    is_retired: Cell<bool>,
    is_ejected: Cell<bool>,
}

/// Where an endpoint stands among those of its cluster.
#[derive(Debug, Clone, Default)]
pub struct Place {
    /// Relative weight.
    pub weight: u32,
    /// `region/zone/subzone`.
    pub locality: String,
    /// 0 comes first.
    pub priority: u32,
}

/// Things that are only counted, since the worker knows the endpoint.
#[derive(Debug, Default)]
pub struct HostCounts {
    /// Attempts to connect.
    pub connects: Cell<u64>,
    /// Those that failed.
    pub connect_failures: Cell<u64>,
    /// Requests answered, but not with 5xx.
    pub successes: Cell<u64>,
    /// Requests answered with 5xx, or not at all.
    pub errors: Cell<u64>,
}

impl HostCounts {
    /// A request is over.
    pub fn answered(&self, is_success: bool) {
        let count = if is_success { &self.successes } else { &self.errors };
        count.set(count.get() + 1);
    }
}

impl Host {
    /// A host that nothing is known of.
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            since: clock::now(),
            pool: Pool::default(),
            figures: HostFigures::default(),
            health: RefCell::default(),
            counts: HostCounts::default(),
            open: Rc::default(),
            place: RefCell::default(),
            active: Cell::new(0),
            is_retired: Cell::new(false),
            is_ejected: Cell::new(false),
        }
    }

    /// It stands there in the endpoint list that is in force.
    pub fn stand(&self, place: Place) {
        self.place.replace(place);
    }

    /// For people.
    pub fn state(&self) -> EndpointState {
        let place = self.place.borrow().clone();
        let (successes, errors) = (self.counts.successes.get(), self.counts.errors.get());
        EndpointState {
            address: self.address,
            weight: place.weight,
            locality: place.locality,
            priority: place.priority,
            is_ejected: self.is_ejected(),
            counts: EndpointCounts {
                connections: self.open.get().into(),
                connects: self.counts.connects.get(),
                connect_failures: self.counts.connect_failures.get(),
                active: self.active().into(),
                requests: successes + errors,
                successes,
                errors,
            },
        }
    }

    /// Requests that run on it now.
    pub fn active(&self) -> u32 {
        self.active.get()
    }

    /// It left the endpoint list: what runs may finish, nothing is pooled any more.
    pub fn retire(&self) {
        self.is_retired.set(true);
        self.pool.clear();
    }

    /// Has it left the endpoint list?
    pub fn is_retired(&self) -> bool {
        self.is_retired.get()
    }

    /// Was it ejected when the view was made?
    pub fn is_ejected(&self) -> bool {
        self.is_ejected.get()
    }

    /// For the next view.
    pub fn set_ejected(&self, is_ejected: bool) {
        self.is_ejected.set(is_ejected);
    }
}

/// A host that runs one request more for as long as this lives.
#[derive(Debug)]
pub struct Busy {
    host: Rc<Host>,
    /// Where requests are limited.
    permit: Option<Permit>,
    /// On a shared connection.
    stream: Option<Stream>,
}

impl Busy {
    /// Counts a request.
    pub fn new(host: Rc<Host>) -> Self {
        host.active.set(host.active.get() + 1);
        Self { host, permit: None, stream: None }
    }

    /// Holds what the request was permitted.
    pub fn permit(&mut self, permit: Option<Permit>) {
        self.permit = permit;
    }

    /// Holds the request's place on a shared connection.
    pub fn occupy(&mut self, stream: Stream) {
        self.stream = Some(stream);
    }

    /// The host.
    pub fn host(&self) -> &Rc<Host> {
        &self.host
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.host.active.set(self.host.active.get() - 1);
    }
}
