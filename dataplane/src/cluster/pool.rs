//! Upstream connections: HTTP/1.1 ones between requests, HTTP/2 ones shared by requests.
//!
//! An HTTP/1.1 connection has no task of its own. Whoever runs a request on it drives it, inside
//! the request's own task: no spawn, no wake-up, no second turn of the loop. In the pool nobody
//! drives it; it is looked at when taken and when swept.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use hyper::client::conn::{http1, http2};
use tokio::sync::Notify;

use super::connect::ConnectError;
use super::limits::Permit;
use super::secured::{Secured, Wanted, is_as_wanted, is_in_force};
use crate::clock;
use crate::http::body::RequestBody;
use crate::tls::originating::Originating;

/// Most idle connections kept per host.
const IDLE_MAX: usize = 4096;

/// The future that moves an HTTP/1.1 connection's bytes. `hyper` does not let its type be named.
pub type Driver = Pin<Box<dyn Future<Output = hyper::Result<()>>>>;

/// One HTTP/1.1 connection with its driver.
pub struct Connection {
    sender: http1::SendRequest<RequestBody>,
    driver: Driver,
    is_over: bool,
    requests: u32,
    opened: Instant,
    idle_since: Instant,
    local: Option<SocketAddr>,
    secured: Option<Secured>,
    open: Open,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("requests", &self.requests).finish_non_exhaustive()
    }
}

impl Connection {
    /// A fresh connection.
    pub fn new(
        sender: http1::SendRequest<RequestBody>,
        driver: Driver,
        local: Option<SocketAddr>,
        secured: Option<Secured>,
        open: Open,
    ) -> Self {
        let now = clock::now();
        Self {
            sender,
            driver,
            is_over: false,
            requests: 0,
            opened: now,
            idle_since: now,
            local,
            secured,
            open,
        }
    }

    /// The gateway's end of it.
    pub fn local(&self) -> Option<SocketAddr> {
        self.local
    }

    /// Where requests go in. Counts one.
    pub fn sender(&mut self) -> &mut http1::SendRequest<RequestBody> {
        self.requests = self.requests.saturating_add(1);
        &mut self.sender
    }

    /// Requests that were sent on it.
    pub fn requests(&self) -> u32 {
        self.requests
    }

    /// How long it was idle before it was taken.
    pub fn idle_for(&self) -> Duration {
        clock::now().saturating_duration_since(self.idle_since)
    }

    /// Moves bytes. Ready when the connection is over, and ever after.
    pub fn poll_drive(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // What went wrong reaches the request through its own channel. The driver must not be
        // polled after its end.
        self.is_over = self.is_over || self.driver.as_mut().poll(cx).is_ready();
        if self.is_over { Poll::Ready(()) } else { Poll::Pending }
    }

    /// May it carry a request now?
    fn poll_usable(&mut self, cx: &mut Context<'_>) -> bool {
        self.poll_drive(cx).is_pending() && self.sender.is_ready()
    }
}

/// Counts an open connection for as long as it lives.
#[derive(Debug)]
pub struct Open {
    /// Of the cluster, and of the endpoint.
    counts: [Rc<Cell<u32>>; 2],
    /// Where connections are limited.
    permit: Option<Permit>,
}

impl Open {
    /// Counts one.
    pub fn new(counts: [&Rc<Cell<u32>>; 2], permit: Option<Permit>) -> Self {
        counts.iter().for_each(|count| count.set(count.get() + 1));
        Self { counts: counts.map(Rc::clone), permit }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.counts.iter().for_each(|count| count.set(count.get() - 1));
    }
}

/// How long connections are used.
#[derive(Debug, Clone, Copy)]
pub struct Life {
    /// Idle time after which one is closed.
    pub idle_max: Option<Duration>,
    /// Age from which it takes no new request.
    pub age_max: Option<Duration>,
    /// Requests it may carry in all; `u32::MAX` = no limit.
    pub requests_max: u32,
    /// Requests that an HTTP/2 connection carries at once.
    pub streams_max: u32,
}

/// An HTTP/2 connection that requests share.
#[derive(Debug)]
struct Carrier {
    sender: http2::SendRequest<RequestBody>,
    /// The gateway's end of it.
    local: Option<SocketAddr>,
    secured: Option<Secured>,
    opened: Instant,
    idle_since: Cell<Instant>,
    requests: Cell<u32>,
    active: Cell<u32>,
}

/// A request's place on a shared connection, for as long as its response lasts.
#[derive(Debug)]
pub struct Stream(Rc<Carrier>);

impl Carrier {
    /// May it ever carry another request?
    fn is_spent(&self, life: &Life, now: Instant) -> bool {
        self.sender.is_closed()
            || self.requests.get() >= life.requests_max
            || is_over(self.opened, life.age_max, now)
    }

    fn is_idle(&self, life: &Life, now: Instant) -> bool {
        self.active.get() == 0 && is_over(self.idle_since.get(), life.idle_max, now)
    }
}

impl Stream {
    fn new(carrier: &Rc<Carrier>) -> Self {
        carrier.active.set(carrier.active.get() + 1);
        carrier.requests.set(carrier.requests.get().saturating_add(1));
        Self(Rc::clone(carrier))
    }

    /// The gateway's end of the connection.
    pub fn local(&self) -> Option<SocketAddr> {
        self.0.local
    }

    /// Where the request goes in.
    pub fn sender(&self) -> http2::SendRequest<RequestBody> {
        self.0.sender.clone()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.active.set(self.0.active.get() - 1);
        self.0.idle_since.set(clock::now());
    }
}

fn is_over(since: Instant, limit: Option<Duration>, now: Instant) -> bool {
    limit.is_some_and(|limit| now.saturating_duration_since(since) >= limit)
}

/// The connections of one host that can take a request.
#[derive(Default)]
pub struct Pool {
    idle: RefCell<Vec<Connection>>,
    shared: RefCell<Vec<Rc<Carrier>>>,
    /// Whether a shared connection is on its way, and who waits for it.
    pub dialing: Dialed,
}

/// One shared connection is dialled at a time, so that a burst of requests does not open one
/// each.
#[derive(Debug, Default)]
pub struct Dialed {
    is_running: Cell<bool>,
    /// The name for which that one is secured.
    name: RefCell<Option<Box<str>>>,
    failure: Cell<Option<ConnectError>>,
    ended: Notify,
}

/// Held by whoever dials.
#[derive(Debug)]
pub struct Dial<'a>(&'a Dialed);

impl Dialed {
    /// The right to dial, or `None` while somebody else does.
    pub fn begin(&self, name: Option<&str>) -> Option<Dial<'_>> {
        if self.is_running.replace(true) {
            return None;
        }
        self.failure.set(None);
        self.name.replace(name.map(Box::from));
        Some(Dial(self))
    }

    /// Is what is dialled now, or was last, secured for that name?
    pub fn is_for(&self, name: Option<&str>) -> bool {
        self.name.borrow().as_deref() == name
    }

    /// Waits for whoever dials; an error if that failed.
    ///
    /// # Errors
    /// As the dialling request has it.
    pub async fn ended(&self) -> Result<(), ConnectError> {
        self.ended.notified().await;
        self.failure.get().map_or(Ok(()), Err)
    }
}

impl Dial<'_> {
    /// Lets those who wait fail as well.
    pub fn failed(&self, error: ConnectError) {
        self.0.failure.set(Some(error));
    }
}

impl Drop for Dial<'_> {
    fn drop(&mut self) {
        self.0.is_running.set(false);
        self.0.ended.notify_waiters();
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("idle", &self.idle.borrow().len()).finish_non_exhaustive()
    }
}

impl Pool {
    /// The connection used last that is secured as wanted, still lives and is not too old. Those
    /// found dead on the way are dropped.
    pub fn take(
        &self,
        cx: &mut Context<'_>,
        age_max: Option<Duration>,
        wanted: Option<Wanted<'_>>,
    ) -> Option<Connection> {
        loop {
            let mut idle = self.idle.borrow_mut();
            // Mostly the last one.
            let fits = |one: &Connection| is_as_wanted(one.secured.as_ref(), wanted);
            let at = idle.iter().rposition(fits)?;
            let mut connection = idle.remove(at);
            drop(idle);
            let is_old = age_max.is_some() && is_over(connection.opened, age_max, clock::now());
            if !is_old && connection.poll_usable(cx) {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection whose response has been read to its end. Where connections are limited
    /// it makes room for a request that waits elsewhere.
    pub fn put(&self, mut connection: Connection) {
        let permit = connection.open.permit.as_ref();
        if permit.is_some_and(Permit::is_wanted_elsewhere) {
            return;
        }
        permit.inspect(|permit| permit.tell_waiting());
        let mut idle = self.idle.borrow_mut();
        if idle.len() < IDLE_MAX {
            connection.idle_since = clock::now();
            idle.push(connection);
        }
    }

    /// Drops the connection that idles longest; was there one?
    pub fn drop_one(&self) -> bool {
        let mut idle = self.idle.borrow_mut();
        let oldest = (!idle.is_empty()).then(|| idle.remove(0));
        // Not before the list can be borrowed again: its permit tells others.
        drop(idle);
        oldest.is_some()
    }

    /// A place on an HTTP/2 connection, if there is one.
    pub fn shared(&self, life: &Life, wanted: Option<Wanted<'_>>) -> Option<Stream> {
        let carriers = self.shared.borrow();
        let now = clock::now();
        let has_room = |carrier: &&Rc<Carrier>| {
            carrier.active.get() < life.streams_max
                && is_as_wanted(carrier.secured.as_ref(), wanted)
                && !carrier.is_spent(life, now)
        };
        carriers.iter().find(has_room).map(Stream::new)
    }

    /// Adds an HTTP/2 connection, with a place on it.
    pub fn share(
        &self,
        sender: http2::SendRequest<RequestBody>,
        local: Option<SocketAddr>,
        secured: Option<Secured>,
    ) -> Stream {
        let now = clock::now();
        let carrier = Rc::new(Carrier {
            sender,
            local,
            secured,
            opened: now,
            idle_since: Cell::new(now),
            requests: Cell::new(0),
            active: Cell::new(0),
        });
        let stream = Stream::new(&carrier);
        self.shared.borrow_mut().push(carrier);
        stream
    }

    /// Drops what idles too long, what is used up, what is secured otherwise than is in force, and
    /// what the other side has closed. Requests on an HTTP/2 connection that is dropped finish
    /// there.
    pub fn sweep(&self, now: Instant, life: &Life, tls: Option<&Arc<Originating>>) {
        let mut cx = Context::from_waker(Waker::noop());
        let mut idle = self.idle.take();
        idle.retain_mut(|connection| {
            let is_old = is_over(connection.idle_since, life.idle_max, now)
                || is_over(connection.opened, life.age_max, now);
            let is_kept = !is_old && is_in_force(connection.secured.as_ref(), tls);
            is_kept && connection.poll_usable(&mut cx)
        });
        self.idle.replace(idle);
        let is_kept = |carrier: &Rc<Carrier>| {
            let is_over = carrier.is_spent(life, now) || carrier.is_idle(life, now);
            !is_over && is_in_force(carrier.secured.as_ref(), tls)
        };
        self.shared.borrow_mut().retain(is_kept);
    }

    /// Drops all that is idle.
    pub fn clear(&self) {
        // Dropping tells others, who may look at this pool.
        drop(self.idle.take());
        drop(self.shared.take());
    }
}
