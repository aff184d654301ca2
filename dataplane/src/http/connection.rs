//! Serves one downstream connection, as a task of the worker's thread.

use std::cell::{Cell, RefCell, RefMut};
use std::error::Error;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::Duration;

use fairway_shared::ipc::edge::EdgeLimits;
use http::header::HeaderValue;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::TokioTimer;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::coalesced::{Coalesced, InTurns};
use super::prefixed::{Prefixed, Spoken};
use super::recorded;
use super::reply::ProxyError;
use super::resting;
use super::secure::Secure;
use super::trust::HeadRules;
use crate::listener::addresses::Addresses;
use crate::listener::dispatch::Ends;
use crate::listener::lives::{Driven, InFlight, Life, Lives, Order, Watch};
use crate::listener::pulse::Phase;
use crate::listener::refusals::{Refusal, Refusals};
use crate::listener::streams::StreamExecutor;
use crate::listener::unserved;
use crate::route::bound::BoundTable;
use crate::tcp::buffers::Buffers;
use crate::telemetry::connections::ConnectionFigures;
use crate::telemetry::recording::Recording;
use crate::telemetry::requests::DestinationFigures;
use crate::tls::accept::HandshakeFigures;
use crate::worker::published::View;

/// Streams that a client has reset before they were taken up: more is an attack (rapid reset).
const RESET_UNSEEN_MAX: usize = 20;
/// Streams that a client's mistakes have made the gateway reset (MadeYouReset).
const RESET_BY_US_MAX: usize = 100;
/// Bytes of one stream's response that may wait for the client to take them.
const STREAM_UNSENT_BYTES_MAX: usize = 128 * 1024;
/// Flow-control windows of HTTP/2, in bytes (Envoy edge guide).
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;

/// What the connections of one bound address share.
#[derive(Debug)]
pub struct Serving {
    /// Value of `server`; `None` = the upstream's passes.
    pub server_header: Option<HeaderValue>,
    /// Figures of requests that reach no cluster.
    pub unrouted: Rc<DestinationFigures>,
    /// Figures of connections that reach no cluster.
    pub unrouted_connections: Rc<ConnectionFigures>,
    /// What opaque bytes are moved with.
    pub buffers: Rc<Buffers>,
    /// Longest life of a connection after the order to finish.
    pub drain: Duration,
    /// How TLS handshakes ended.
    pub handshakes: Rc<HandshakeFigures>,
    /// What is recorded of each request.
    pub recording: View<Recording>,
    /// How request heads are read; those of the snapshot in force.
    pub rules: Rc<Cell<HeadRules>>,
    /// What clients may take.
    pub limits: EdgeLimits,
    /// What they were refused.
    pub refusals: Rc<Refusals>,
    /// Open connections by address, where they are limited.
    pub addresses: Rc<Addresses>,
    /// Chance, for balancing.
    pub random: RefCell<fastrand::Rng>,
}

/// Who is at the other end.
#[derive(Debug, Clone)]
pub struct Peer {
    /// The client.
    pub remote: SocketAddr,
    /// Where it connected to.
    pub local: SocketAddr,
    /// The client's address, as headers name it.
    pub address_text: HeaderValue,
}

impl Peer {
    fn new(Ends { remote, local }: Ends) -> Self {
        let address = remote.ip().to_canonical().to_string();
        let address_text =
            HeaderValue::from_str(&address).unwrap_or_else(|_| HeaderValue::from_static("-"));
        Self { remote, local, address_text }
    }
}

/// One downstream connection.
#[derive(Debug)]
pub struct Downstream {
    table: View<BoundTable>,
    serving: Rc<Serving>,
    peer: Peer,
    spoken: Spoken,
    secure: Option<Secure>,
    lives: Rc<Lives>,
    watch: Watch,
    /// Requests so far.
    requests: Cell<u32>,
}

impl Downstream {
    /// The routes of this instant for requests to `host`.
    ///
    /// # Errors
    /// [`ProxyError::Misdirected`]: the host has another server, on other terms.
    pub fn table(&self, host: &str) -> Result<Rc<BoundTable>, ProxyError> {
        match &self.secure {
            None => Ok(self.table.load()),
            Some(secure) => secure.table_for(host, &self.table),
        }
    }

    /// What the connection's TLS is; `None` for plaintext.
    pub fn secure(&self) -> Option<&Secure> {
        self.secure.as_ref()
    }

    /// The connection's own scheme.
    pub fn scheme(&self) -> &'static str {
        if self.secure.is_some() { "https" } else { "http" }
    }

    /// Who is at the other end.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Value of `server`.
    pub fn server_header(&self) -> Option<&HeaderValue> {
        self.serving.server_header.as_ref()
    }

    /// How request heads are read, as of this instant.
    pub fn rules(&self) -> HeadRules {
        self.serving.rules.get()
    }

    /// Figures of requests that reach no cluster.
    pub fn unrouted(&self) -> &Rc<DestinationFigures> {
        &self.serving.unrouted
    }

    /// What is recorded of each request, as of this instant.
    pub fn recording(&self) -> Rc<Recording> {
        self.serving.recording.load()
    }

    /// Chance. Not to be held over an `await`.
    pub fn random(&self) -> RefMut<'_, fastrand::Rng> {
        self.serving.random.borrow_mut()
    }

    /// Every answer is to say that the connection closes (RFC 9112 9.6); HTTP/2 says it by itself.
    pub fn must_say_close(&self) -> bool {
        self.spoken == Spoken::Http1 && (self.lives.is_leaving() || self.is_used_up())
    }

    /// Counts a request that begins. The last one that the connection may have is the last.
    pub fn begin(&self, has_body: bool) -> InFlight {
        self.requests.set(self.requests.get().saturating_add(1));
        if self.is_used_up() {
            self.watch.retire();
        }
        InFlight::new(self.watch.clone(), has_body)
    }

    fn is_used_up(&self) -> bool {
        let max = self.serving.limits.requests_per_connection_max;
        max > 0 && self.requests.get() >= max
    }

    /// Has nothing moved for too long of the request whose task runs?
    pub fn is_request_late(&self) -> bool {
        self.watch.is_request_late()
    }

    /// Another limit holds for that request.
    pub fn pardon(&self) {
        self.watch.pardon();
    }

    /// What clients may take.
    pub fn limits(&self) -> &EdgeLimits {
        &self.serving.limits
    }

    /// What they were refused.
    pub fn refusals(&self) -> &Refusals {
        &self.serving.refusals
    }

    /// See [`Watch::take_heard`].
    pub fn take_heard(&self) -> u32 {
        self.watch.take_heard()
    }

    /// Something that goes on after the HTTP of this connection and is waited for as it would be.
    pub fn outlive(&self) -> Life {
        self.lives.begin()
    }

    /// As access logs write it.
    pub fn protocol(&self) -> &'static str {
        match self.spoken {
            Spoken::Http1 => "HTTP/1.1",
            Spoken::Http2 => "HTTP/2",
        }
    }
}

/// Serves plaintext with the routes of `table` until the client or the worker ends it.
pub async fn serve(
    stream: TcpStream,
    ends: Ends,
    table: View<BoundTable>,
    serving: Rc<Serving>,
    life: &Life,
) {
    let watch = life.watch();
    let pulse = watch.pulse();
    watch.enter(Phase::Opening);
    let detecting = pin!(async {
        stream.readable().await?;
        Prefixed::detect(stream, pulse).await
    });
    let Some(Ok((stream, spoken))) = life.guard(detecting).await else { return };
    let (peer, lives, requests) = (Peer::new(ends), Rc::clone(life.all()), Cell::default());
    let secure = None;
    let downstream = Downstream { table, serving, peer, spoken, secure, lives, watch, requests };
    speak(stream, downstream, life).await;
}

/// As [`serve`], for what is inside TLS, whose large state stays where it is.
pub async fn serve_secure(
    mut stream: Box<TlsStream<TcpStream>>,
    (ends, secure): (Ends, Secure),
    table: View<BoundTable>,
    serving: Rc<Serving>,
    life: &Life,
) {
    let watch = life.watch();
    let pulse = watch.pulse();
    watch.enter(Phase::Opening);
    let (stream, spoken) = match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => (Prefixed::plain(stream, pulse), Spoken::Http2),
        Some(_) => (Prefixed::plain(stream, pulse), Spoken::Http1),
        None => {
            let detecting = pin!(async {
                stream.fill_buf().await?;
                Prefixed::detect(stream, pulse).await
            });
            let Some(Ok(detected)) = life.guard(detecting).await else { return };
            detected
        }
    };
    let (peer, secure, lives) = (Peer::new(ends), Some(secure), Rc::clone(life.all()));
    let requests = Cell::default();
    let downstream = Downstream { table, serving, peer, spoken, secure, lives, watch, requests };
    speak(stream, downstream, life).await;
}

async fn speak<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    mut stream: Prefixed<S>,
    downstream: Downstream,
    life: &Life,
) {
    let spoken = downstream.spoken;
    let (limits, refusals) = (downstream.serving.limits, Rc::clone(&downstream.serving.refusals));
    let watch = downstream.watch.clone();
    let pulse = watch.pulse();
    let downstream = Rc::new(downstream);
    let served = Rc::clone(&downstream);
    let service = service_fn(move |request| recorded::serve(Rc::clone(&served), request));
    let ended = match spoken {
        Spoken::Http1 => resting::speak(stream, service, &limits, life).await,
        Spoken::Http2 => {
            let executor = StreamExecutor::new(watch.clone());
            if watch.pulse().phase() == Phase::Head {
                watch.enter(Phase::Idle); // what was read ahead is HTTP/2's preface
            }
            stream.meter();
            let stream = Coalesced::new(stream);
            let connection = http2::Builder::new(executor)
                .timer(TokioTimer::new())
                .max_concurrent_streams(limits.streams_max)
                .max_send_buf_size(STREAM_UNSENT_BYTES_MAX)
                .max_pending_accept_reset_streams(RESET_UNSEEN_MAX)
                .max_local_error_reset_streams(RESET_BY_US_MAX)
                .initial_stream_window_size(STREAM_WINDOW_BYTES)
                .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
                .max_header_list_size(limits.head_bytes_max)
                .serve_connection(stream.clone(), service);
            let connection = InTurns::new(connection, stream);
            let mut connection = pin!(connection);
            let driven = life.drive(connection.as_mut(), Order::Announce, |mut turns| {
                http2::Connection::graceful_shutdown(turns.connection.as_mut());
            });
            match driven.await {
                Driven::Over(ended) => ended.flatten(),
                Driven::Rests => None,
            }
        }
    };
    // Requests on the connection have their own accounts.
    let refusal = match ended {
        Some(Err(_)) if pulse.is_flooded() => Some(Refusal::Flood),
        Some(Err(error)) => refusal_of(&error),
        _ => None,
    };
    let Some(refusal) = refusal else { return };
    refusals.count(refusal);
    if spoken == Spoken::Http1 {
        let ends = Ends { remote: downstream.peer.remote, local: downstream.peer.local };
        unserved::log_unreadable(ends, refusal, &downstream.recording());
    }
}

/// What a connection's end says of its client; `None` if nothing.
fn refusal_of(error: &hyper::Error) -> Option<Refusal> {
    let h2 = error.source().and_then(|source| source.downcast_ref::<h2::Error>());
    match h2.and_then(h2::Error::reason) {
        Some(h2::Reason::ENHANCE_YOUR_CALM) => Some(Refusal::Flood),
        Some(_) => h2.is_some_and(|h2| !h2.is_remote()).then_some(Refusal::Malformed),
        None if error.is_parse_too_large() => Some(Refusal::TooLarge),
        None => error.is_parse().then_some(Refusal::Malformed),
    }
}

/// Ends a connection without harm to the requests on it.
pub type Graceful<C> = fn(Pin<&mut C>);
