//! Sends a request upstream: picks an endpoint, finds a connection, tries again where the route
//! allows it, and returns the response while its body still streams.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::mem::take;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Poll, ready};
use std::time::{Duration, Instant};

use fairway_shared::snapshot::cluster::{ProxyVersion, UpstreamProtocol};
use fairway_shared::snapshot::route::RetryPolicy;
use http::header::{HeaderValue, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, Uri, Version};
use hyper::body::{Body, Incoming};

use super::body::{Completion, Replay, RequestBody, Streamed};
use super::connection::Downstream;
use super::flag::Flags;
use super::reply::ProxyError;
use super::request;
use super::retry::{self, TryEnd};
use super::upstream_error::{Cause, cause_of};
use crate::clock;
use crate::cluster::actor::ClusterView;
use crate::cluster::connect::{self, ConnectError, Way};
use crate::cluster::handle::{ClusterHandle, Went, add_one};
use crate::cluster::limits::{Count, Overflow, Permit};
use crate::cluster::pool::{Connection, Pool, Stream};
use crate::cluster::queue::{self, Turn};
use crate::cluster::secured::Wanted;
use crate::proxy_protocol::encode::{self, encode};
use crate::subset::balance::SubsetView;
use crate::subset::host::{Busy, Host};
use crate::telemetry::account::Account;
use crate::tls::fault::Fault;

/// A pooled connection that idled this long may be closing at the other end just now; a request
/// that can be repeated safely is then kept for one silent repetition.
const STALE_AFTER: Duration = Duration::from_millis(500);
/// Tries before `retryRemoteLocalities` looks at other localities.
const TRIES_NEARBY: u32 = 2;
/// Silent repetitions on connections that turned out to be dead, at most.
const STALE_TRIES_MAX: u32 = 3;

/// A request head as it goes upstream.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// Its method.
    pub method: Method,
    /// Path and query; scheme and authority only for HTTP/2.
    pub uri: Uri,
    /// All its fields, Host among them.
    pub headers: HeaderMap,
}

/// A request body and whether it can be had again.
#[derive(Debug)]
pub enum BodySource {
    /// There is none.
    None,
    /// It can be sent once.
    Once(Option<Streamed>),
    /// A copy of another request's, to be sent once.
    Ready(Option<RequestBody>),
    /// It can be sent until more was read than is kept.
    Again(Replay),
}

impl BodySource {
    /// Keeps the body only if a retry could need it.
    pub fn new(
        incoming: Incoming,
        completion: Option<Rc<Completion>>,
        account: &mut Account,
        keep: bool,
    ) -> Self {
        if incoming.is_end_stream() {
            return Self::None;
        }
        let streamed = Streamed::new(incoming, completion, account.receives());
        if keep { Self::Again(Replay::new(streamed)) } else { Self::Once(Some(streamed)) }
    }

    fn next(&mut self) -> Option<RequestBody> {
        match self {
            Self::None => Some(RequestBody::Empty),
            Self::Once(body) => body.take().map(RequestBody::Stream),
            Self::Ready(body) => body.take(),
            Self::Again(replay) => replay.again().map(RequestBody::Replay),
        }
    }

    /// The whole body once more, if it has been read to its end and all of it is kept.
    pub fn complete(&self) -> Option<RequestBody> {
        match self {
            Self::None => Some(RequestBody::Empty),
            Self::Once(_) | Self::Ready(_) => None,
            Self::Again(replay) => replay.again_complete().map(RequestBody::Replay),
        }
    }

    fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// Could [`Self::next`] return a body?
    fn can_be_sent(&self) -> bool {
        match self {
            Self::None => true,
            Self::Once(body) => body.is_some(),
            Self::Ready(body) => body.is_some(),
            Self::Again(replay) => replay.is_kept(),
        }
    }
}

/// When a request must be answered. Time runs from the moment at which it was received whole
/// (Istio contract 2.9).
#[derive(Debug, Clone, Default)]
pub struct Limits {
    /// For the whole request with its tries.
    pub timeout: Option<Duration>,
    /// For each try.
    pub per_try: Option<Duration>,
    /// That moment; there is one if there is a limit.
    pub completion: Option<Rc<Completion>>,
}

impl Limits {
    /// When the whole request is due, if that is known yet.
    pub fn deadline(&self) -> Option<Instant> {
        Some(self.completion.as_ref()?.at()? + self.timeout?)
    }
}

/// A response whose body still streams, with all that it streams on.
#[derive(Debug)]
pub struct Answer {
    /// As received.
    pub response: Response<Incoming>,
    /// The connection, if the body needs to be driven.
    pub connection: Option<Connection>,
    /// The endpoint.
    pub busy: Busy,
    /// How long the upstream took, from the request's head to the response's.
    pub upstream_time: Duration,
}

/// One request on its way to one cluster.
pub struct Forwarding<'a> {
    /// Whose request.
    pub downstream: &'a Downstream,
    /// Where to.
    pub cluster: &'a Rc<ClusterHandle>,
    /// When it must be answered.
    pub limits: Limits,
    /// When it is tried again.
    pub retry: Option<&'a RetryPolicy>,
    /// The client's version, for clusters that follow it.
    pub version: Version,
    /// A gRPC request.
    pub is_grpc: bool,
    /// What decides the endpoint where the cluster hashes.
    pub key: Option<u64>,
    /// Where it went.
    pub trace: Trace,
}

/// Where a request went, for access logs and figures.
#[derive(Debug, Default)]
pub struct Trace {
    /// How often it was sent.
    pub attempts: Cell<u32>,
    /// The endpoint of the last try.
    pub host: RefCell<Option<Rc<Host>>>,
    /// The gateway's end of that connection.
    pub local: Cell<Option<SocketAddr>>,
    /// What went wrong below HTTP in that try.
    pub transport_failure: Cell<Option<&'static str>>,
}

/// A way to an endpoint.
enum Channel {
    Own(Connection),
    Shared(Stream),
}

/// A failed try, and the request if it is sure that none of it was processed.
struct Failure {
    error: ProxyError,
    unsent: Option<Box<Request<RequestBody>>>,
}

/// How the last try ended, and why no other followed that was wanted: retries ran out, or a limit
/// on them is reached.
type Ended = Result<(Answer, Flags), (ProxyError, Flags)>;

/// The state of the tries so far.
struct Tries {
    tried: Vec<Rc<Host>>,
    /// Repetitions the policy still allows.
    left: u32,
    /// Number of the current try, from 1.
    number: u32,
    stale: u32,
    /// Of the current repetition, where repetitions are limited.
    permit: Option<Permit>,
}

impl Forwarding<'_> {
    /// Runs the tries.
    ///
    /// # Errors
    /// How the last try failed.
    pub async fn run(&self, outgoing: &mut Outgoing, body: &mut BodySource) -> Ended {
        let policy = self.cluster.policy.load();
        let subset = self.cluster.subset.load();
        let version = self.upstream_version(&policy);
        let mut tries = Tries {
            tried: Vec::new(),
            left: self.retry.map_or(0, |retry| retry.attempts),
            number: 1,
            stale: 0,
            permit: None,
        };
        loop {
            let end = self.try_once(&policy, &subset, version, outgoing, body, &mut tries).await;
            let retry = match self.judge(end, &policy, body, &mut tries) {
                ControlFlow::Break(ended) => return ended,
                ControlFlow::Continue(retry) => retry,
            };
            self.note_tried(&mut tries);
            let wait = retry::backoff(retry, tries.number, fastrand::f64());
            tries.number += 1;
            // Boxed: rare, as in `within`.
            let mut waiting = Box::pin(tokio::time::sleep(wait));
            self.within(None, Pin::new(&mut waiting))
                .await
                .map_err(|error| (error, Flags::NONE))?;
            request::set_attempt(&mut outgoing.headers, tries.number);
        }
    }

    /// Is this try for another locality than those before (Istio contract 2.9)?
    fn goes_elsewhere(&self, number: u32) -> bool {
        number > TRIES_NEARBY && self.retry.is_some_and(|retry| retry.remote_localities)
    }

    /// The next try goes to another endpoint if the policy says so.
    fn note_tried(&self, tries: &mut Tries) {
        let matters = |retry: &RetryPolicy| retry.ignore_previous_hosts || retry.remote_localities;
        if self.retry.is_some_and(matters) {
            tries.tried.extend(self.trace.host.borrow().clone());
        }
    }

    /// Whether a try is to be followed by another, which is counted then.
    fn judge(
        &self,
        end: Result<Answer, ProxyError>,
        policy: &ClusterView,
        body: &BodySource,
        tries: &mut Tries,
    ) -> ControlFlow<Ended, &RetryPolicy> {
        let ended = |end: Result<Answer, ProxyError>, why| {
            let end = end.map(|answer| (answer, why));
            ControlFlow::Break(end.map_err(|error| (error, why)))
        };
        let is_wanted = |retry: &&RetryPolicy| match &end {
            Ok(answer) => {
                let head = &answer.response;
                retry::is_wanted(retry, TryEnd::Answered(head.status(), head.headers()))
            }
            Err(error) => retry::is_wanted(retry, TryEnd::Failed(*error)),
        };
        let Some(retry) = self.retry.filter(is_wanted) else { return ended(end, Flags::NONE) };
        if tries.left == 0 {
            return ended(end, Flags::RETRIES_EXHAUSTED);
        }
        if !body.can_be_sent() {
            return ended(end, Flags::NONE);
        }
        tries.permit = None;
        match policy.counters.as_ref().map(|counters| counters.take(Count::Retries)) {
            Some(Err(Overflow)) => return ended(end, Flags::OVERFLOW),
            Some(Ok(permit)) => tries.permit = permit,
            None => {}
        }
        add_one(&self.cluster.tally.retries);
        tries.left -= 1;
        ControlFlow::Continue(retry)
    }

    /// One try on one endpoint; repeated silently where the pooled connection was dead already.
    async fn try_once(
        &self,
        policy: &ClusterView,
        subset: &SubsetView,
        version: Version,
        outgoing: &mut Outgoing,
        body: &mut BodySource,
        tries: &mut Tries,
    ) -> Result<Answer, ProxyError> {
        let begun = self.limits.per_try.map(|_| clock::now());
        loop {
            let picked = match self.goes_elsewhere(tries.number) {
                true => {
                    let random = &mut self.downstream.random();
                    subset.pick_elsewhere(self.key, &tries.tried, random)
                }
                false => subset.pick(self.key, &tries.tried, &mut self.downstream.random()),
            };
            let host = Rc::clone(picked.ok_or(ProxyError::NoHealthyUpstream)?);
            let may_repeat = tries.left > 0;
            self.trace.attempts.set(tries.number);
            self.trace.host.replace(Some(Rc::clone(&host)));
            self.trace.local.set(None);
            self.trace.transport_failure.set(None);
            let mut busy = Busy::new(host);
            let acquired = {
                let wanted = Wanted::new(policy.tls.as_ref(), &outgoing.headers);
                let acquiring = pin!(self.acquire(policy, busy.host(), version, wanted));
                self.within(begun, acquiring).await.and_then(|acquired| acquired)
            };
            let channel = acquired.inspect_err(|error| self.note_failure(policy, &busy, *error))?;
            let mut channel = self.permitted(policy, channel, &mut busy)?;
            self.trace.local.set(channel.local());
            // Only where somebody wants to know how it went.
            let judged = policy.outliers.as_ref().map(|_| Rc::clone(busy.host()));
            let is_stale = channel.is_stale() && body.is_none() && outgoing.method.is_idempotent();
            let keep = is_stale || (may_repeat && self.may_follow_sending());
            let head = if keep { outgoing.clone() } else { take(outgoing) };
            let next = body.next().ok_or(ProxyError::ClientBody)?;
            let request = head.request(version, next);
            let is_pooled = channel.is_pooled();
            let started = clock::now();
            let sent = {
                let sending = pin!(channel.send(request));
                self.within(begun, sending).await
            };
            if let Some(host) = &judged {
                self.cluster.note(policy, host, went(&sent));
            }
            let is_success =
                matches!(&sent, Ok(Ok(response)) if !response.status().is_server_error());
            busy.host().counts.answered(is_success);
            let failure = match sent? {
                Ok(response) => {
                    let upstream_time = clock::now().saturating_duration_since(started);
                    let connection = channel.occupy(&mut busy);
                    return Ok(Answer { response, connection, busy, upstream_time });
                }
                Err(failure) => failure,
            };
            self.note_transport(failure.error);
            let was_dead = is_stale || (is_pooled && failure.unsent.is_some());
            if let Some(unsent) = failure.unsent {
                outgoing.recover(*unsent, body);
            }
            let is_closed = failure.error == ProxyError::UpstreamClosed;
            if !is_closed || !was_dead || tries.stale == STALE_TRIES_MAX {
                return Err(failure.error);
            }
            self.note_tried(tries);
            tries.stale += 1;
        }
    }

    /// A connection of the pool or a fresh one.
    async fn acquire(
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
    fn permitted(
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

    /// Tells the endpoint's health of a connection that did not come about.
    fn note_failure(&self, policy: &ClusterView, busy: &Busy, error: ProxyError) {
        self.note_transport(error);
        if error != ProxyError::Overflow {
            self.cluster.note(policy, busy.host(), Went::Failed);
        }
    }

    fn note_transport(&self, error: ProxyError) {
        if let ProxyError::TlsFailed(fault) = error {
            self.trace.transport_failure.set(Some(fault.reason()));
        }
    }

    /// May the request have to be sent again after it was sent, so that a copy must be kept?
    pub fn may_follow_sending(&self) -> bool {
        let version = self.upstream_version(&self.cluster.policy.load());
        self.retry.is_some_and(|retry| {
            retry::may_follow_sending(retry, self.is_grpc, version == Version::HTTP_2)
        })
    }

    fn upstream_version(&self, policy: &ClusterView) -> Version {
        match policy.protocol {
            UpstreamProtocol::Http1 => Version::HTTP_11,
            UpstreamProtocol::Http2 => Version::HTTP_2,
            UpstreamProtocol::FromClient => self.version,
        }
    }

    /// Gives `future` up when the request is due, or the try that began at `begun`, or when nothing
    /// has moved for too long. Arms a timer
    /// only where there is a limit, and only once the request is complete.
    async fn within<F: Future>(
        &self,
        begun: Option<Instant>,
        mut future: Pin<&mut F>,
    ) -> Result<F::Output, ProxyError> {
        let mut timer = None;
        poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Ok(output));
            }
            if self.downstream.is_request_late() {
                // Once the request's own timeout runs, it alone decides.
                if self.limits.deadline().is_none() {
                    return Poll::Ready(Err(ProxyError::StreamIdle));
                }
                self.downstream.pardon();
            }
            let Some(completion) = &self.limits.completion else { return Poll::Pending };
            let complete = ready!(completion.poll(cx));
            let (sleep, late) = timer.get_or_insert_with(|| {
                let (at, late) = self.due(complete, begun);
                // Boxed, so that requests without a limit do not carry the room for a timer.
                (at.map(|at| Box::pin(tokio::time::sleep_until(at.into()))), late)
            });
            match sleep {
                Some(sleep) => sleep.as_mut().poll(cx).map(|()| Err(*late)),
                None => Poll::Pending,
            }
        })
        .await
    }

    /// What is due first, the request or the try, and what it means if it is late.
    fn due(&self, complete: Instant, begun: Option<Instant>) -> (Option<Instant>, ProxyError) {
        let all = self.limits.timeout.map(|limit| complete + limit);
        let each = self.limits.per_try.zip(begun).map(|(limit, begun)| complete.max(begun) + limit);
        match (all, each) {
            (Some(all), Some(each)) if each < all => (Some(each), ProxyError::TryTimedOut),
            (Some(all), _) => (Some(all), ProxyError::TimedOut),
            (None, each) => (each, ProxyError::TryTimedOut),
        }
    }
}

impl Default for Outgoing {
    fn default() -> Self {
        Self { method: Method::GET, uri: Uri::default(), headers: HeaderMap::new() }
    }
}

impl Outgoing {
    /// What is left of `parts` is of no use.
    pub fn take(parts: &mut Parts) -> Self {
        let Parts { method, uri, headers, .. } = parts;
        Self { method: take(method), uri: take(uri), headers: take(headers) }
    }

    fn request(self, version: Version, body: RequestBody) -> Request<RequestBody> {
        let mut request = Request::new(body);
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri;
        *request.headers_mut() = self.headers;
        let (mut parts, body) = request.into_parts();
        request::set_upstream_form(&mut parts, version);
        // The library takes a body of unknown length away from GET unless it is told.
        if version == Version::HTTP_11
            && matches!(parts.method, Method::GET | Method::HEAD)
            && !body.is_end_stream()
            && body.size_hint().exact().is_none()
        {
            parts.headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        Request::from_parts(parts, body)
    }

    /// Takes back a request that was not sent.
    fn recover(&mut self, unsent: Request<RequestBody>, body: &mut BodySource) {
        let (mut parts, unsent_body) = unsent.into_parts();
        // HTTP/2 has it in the URI; the next try may need it as a field again.
        if let Some(authority) = parts.uri.authority()
            && let Ok(host) = http::HeaderValue::from_str(authority.as_str())
        {
            parts.headers.insert(http::header::HOST, host);
        }
        *self = Self { method: parts.method, uri: parts.uri, headers: parts.headers };
        match (body, unsent_body) {
            (BodySource::Once(slot), RequestBody::Stream(incoming)) => *slot = Some(incoming),
            (BodySource::Ready(slot), unsent) => *slot = Some(unsent),
            _ => {}
        }
    }
}

impl Channel {
    fn is_pooled(&self) -> bool {
        match self {
            Self::Own(connection) => connection.requests() > 0,
            Self::Shared(_) => true,
        }
    }

    fn local(&self) -> Option<SocketAddr> {
        match self {
            Self::Own(connection) => connection.local(),
            Self::Shared(stream) => stream.local(),
        }
    }

    fn is_stale(&self) -> bool {
        match self {
            Self::Own(connection) => {
                connection.requests() > 0 && connection.idle_for() >= STALE_AFTER
            }
            Self::Shared(_) => false,
        }
    }

    /// The request's own connection, or none and its place on a shared one is kept with `busy`.
    fn occupy(self, busy: &mut Busy) -> Option<Connection> {
        match self {
            Self::Own(connection) => Some(connection),
            Self::Shared(stream) => {
                busy.occupy(stream);
                None
            }
        }
    }

    /// Sends, and drives the connection until the response's head is there.
    async fn send(&mut self, request: Request<RequestBody>) -> Result<Response<Incoming>, Failure> {
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

/// What the end of a try says of the endpoint.
fn went(sent: &Result<Result<Response<Incoming>, Failure>, ProxyError>) -> Went {
    match sent {
        Ok(Ok(response)) => Went::Answered(response.status().as_u16()),
        Ok(Err(Failure { error: ProxyError::ClientBody, .. })) => Went::Well,
        Ok(Err(_)) | Err(_) => Went::Failed,
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

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::HOST;

    #[test]
    fn a_request_that_was_not_sent_comes_back_with_its_host() {
        for version in [Version::HTTP_11, Version::HTTP_2] {
            let headers = [(HOST, HeaderValue::from_static("a.example"))].into_iter().collect();
            let uri = Uri::from_static("/x?q=1");
            let unsent =
                Outgoing { method: Method::GET, uri, headers }.request(version, RequestBody::Empty);
            let mut back = Outgoing::default();
            back.recover(unsent, &mut BodySource::None);
            assert_eq!(back.headers.get(HOST).unwrap(), "a.example", "{version:?}");
            let again = back.request(Version::HTTP_11, RequestBody::Empty);
            assert_eq!(again.uri(), "/x?q=1", "{version:?}");
        }
    }
}
