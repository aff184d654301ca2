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

use fairway_shared::snapshot::cluster::UpstreamProtocol;
use fairway_shared::snapshot::route::RetryPolicy;
use http::{Response, Version};
use hyper::body::Incoming;

use super::body::Completion;
use super::channel::Failure;
use super::connection::Downstream;
use super::flag::Flags;
use super::outgoing::{BodySource, Outgoing};
use super::reply::ProxyError;
use super::request;
use super::retry::{self, TryEnd};
use crate::clock;
use crate::cluster::actor::ClusterView;
use crate::cluster::handle::{ClusterHandle, Went, add_one};
use crate::cluster::limits::{Count, Overflow, Permit};
use crate::cluster::pool::Connection;
use crate::cluster::secured::Wanted;
use crate::subset::balance::SubsetView;
use crate::subset::host::{Busy, Host};

/// Tries before `retryRemoteLocalities` looks at other localities.
const TRIES_NEARBY: u32 = 2;
/// Silent repetitions on connections that turned out to be dead, at most.
const STALE_TRIES_MAX: u32 = 3;

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

    /// An endpoint for the next try, which is noted.
    fn pick(&self, subset: &SubsetView, tries: &Tries) -> Result<Rc<Host>, ProxyError> {
        let random = &mut self.downstream.random();
        let picked = match self.goes_elsewhere(tries.number) {
            true => subset.pick_elsewhere(self.key, &tries.tried, random),
            false => subset.pick(self.key, &tries.tried, random),
        };
        let host = picked.ok_or(ProxyError::NoHealthyUpstream)?;
        self.trace.attempts.set(tries.number);
        self.trace.host.replace(Some(Rc::clone(host)));
        self.trace.local.set(None);
        self.trace.transport_failure.set(None);
        Ok(Rc::clone(host))
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
            let host = self.pick(subset, tries)?;
            let may_repeat = tries.left > 0;
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
            let keep = is_stale || (may_repeat && self.may_follow_sending(policy));
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
    pub fn may_follow_sending(&self, policy: &ClusterView) -> bool {
        let version = self.upstream_version(policy);
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
    /// has moved for too long. Arms a timer only where there is a limit, and only once the request
    /// is complete.
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

/// What the end of a try says of the endpoint.
fn went(sent: &Result<Result<Response<Incoming>, Failure>, ProxyError>) -> Went {
    match sent {
        Ok(Ok(response)) => Went::Answered(response.status().as_u16()),
        Ok(Err(Failure { error: ProxyError::ClientBody, .. })) => Went::Well,
        Ok(Err(_)) | Err(_) => Went::Failed,
    }
}
