//! One connection of opaque bytes from its route to its last byte (Istio contract 2.11).

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::buffers::Buffers;
use super::direction::{Direction, Wire};
use super::finished::Finished;
use super::pump::{Counters, End, Limits, Pump};
use super::route::BoundTcpRoute;
use crate::clock;
use crate::cluster::connect::{self, ConnectError, Way};
use crate::cluster::handle::{ClusterHandle, Went};
use crate::cluster::pool::Open;
use crate::cluster::secured::Wanted;
use crate::http::connection::Serving;
use crate::http::flag::Flags;
use crate::listener::dispatch::Ends;
use crate::listener::lives::Life;
use crate::proxy_protocol::encode::{self, encode};
use crate::subset::hash;
use crate::subset::host::{Busy, Host};

/// Endpoints tried before a connection is given up.
const CONNECT_ATTEMPTS_MAX: usize = 3;

/// What is known of a connection when its bytes are about to be forwarded.
#[derive(Debug)]
pub struct Arrival {
    /// The client and where it connected to.
    pub ends: Ends,
    /// When it was accepted.
    pub begun: Instant,
    /// From its TLS client hello.
    pub server_name: Option<Rc<str>>,
    /// Bytes of the client that were read already: forwarded first.
    pub ahead: Vec<u8>,
}

/// Where a connection goes.
#[derive(Debug, Clone, Copy)]
pub struct Target<'t> {
    /// The VirtualService it came from; empty if none.
    pub origin: &'t str,
    /// `None` if the snapshot does not hold it.
    pub cluster: Option<&'t Rc<ClusterHandle>>,
    /// The client's address is the consistent-hash key.
    pub hash_source_ip: bool,
    /// The cluster's TLS is not for these bytes: they are TLS of their own.
    pub is_verbatim: bool,
    /// Closed after this long without a byte; `None` = never.
    pub idle_timeout: Option<Duration>,
    /// Closed this long after it was accepted; `None` = never.
    pub max_duration: Option<Duration>,
}

impl<'t> Target<'t> {
    /// The destination of a route whose turn it is.
    pub fn next_of(route: &'t BoundTcpRoute) -> Self {
        let to = route.next();
        Self {
            origin: &route.origin,
            cluster: to.and_then(|to| to.cluster.as_ref()),
            hash_source_ip: to.is_some_and(|to| to.hash_source_ip),
            is_verbatim: false,
            idle_timeout: route.idle_timeout,
            max_duration: route.max_duration,
        }
    }
}

/// A connection to an endpoint.
enum Upstream {
    Plain(TcpStream),
    Secured(Box<TlsStream<TcpStream>>),
}

/// With all that it keeps counted.
struct Connected {
    stream: Upstream,
    local: Option<SocketAddr>,
    busy: Busy,
    _open: Open,
}

/// Why there is none.
struct Refused {
    flags: Flags,
    transport_failure: Option<&'static str>,
}

impl From<Flags> for Refused {
    fn from(flags: Flags) -> Self {
        Self { flags, transport_failure: None }
    }
}

/// Forwards until either side or the worker ends it, and accounts for it.
pub async fn serve<D: Wire>(
    downstream: D,
    arrival: Arrival,
    target: Target<'_>,
    serving: &Serving,
    life: &Life,
) {
    let mut finished = Finished::new(&arrival, target);
    match target.cluster {
        None => finished.flags = Flags::NO_CLUSTER,
        Some(cluster) => {
            cluster.connections.opened();
            match connect(cluster, &arrival, target, serving).await {
                Ok(Connected { stream, local, busy, _open }) => {
                    finished.upstream = Some(busy.host().address);
                    finished.upstream_local = local;
                    let around = (serving, life);
                    match stream {
                        Upstream::Plain(upstream) => {
                            let sides = (downstream, upstream, &busy);
                            forward(sides, arrival, &mut finished, target, around).await;
                        }
                        Upstream::Secured(upstream) => {
                            let sides = (downstream, *upstream, &busy);
                            // Boxed, so that plaintext does not carry the room for it.
                            let secured = forward(sides, arrival, &mut finished, target, around);
                            Box::pin(secured).await;
                        }
                    }
                }
                Err(refused) => {
                    finished.flags = refused.flags;
                    finished.transport_failure = refused.transport_failure;
                }
            }
        }
    }
    finished.duration = clock::now().saturating_duration_since(finished.begun);
    match target.cluster {
        Some(cluster) => cluster.connections.closed(finished.flags),
        None => serving.unrouted_connections.refused(finished.flags),
    }
    finished.log(&serving.recording.load());
}

async fn forward<D: Wire, U: Wire>(
    (mut downstream, mut upstream, busy): (D, U, &Busy),
    arrival: Arrival,
    finished: &mut Finished<'_>,
    target: Target<'_>,
    (serving, life): (&Serving, &Life),
) {
    let Some(cluster) = target.cluster else { return };
    let limits = Limits {
        begun: arrival.begun,
        idle: target.idle_timeout,
        life: target.max_duration,
        drain: serving.drain,
    };
    let (received, sent) = cluster.connections.bytes();
    let mut pump = Pump { up: Direction::with_ahead(arrival.ahead), down: Direction::default() };
    let sides = (&mut downstream, &mut upstream);
    let buffers: &Buffers = &serving.buffers;
    let end = pump.run(sides, limits, Counters { received, sent }, (life, buffers)).await;
    let went = if end == End::EndpointFailed { Went::Failed } else { Went::Well };
    cluster.note(&cluster.policy.load(), busy.host(), went);
    finished.received_bytes = pump.up.moved();
    finished.sent_bytes = pump.down.moved();
    finished.termination = match end {
        End::Closed | End::ClientFailed | End::EndpointFailed => None,
        End::Idle => Some("idle_timeout"),
        End::TooOld => Some("max_connection_duration_reached"),
        End::Drained => Some("drained"),
    };
}

/// A connection to an endpoint: another one is tried if it cannot be had.
async fn connect(
    cluster: &ClusterHandle,
    arrival: &Arrival,
    target: Target<'_>,
    serving: &Serving,
) -> Result<Connected, Refused> {
    let policy = cluster.policy.load();
    let key = target.hash_source_ip.then(|| hash::of_ip(arrival.ends.remote.ip()));
    let preamble = policy.dialing.proxy_protocol.map(|version| {
        let Ends { remote, local, .. } = arrival.ends;
        encode(version, encode::Way { source: remote, destination: local })
    });
    let tls = policy.tls.as_ref().filter(|_| !target.is_verbatim);
    let wanted = tls.map(|tls| Wanted { tls, host: None });
    let mut tried: Vec<Rc<Host>> = Vec::new();
    let mut transport_failure = None;
    while tried.len() < CONNECT_ATTEMPTS_MAX {
        let picked = cluster.pick(key, &tried, &mut serving.random.borrow_mut());
        let Some(host) = picked else { return Err(Flags::NO_HEALTHY_UPSTREAM.into()) };
        if tried.iter().any(|before| Rc::ptr_eq(before, &host)) {
            break;
        }
        let busy = Busy::new(Rc::clone(&host));
        let permit = cluster.permit_connection(&policy).map_err(|_| Flags::OVERFLOW)?;
        let _open = cluster.open(&host, permit);
        let preamble = preamble.as_deref().unwrap_or_default();
        let way = Way { address: host.address, policy: &policy, wanted, preamble };
        let dialled = dial(way).await;
        cluster.note_dialled(&host, dialled.is_ok());
        match dialled {
            Ok((stream, local)) => return Ok(Connected { stream, local, busy, _open }),
            Err(ConnectError::Tls(fault)) => transport_failure = Some(fault.reason()),
            Err(ConnectError::Failed(_) | ConnectError::TimedOut) => {}
        }
        cluster.note(&policy, &host, Went::Failed);
        tried.push(host);
    }
    Err(Refused { flags: Flags::CONNECT_FAILURE.and(Flags::RETRIES_EXHAUSTED), transport_failure })
}

async fn dial(way: Way<'_>) -> Result<(Upstream, Option<SocketAddr>), ConnectError> {
    let Some(wanted) = way.wanted else {
        let stream = connect::tcp(way).await?;
        let local = stream.local_addr().ok();
        return Ok((Upstream::Plain(stream), local));
    };
    // Boxed, as above.
    let (stream, local) = Box::pin(connect::tls(way, wanted)).await?;
    Ok((Upstream::Secured(Box::new(stream)), local))
}
