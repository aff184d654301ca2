//! One connection of opaque bytes from its route to its last byte (Istio contract 2.11).

use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::buffers::Buffers;
use super::direction::{Direction, Wire};
use super::finished::Finished;
use super::pump::{Counters, End, Limits, Pump};
use super::route::BoundTcpRoute;
use crate::clock;
use crate::cluster::connect;
use crate::cluster::handle::{ClusterHandle, Went};
use crate::cluster::pool::Open;
use crate::http::connection::Serving;
use crate::http::flag::Flags;
use crate::listener::dispatch::Ends;
use crate::listener::lives::Life;
use crate::proxy_protocol::encode::{Way, encode};
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
            idle_timeout: route.idle_timeout,
            max_duration: route.max_duration,
        }
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
            let address = arrival.ends.remote.ip();
            let key = target.hash_source_ip.then(|| hash::of_ip(address));
            match connect(cluster, key, serving).await {
                Ok((upstream, busy, _open)) => {
                    finished.upstream = Some(busy.host().address);
                    finished.upstream_local = upstream.local_addr().ok();
                    let streams = (downstream, upstream);
                    forward(streams, arrival, &mut finished, target, (serving, life)).await;
                }
                Err(flags) => finished.flags = flags,
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

async fn forward<D: Wire>(
    (mut downstream, mut upstream): (D, TcpStream),
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
    if let Some(version) = cluster.policy.load().dialing.proxy_protocol {
        let way = Way { source: arrival.ends.remote, destination: arrival.ends.local };
        // A fresh connection takes a short header at once; if it fails, forwarding will say so.
        let _ = upstream.write_all(&encode(version, way)).await;
    }
    let sides = (&mut downstream, &mut upstream);
    let buffers: &Buffers = &serving.buffers;
    let end = pump.run(sides, limits, Counters { received, sent }, (life, buffers)).await;
    finished.received_bytes = pump.up.moved();
    finished.sent_bytes = pump.down.moved();
    finished.termination = match end {
        End::Closed | End::Failed => None,
        End::Idle => Some("idle_timeout"),
        End::TooOld => Some("max_connection_duration_reached"),
        End::Drained => Some("drained"),
    };
}

/// A connection to an endpoint: another one is tried if it cannot be had.
async fn connect(
    cluster: &ClusterHandle,
    key: Option<u64>,
    serving: &Serving,
) -> Result<(TcpStream, Busy, Open), Flags> {
    let policy = cluster.policy.load();
    let mut tried: Vec<Rc<Host>> = Vec::new();
    while tried.len() < CONNECT_ATTEMPTS_MAX {
        let picked = cluster.pick(key, &tried, &mut serving.random.borrow_mut());
        let Some(host) = picked else { return Err(Flags::NO_HEALTHY_UPSTREAM) };
        if tried.iter().any(|before| Rc::ptr_eq(before, &host)) {
            break;
        }
        let busy = Busy::new(Rc::clone(&host));
        let permit = cluster.permit_connection(&policy).map_err(|_| Flags::OVERFLOW)?;
        let open = Open::new(&cluster.open, permit);
        if let Ok(stream) = connect::tcp(host.address, &policy).await {
            return Ok((stream, busy, open));
        }
        cluster.note(&policy, &host, Went::Failed);
        tried.push(host);
    }
    Err(Flags::CONNECT_FAILURE.and(Flags::RETRIES_EXHAUSTED))
}
