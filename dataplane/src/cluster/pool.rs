//! Upstream connections: HTTP/1.1 ones between requests, HTTP/2 ones shared by requests.
//!
//! An HTTP/1.1 connection has no task of its own. Whoever runs a request on it drives it, inside
//! the request's own task: no spawn, no wake-up, no second turn of the loop. In the pool nobody
//! drives it; it is looked at when taken and when swept.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use hyper::client::conn::{http1, http2};

use crate::clock;
use crate::http::body::RequestBody;

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
    idle_since: Instant,
    _open: Open,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("requests", &self.requests).finish_non_exhaustive()
    }
}

impl Connection {
    /// A fresh connection.
    pub fn new(sender: http1::SendRequest<RequestBody>, driver: Driver, open: Open) -> Self {
        Self { sender, driver, is_over: false, requests: 0, idle_since: clock::now(), _open: open }
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
pub struct Open(Rc<Cell<u32>>);

impl Open {
    /// Counts one.
    pub fn new(count: &Rc<Cell<u32>>) -> Self {
        count.set(count.get() + 1);
        Self(Rc::clone(count))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// The connections of one host that can take a request.
#[derive(Default)]
pub struct Pool {
    idle: RefCell<Vec<Connection>>,
    shared: RefCell<Option<http2::SendRequest<RequestBody>>>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("idle", &self.idle.borrow().len()).finish_non_exhaustive()
    }
}

impl Pool {
    /// The connection used last that still lives. Those found dead on the way are dropped.
    pub fn take(&self, cx: &mut Context<'_>) -> Option<Connection> {
        loop {
            let mut connection = self.idle.borrow_mut().pop()?;
            if connection.poll_usable(cx) {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection whose response has been read to its end.
    pub fn put(&self, mut connection: Connection) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() < IDLE_MAX {
            connection.idle_since = clock::now();
            idle.push(connection);
        }
    }

    /// The HTTP/2 connection, if there is one.
    pub fn shared(&self) -> Option<http2::SendRequest<RequestBody>> {
        self.shared.borrow().as_ref().filter(|sender| !sender.is_closed()).cloned()
    }

    /// Makes this the HTTP/2 connection of new requests; those on another finish there.
    pub fn share(&self, sender: http2::SendRequest<RequestBody>) {
        *self.shared.borrow_mut() = Some(sender);
    }

    /// Drops what idles too long and what the other side has closed.
    pub fn sweep(&self, now: Instant, idle_timeout: Option<Duration>) {
        let mut cx = Context::from_waker(Waker::noop());
        self.idle.borrow_mut().retain_mut(|connection| {
            let idle = now.saturating_duration_since(connection.idle_since);
            idle_timeout.is_none_or(|limit| idle < limit) && connection.poll_usable(&mut cx)
        });
    }

    /// Drops all that is idle.
    pub fn clear(&self) {
        self.idle.borrow_mut().clear();
        *self.shared.borrow_mut() = None;
    }
}
