//! A way to an endpoint for one request: a connection of its own, or a place on a shared one.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use fairway_shared::snapshot::cluster::ProxyVersion;
use http::{Request, Response, Version};
use hyper::body::Incoming;

use super::body::RequestBody;
use super::forward::Forwarding;
use super::reply::ProxyError;
use super::upstream_error::{Cause, cause_of};
use crate::cluster::actor::ClusterView;
use crate::cluster::connect::{self, ConnectError, Way};
use crate::cluster::limits::{Count, Overflow};
use crate::cluster::pool::{Connection, Pool, Stream};
use crate::cluster::queue::{self, Turn};
use crate::cluster::secured::Wanted;
use crate::proxy_protocol::encode::{self, encode};
use crate::subset::host::{Busy, Host};
use crate::tls::fault::Fault;

/// A pooled connection that idled this long may be closing at the other end just now; a request
/// that can be repeated safely is then kept for one silent repetition.
const STALE_AFTER: Duration = Duration::from_millis(500);

/// A way to an endpoint.
pub enum Channel {
    /// HTTP/1.1.
    Own(Connection),
    /// HTTP/2.
    Shared(Stream),
}

/// A failed try, and the request if it is sure that none of it was processed.
pub struct Failure {
    /// How it failed.
    pub error: ProxyError,
    /// The request.
    pub unsent: Option<Box<Request<RequestBody>>>,
}

impl Forwarding<'_> {
    /// A connection of the pool or a fresh one.
    pub async fn acquire(
        &self,
        policy: &ClusterView,
        host: &Rc<Host>,
        version: Version,
        wanted: Option<Wanted<'_>>,
    ) -> Result<Channel, ProxyError> {
        let way = Way { address: host.address, policy, wanted, preamble: &[] };
        if let Some(proxy) = policy.dialing.proxy_protocol {
            return Box::pin(self.dial_own(way, host, (version, proxy))).await;
        }
        if version == Version::HTTP_2 {
            return match host.pool.shared(&policy.life, wanted) {
                Some(stream) => Ok(Channel::Shared(stream)),
                None => Box::pin(self.dial_shared(way, host)).await.map(Channel::Shared),
            };
        }
        let age_max = policy.life.age_max;
        let pooled = poll_fn(|cx| Poll::Ready(host.pool.take(cx, age_max, wanted))).await;
        Ok(Channel::Own(match pooled {
            Some(connection) => connection,
            // Boxed: rare, and far larger than the rest of a request.
            None => Box::pin(self.dial(way, host)).await?,
        }))
    }

    /// A fresh HTTP/1.1 connection, or one of the pool if it had to wait and one came back.
    async fn dial(&self, way: Way<'_>, host: &Rc<Host>) -> Result<Connection, ProxyError> {
        let Way { policy, wanted, .. } = way;
        let (connection, _pending) = match &policy.counters {
            None => (None, None),
            Some(counters) => {
                match queue::wait(self.cluster, counters, host, &policy.life, wanted).await? {
                    Turn::Pooled(connection) => return Ok(connection),
                    Turn::Dial { connection, pending } => (connection, pending),
                }
            }
        };
        let open = self.cluster.open(host, connection);
        self.dialled(host, connect::http1(way, open).await)
    }

    /// A connection that says whose it is, and is nobody else's afterwards.
    async fn dial_own(
        &self,
        way: Way<'_>,
        host: &Host,
        (version, proxy): (Version, ProxyVersion),
    ) -> Result<Channel, ProxyError> {
        let peer = self.downstream.peer();
        let ends = encode::Way { source: peer.remote, destination: peer.local };
        let header = encode(proxy, ends);
        let way = Way { preamble: &header, ..way };
        let open = self.cluster.open(host, self.cluster.permit_connection(way.policy)?);
        if version == Version::HTTP_2 {
            let dialled = connect::http2(way, open).await;
            // In a pool of its own, which goes with the request.
            let (sender, local) = self.dialled(host, dialled)?;
            return Ok(Channel::Shared(Pool::default().share(sender, local, None)));
        }
        self.dialled(host, connect::http1(way, open).await).map(Channel::Own)
    }

    /// A place on a fresh HTTP/2 connection, or on one that another request has dialled.
    async fn dial_shared(&self, way: Way<'_>, host: &Rc<Host>) -> Result<Stream, ProxyError> {
        let Way { policy, wanted, .. } = way;
        let name = wanted.and_then(|wanted| wanted.host);
        let counters = policy.counters.as_ref();
        let _pending = counters.map(|counters| counters.take(Count::Pending)).transpose()?;
        loop {
            let Some(dial) = host.pool.dialing.begin(name) else {
                let is_the_same = host.pool.dialing.is_for(name);
                let ended = host.pool.dialing.ended().await;
                if is_the_same {
                    ended?;
                }
                match host.pool.shared(&policy.life, wanted) {
                    Some(stream) => return Ok(stream),
                    None => continue,
                }
            };
            let open = self.cluster.open(host, None);
            let dialled = connect::http2(way, open).await.inspect_err(|error| dial.failed(*error));
            let (sender, local) = self.dialled(host, dialled)?;
            let secured = wanted.as_ref().map(Wanted::secured);
            return Ok(host.pool.share(sender, local, secured));
        }
    }

    fn dialled<T>(&self, host: &Host, outcome: Result<T, ConnectError>) -> Result<T, ProxyError> {
        self.cluster.note_dialled(host, outcome.is_ok());
        outcome.map_err(ProxyError::from)
    }

    /// Counts the request where requests are limited. A connection that it may not use goes back.
    pub fn permitted(
        &self,
        policy: &ClusterView,
        channel: Channel,
        busy: &mut Busy,
    ) -> Result<Channel, ProxyError> {
        let Some(counters) = &policy.counters else { return Ok(channel) };
        match (counters.take(Count::Requests), channel) {
            (Ok(permit), channel) => {
                busy.permit(permit);
                Ok(channel)
            }
            (Err(overflow), Channel::Own(connection)) => {
                busy.host().pool.put(connection);
                Err(overflow.into())
            }
            (Err(overflow), Channel::Shared(_)) => Err(overflow.into()),
        }
    }
}

impl Channel {
    /// Has it carried a request before?
    pub fn is_pooled(&self) -> bool {
        match self {
            Self::Own(connection) => connection.requests() > 0,
            Self::Shared(_) => true,
        }
    }

    /// The gateway's end.
    pub fn local(&self) -> Option<SocketAddr> {
        match self {
            Self::Own(connection) => connection.local(),
            Self::Shared(stream) => stream.local(),
        }
    }

    /// Has it idled so long that the other end may be closing it just now?
    pub fn is_stale(&self) -> bool {
        match self {
            Self::Own(connection) => {
                connection.requests() > 0 && connection.idle_for() >= STALE_AFTER
            }
            Self::Shared(_) => false,
        }
    }

    /// The request's own connection, or none and its place on a shared one is kept with `busy`.
    pub fn occupy(self, busy: &mut Busy) -> Option<Connection> {
        match self {
            Self::Own(connection) => Some(connection),
            Self::Shared(stream) => {
                busy.occupy(stream);
                None
            }
        }
    }

    /// Sends, and drives the connection until the response's head is there.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, Failure> {
        let response = match self {
            Self::Own(connection) => {
                let mut response = pin!(connection.sender().try_send_request(request));
                let received = poll_fn(|cx| {
                    // Its end is the response's affair: a last response may be there already.
                    let _ = connection.poll_drive(cx);
                    response.as_mut().poll(cx)
                });
                received.await
            }
            Self::Shared(stream) => stream.sender().try_send_request(request).await,
        };
        response.map_err(|mut error| Failure {
            unsent: error.take_message().map(Box::new),
            error: failure_of(error.error()),
        })
    }
}

impl From<ConnectError> for ProxyError {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Failed(_) => Self::ConnectFailed,
            ConnectError::TimedOut => Self::ConnectTimedOut,
            ConnectError::Tls(fault) => Self::TlsFailed(fault),
        }
    }
}

impl From<Overflow> for ProxyError {
    fn from(_: Overflow) -> Self {
        Self::Overflow
    }
}

/// Did TLS end the connection, after the handshake seemed to have succeeded?
fn tls_fault(error: &hyper::Error) -> Option<Fault> {
    use std::error::Error;
    let cause = error.source()?;
    let of_h2 = || cause.downcast_ref::<h2::Error>().and_then(h2::Error::get_io);
    cause.downcast_ref().or_else(of_h2).and_then(Fault::of_alert)
}

/// What a failed exchange means.
fn failure_of(error: &hyper::Error) -> ProxyError {
    if let Some(fault) = tls_fault(error) {
        return ProxyError::TlsFailed(fault);
    }
    if error.is_user() {
        return ProxyError::ClientBody;
    }
    match cause_of(error) {
        Cause::Closed => ProxyError::UpstreamClosed,
        Cause::Reset => ProxyError::UpstreamReset,
        Cause::Refused => ProxyError::UpstreamRefused,
        Cause::Protocol => ProxyError::UpstreamProtocol,
    }
}
