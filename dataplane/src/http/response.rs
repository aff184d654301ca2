//! Response bodies; a request's account ends with them.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::Sleep;

use super::flag::Flags;
use super::upstream_error::{Cause, cause_of};
use crate::cluster::pool::Connection;
use crate::listener::lives::InFlight;
use crate::subset::host::Busy;
use crate::telemetry::account::Account;

/// Why a body broke off after its head was sent: the client sees a reset or a short body.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The upstream's fault.
    #[error("upstream response broke off")]
    Upstream(#[source] hyper::Error),
    /// The route's timeout passed.
    #[error("request timed out while its response was sent")]
    TimedOut,
}

impl BodyError {
    /// The response flag. Envoy 1.40 calls a connection that closes amid a body `UPE`; `UC` says
    /// what happened.
    fn flags(&self) -> Flags {
        match self {
            Self::TimedOut => Flags::TIMEOUT,
            Self::Upstream(error) => match cause_of(error) {
                Cause::Reset => Flags::UPSTREAM_RESET,
                Cause::Protocol => Flags::UPSTREAM_PROTOCOL,
                Cause::Refused | Cause::Closed => Flags::UPSTREAM_CLOSED,
            },
        }
    }
}

/// What is sent downstream.
pub struct ReplyBody {
    content: Content,
    account: Option<Account>,
    in_flight: Option<InFlight>,
}

enum Content {
    Full(Option<Bytes>),
    Upstream(Box<UpstreamBody>),
}

/// A response body as it comes from upstream.
pub struct UpstreamBody {
    incoming: Incoming,
    /// The HTTP/1.1 connection that it comes on, driven here; HTTP/2 has a task for that.
    connection: Option<Connection>,
    requests_per_connection_max: u32,
    busy: Busy,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl ReplyBody {
    /// A body that is there already.
    pub fn full(bytes: Bytes) -> Self {
        let content = Content::Full(Some(bytes).filter(|bytes| !bytes.is_empty()));
        Self { content, account: None, in_flight: None }
    }

    /// A body that comes from upstream.
    pub fn upstream(body: UpstreamBody) -> Self {
        let mut body = Box::new(body);
        if body.incoming.is_end_stream() {
            body.release();
        }
        Self { content: Content::Upstream(body), account: None, in_flight: None }
    }

    /// Ends the account when this body ends; at once if it `is_not_sent`.
    pub fn settle(&mut self, account: Account, is_not_sent: bool) {
        if is_not_sent || self.is_end_stream() {
            account.end(Flags::NONE);
        } else {
            self.account = Some(account);
        }
    }

    /// Holds what says that a request is being answered.
    pub fn keep(&mut self, in_flight: InFlight) {
        self.in_flight = Some(in_flight);
    }

    fn note_end(&mut self, how: Flags) {
        if let Some(account) = self.account.take() {
            account.end(how);
        }
    }
}

/// Given up: because nothing moved, or because the client went away, which is what an account says
/// that was not ended.
impl Drop for ReplyBody {
    fn drop(&mut self) {
        if self.in_flight.as_ref().is_some_and(InFlight::is_late) {
            self.note_end(Flags::STREAM_IDLE);
        }
    }
}

impl UpstreamBody {
    /// `connection` is the one that `incoming` comes on, if it is HTTP/1.1.
    pub fn new(
        incoming: Incoming,
        connection: Option<Connection>,
        busy: Busy,
        requests_per_connection_max: u32,
    ) -> Self {
        Self { incoming, connection, requests_per_connection_max, busy, deadline: None }
    }

    /// Gives the body up at that instant.
    #[must_use]
    pub fn until(mut self, deadline: Option<Instant>) -> Self {
        self.deadline = deadline.map(|at| Box::pin(tokio::time::sleep_until(at.into())));
        self
    }

    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Poll::Ready(frame) = self.poll_incoming(cx) {
            return Poll::Ready(frame);
        }
        if let Some(connection) = &mut self.connection {
            if connection.poll_drive(cx).is_ready() {
                self.connection = None;
            }
            if let Poll::Ready(frame) = self.poll_incoming(cx) {
                return Poll::Ready(frame);
            }
        }
        match self.deadline.as_mut().map(|deadline| deadline.as_mut().poll(cx)) {
            Some(Poll::Ready(())) => Poll::Ready(Some(Err(BodyError::TimedOut))),
            _ => Poll::Pending,
        }
    }

    fn poll_incoming(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.incoming).poll_frame(cx);
        polled.map(|frame| frame.map(|frame| frame.map_err(BodyError::Upstream)))
    }

    /// Hands the connection back once the body is read.
    fn release(&mut self) {
        let host = self.busy.host();
        if let Some(connection) = self.connection.take()
            && connection.requests() < self.requests_per_connection_max
            && !host.is_retired()
        {
            host.pool.put(connection);
        }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = match &mut self.content {
            Content::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Content::Upstream(body) => {
                let polled = body.poll_frame(cx);
                let is_end = matches!(polled, Poll::Ready(None)) || body.incoming.is_end_stream();
                if is_end {
                    body.release();
                }
                polled
            }
        };
        match &polled {
            Poll::Ready(Some(Err(error))) => {
                let how = error.flags();
                self.note_end(how);
            }
            Poll::Ready(None) => self.note_end(Flags::NONE),
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(account) = &mut self.account {
                    match (frame.data_ref(), frame.trailers_ref()) {
                        (Some(data), _) => account.sent(data),
                        (None, Some(trailers)) => account.trailers(trailers, grpc_status(trailers)),
                        (None, None) => {}
                    }
                }
                if self.is_end_stream() {
                    self.note_end(Flags::NONE);
                }
            }
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Full(bytes) => bytes.is_none(),
            Content::Upstream(body) => body.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Full(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Content::Upstream(body) => body.incoming.size_hint(),
        }
    }
}

/// `grpc-status` of trailers, or of headers in a response without a body.
pub fn grpc_status(fields: &http::HeaderMap) -> Option<u16> {
    fields.get("grpc-status")?.to_str().ok()?.parse().ok()
}
