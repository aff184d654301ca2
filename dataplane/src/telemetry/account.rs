//! One request's account: figures always, a record where somebody wants one. Closed once, when
//! the response ends or is given up.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fairway_shared::snapshot::route::Route;
use http::header::{self, HeaderMap};
use http::{Method, Response, Uri};

use super::messages::Messages;
use super::record::{Ends, Record, Side};
use super::recording::Recording;
use super::requests::{DestinationFigures, Outcome, Sizes};
use super::spans::Context;
use crate::clock;
use crate::cluster::handle::ClusterHandle;
use crate::http::connection::Downstream;
use crate::http::flag::Flags;
use crate::http::forward::Trace;
use crate::http::request;

/// What it is called when a response breaks off after its head (Istio contract 2.12).
const BROKEN_OFF: [(Flags, &str); 5] = [
    (Flags::UPSTREAM_CLOSED, "upstream_reset_after_response_started{connection_termination}"),
    (Flags::UPSTREAM_RESET, "upstream_reset_after_response_started{remote_reset}"),
    (Flags::UPSTREAM_PROTOCOL, "upstream_reset_after_response_started{protocol_error}"),
    (Flags::TIMEOUT, "response_timeout"),
    (Flags::STREAM_IDLE, "stream_idle_timeout"),
];

/// How much of a request's body came, and when all of it had. Shared with the body.
#[derive(Debug, Default)]
pub struct Received {
    bytes: Cell<u64>,
    messages: Cell<Option<Messages>>,
    completed: Cell<Option<Instant>>,
}

impl Received {
    /// More came.
    pub fn add(&self, data: &[u8]) {
        self.bytes.set(self.bytes.get() + data.len() as u64);
        if let Some(mut messages) = self.messages.get() {
            messages.add(data);
            self.messages.set(Some(messages));
        }
    }

    /// All came.
    pub fn complete(&self) {
        if self.completed.get().is_none() {
            self.completed.set(Some(clock::now()));
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Account {
    started: Instant,
    outcome: Outcome,
    /// Where it is counted: nowhere in particular, at a cluster, at an endpoint's workload.
    figures: Rc<DestinationFigures>,
    cluster: Option<Rc<ClusterHandle>>,
    received: Option<Rc<Received>>,
    sent_bytes: u64,
    /// Tries so far.
    attempts: u32,
    /// gRPC messages to the client.
    sent_messages: Option<Messages>,
    /// The gateway's span, if tracing is on.
    context: Option<Context>,
    open: Option<Box<Open>>,
    parked: Option<Parked>,
}

/// What is asked for, as received.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Its target.
    pub uri: &'a Uri,
    /// Its fields.
    pub headers: &'a HeaderMap,
}

/// A record that is being filled, and for whom.
#[derive(Debug)]
struct Open {
    record: Record,
    recording: Rc<Recording>,
}

/// Where the account of a request waits that has become a tunnel: it ends with the tunnel.
#[derive(Debug, Clone, Default)]
pub struct Parked(Rc<RefCell<Option<Account>>>);

impl Account {
    /// Opens the account of a request without a cluster.
    pub fn open(started: Instant, downstream: &Downstream, line: Line<'_>) -> Self {
        let recording = downstream.recording();
        let context = recording.context(line.headers);
        let open = recording.wants_record(context.as_ref()).then(|| {
            let record = begin(downstream, line, &recording);
            Box::new(Open { record, recording })
        });
        let is_grpc = request::is_grpc(line.headers);
        let outcome = Outcome { status: 0, flags: Flags::CLIENT_GONE, is_grpc, grpc_status: None };
        Self {
            started,
            outcome,
            figures: Rc::clone(downstream.unrouted()),
            cluster: None,
            received: None,
            sent_bytes: 0,
            attempts: 0,
            sent_messages: is_grpc.then(Messages::default),
            context,
            open,
            parked: None,
        }
    }

    /// The request's path is canonical now.
    pub fn note_path(&mut self, uri: &Uri) {
        if let Some(open) = &mut self.open {
            open.record.path = uri.path_and_query().cloned();
        }
    }

    /// The request takes this route.
    pub fn route(&mut self, route: &Arc<Route>) {
        if let Some(open) = &mut self.open {
            open.record.route = Some(Arc::clone(route));
        }
    }

    /// The request goes to this cluster.
    pub fn route_to(&mut self, cluster: &Rc<ClusterHandle>) {
        self.figures = Rc::clone(cluster.figures.unknown());
        self.cluster = Some(Rc::clone(cluster));
        if let Some(open) = &mut self.open {
            open.record.cluster = Some(Rc::clone(&cluster.id));
        }
    }

    /// This is sent upstream, with the trace context where tracing is on.
    pub fn forward(&mut self, headers: &mut HeaderMap, uri: &Uri) {
        if let Some(context) = &self.context {
            context.write(headers);
        }
        if let Some(open) = &mut self.open {
            open.record.note_forwarded(uri);
            open.record.authority = headers.get(header::HOST).cloned();
            open.recording.capture.take(Side::Request, headers, &mut open.record.fields);
        }
    }

    /// What became of that.
    pub fn forwarded(&mut self, trace: &Trace, is_answered: bool) {
        let host = trace.host.take();
        self.attempts = trace.attempts.get();
        if let (Some(cluster), Some(host)) = (&self.cluster, &host) {
            self.figures = cluster.figures.at(&host.figures, host.address);
        }
        if let Some(Open { record, .. }) = self.open.as_deref_mut() {
            record.attempts = trace.attempts.get();
            record.upstream = host.map(|host| host.address);
            record.upstream_local = trace.local.get();
            record.transport_failure = trace.transport_failure.get();
            let after = || clock::now().saturating_duration_since(self.started);
            record.answered_after = is_answered.then(after);
        }
    }

    /// Was it sent more than once?
    pub fn is_retried(&self) -> bool {
        self.attempts > 1
    }

    /// The request has a body, whose bytes are counted here.
    pub fn receives(&mut self) -> Rc<Received> {
        let messages = Cell::new(self.outcome.is_grpc.then(Messages::default));
        let fresh = || Rc::new(Received { messages, ..Received::default() });
        Rc::clone(self.received.get_or_insert_with(fresh))
    }

    /// Has all of the request come?
    pub fn is_received(&self) -> bool {
        self.received.as_ref().is_none_or(|received| received.completed.get().is_some())
    }

    /// Is the request gRPC?
    pub fn is_grpc(&self) -> bool {
        self.outcome.is_grpc
    }

    /// The gRPC status that came in the response's head or trailers.
    pub fn set_grpc_status(&mut self, status: Option<u16>) {
        self.outcome.grpc_status = status;
    }

    /// Who decided the response, in the reference's words (Istio contract 6.2).
    pub fn detail(&mut self, details: &'static str) {
        if let Some(open) = &mut self.open {
            open.record.details = Some(details);
        }
    }

    /// A response is known. Until it ends, it may still be given up.
    pub fn answer<B>(&mut self, response: &Response<B>, flags: Flags) {
        self.outcome.status = response.status().as_u16();
        self.outcome.flags = flags.and(Flags::CLIENT_GONE);
        if let Some(open) = &mut self.open {
            let fields = &mut open.record.fields;
            open.recording.capture.take(Side::Response, response.headers(), fields);
        }
    }

    /// Body bytes on their way to the client.
    pub fn sent(&mut self, data: &[u8]) {
        self.sent_bytes += data.len() as u64;
        if let Some(messages) = &mut self.sent_messages {
            messages.add(data);
        }
    }

    /// Trailers on their way to the client.
    pub fn trailers(&mut self, trailers: &HeaderMap, grpc_status: Option<u16>) {
        self.outcome.grpc_status = grpc_status;
        if let Some(open) = &mut self.open {
            open.recording.capture.take(Side::Trailer, trailers, &mut open.record.fields);
        }
    }

    /// The request becomes a tunnel: the account stays open until the returned place is dropped.
    pub fn park(&mut self) -> Parked {
        self.parked.get_or_insert_default().clone()
    }

    /// The response ended, for that reason.
    pub fn end(mut self, how: Flags) {
        self.outcome.flags = self.outcome.flags.without(Flags::CLIENT_GONE).and(how);
        for (flag, details) in BROKEN_OFF {
            if how.has(flag) {
                self.detail(details);
            }
        }
        if let Some(parked) = self.parked.take() {
            parked.0.replace(Some(self));
        }
    }
}

impl Parked {
    /// The tunnel is over, after so many bytes from and to the client.
    pub fn end(self, received: u64, sent: u64) {
        if let Some(mut account) = self.0.take() {
            account.receives().bytes.set(received);
            account.sent_bytes = sent;
        }
    }
}

/// What is known from the request's head.
fn begin(downstream: &Downstream, line: Line<'_>, recording: &Recording) -> Record {
    let peer = downstream.peer();
    let authority = match line.uri.authority() {
        Some(authority) => authority.as_str().parse().ok(),
        None => line.headers.get(header::HOST).cloned(),
    };
    let mut record = Record {
        protocol: Some(downstream.protocol()),
        scheme: "http",
        method: Some(line.method.clone()),
        path: line.uri.path_and_query().cloned(),
        authority,
        ends: Some(Ends { remote: peer.remote, direct: peer.remote, local: peer.local }),
        ..Record::default()
    };
    recording.capture.take(Side::Request, line.headers, &mut record.fields);
    // A response of the gateway's own is logged under the same names as a forwarded one.
    recording.capture.replace(&mut record.fields, &request::FORWARDED_FOR, || {
        request::forwarded_for(line.headers, peer)
    });
    recording.capture.replace(&mut record.fields, &request::REQUEST_ID, request::request_id);
    record
}

impl Drop for Account {
    fn drop(&mut self) {
        let duration = clock::now().saturating_duration_since(self.started);
        let received = self.received.as_deref();
        let count = |messages: Option<Messages>| messages.map_or(0, |messages| messages.count());
        let sizes = Sizes {
            duration,
            received_bytes: received.map_or(0, |body| body.bytes.get()),
            sent_bytes: self.sent_bytes,
            received_messages: received.map_or(0, |body| count(body.messages.get())),
            sent_messages: count(self.sent_messages),
        };
        let Some(Open { mut record, recording }) = self.open.take().map(|open| *open) else {
            return self.figures.record(self.outcome, &[], &sizes);
        };
        let received_after = match received {
            Some(received) => received.completed.get().map(|at| at - self.started),
            None => Some(Default::default()),
        };
        finish(&mut record, self.outcome, &sizes, received_after);
        self.figures.record(self.outcome, &recording.labels(&record), &sizes);
        recording.finish(&record, self.context.as_ref());
    }
}

/// What is known at the end only.
fn finish(record: &mut Record, outcome: Outcome, sizes: &Sizes, received: Option<Duration>) {
    let Outcome { status, flags, grpc_status, .. } = outcome;
    (record.status, record.flags, record.grpc_status) = (status, flags, grpc_status);
    if flags.has(Flags::CLIENT_GONE) {
        record.details = Some("downstream_remote_disconnect");
    }
    record.duration = sizes.duration;
    record.sent_bytes = sizes.sent_bytes;
    record.received_bytes = sizes.received_bytes;
    record.received_after = received;
}
