//! Hands an accepted connection to whoever serves its listener's kind.

use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;

use tokio::net::TcpStream;

use super::bound::{BoundChain, BoundKind, BoundListener};
use super::lives::Life;
use super::refusals::Refusal;
use super::unserved;
use crate::clock;
use crate::http::connection::{self, Serving};
use crate::http::secure::Secure;
use crate::proxy_protocol::receive::receive;
use crate::tcp::exchange::{self, Arrival, Target};
use crate::tls::accept::{Outcome, Refused, Stream, accept, refuse_name};
use crate::worker::published::View;

/// The two ends of a connection, as far as routing and logs are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// The client.
    pub remote: SocketAddr,
    /// Where it connected to.
    pub local: SocketAddr,
}

/// Serves until the client or the worker ends it.
pub async fn serve(
    mut stream: TcpStream,
    remote: SocketAddr,
    of: View<BoundListener>,
    serving: Rc<Serving>,
    life: &Life,
) {
    let Ok(local) = stream.local_addr() else { return };
    // Refused only for a socket that is dead already; the first read will say so.
    let _ = stream.set_nodelay(true);
    let mut ends = Ends { remote, local };
    let listener = of.load();
    if listener.expects_proxy_header {
        // Boxed: off where no load balancer says who is behind it.
        let receiving = pin!(Box::pin(receive(&mut stream)));
        match life.guard(receiving).await {
            Some(Ok(source)) => ends.remote = source.unwrap_or(remote),
            Some(Err(error)) => return tracing::debug!(%remote, %error, "closed"),
            None => return,
        }
    }
    let max = serving.limits.connections_per_address_max;
    let place = (max > 0).then(|| serving.addresses.enter(ends.remote.ip(), max));
    if let Some(None) = place {
        return serving.refusals.count(Refusal::AddressConnections);
    }
    match &listener.kind {
        BoundKind::Http(table) => {
            let table = table.clone();
            drop(listener);
            connection::serve(stream, ends, table, serving, life).await;
        }
        BoundKind::Tcp(route) => {
            let route = Rc::clone(route);
            drop(listener);
            // Boxed: what is rare must not make every connection's task larger.
            let arrival =
                Arrival { ends, begun: clock::now(), server_name: None, ahead: Vec::new() };
            let target = Target::next_of(&route);
            Box::pin(exchange::serve(stream, arrival, target, &serving, life)).await;
        }
        // Boxed: the handshake's state is far larger than that of plaintext.
        BoundKind::Tls(_) => Box::pin(secure(stream, ends, (listener, of), serving, life)).await,
    }
}

/// Does what the chain says that the client hello chooses.
async fn secure(
    stream: TcpStream,
    ends: Ends,
    (listener, of): (Rc<BoundListener>, View<BoundListener>),
    serving: Rc<Serving>,
    life: &Life,
) {
    let BoundKind::Tls(tls) = &listener.kind else { return };
    let begun = clock::now();
    let accepted = {
        // Boxed, as below: what is over soon is not kept for the connection's life.
        let accepting = pin!(Box::pin(accept(stream, &tls.table, &serving.handshakes)));
        life.guard(accepting).await
    };
    let log = |name| unserved::log_no_chain(ends, begun, name, &serving.recording.load());
    // What went wrong is counted; the client has been told.
    let accepted = match accepted {
        Some(Ok(accepted)) => accepted,
        Some(Err(Refused { outcome: Outcome::NoChain, server_name })) => return log(server_name),
        Some(Err(_)) | None => return,
    };
    let Some(chain) = tls.chains.get(accepted.chain) else { return };
    let server_name = accepted.server_name.clone();
    let arrival = |ahead| Arrival { ends, begun, server_name, ahead };
    let (stream, secure, table) = match (chain, accepted.stream) {
        (BoundChain::Http(table), Stream::Terminated(stream)) => {
            let session = stream.get_ref().1;
            let name = accepted.server_name;
            match Secure::new(name, accepted.chain, &listener, of, session) {
                Some(secure) => (stream, secure, table.clone()),
                None => return,
            }
        }
        (BoundChain::Tcp(route), Stream::Terminated(stream)) => {
            let (arrival, target) = (arrival(Vec::new()), Target::next_of(route));
            return Box::pin(exchange::serve(*stream, arrival, target, &serving, life)).await;
        }
        (BoundChain::Passthrough(route), Stream::Opaque { stream, ahead }) => {
            let (arrival, target) = (arrival(ahead), Target::next_of(route));
            serving.handshakes.count(Outcome::Success);
            return Box::pin(exchange::serve(stream, arrival, target, &serving, life)).await;
        }
        (BoundChain::AutoPassthrough(clusters), Stream::Opaque { stream, ahead }) => {
            let arrival = arrival(ahead);
            let name = arrival.server_name.clone();
            let Some(target) = name.as_deref().and_then(|name| clusters.target(name)) else {
                refuse_name(stream, &serving.handshakes).await;
                return log(name);
            };
            serving.handshakes.count(Outcome::Success);
            return Box::pin(exchange::serve(stream, arrival, target, &serving, life)).await;
        }
        // The table and the chains are made of one listener.
        (_, Stream::Terminated(_) | Stream::Opaque { .. }) => return,
    };
    // An idle connection must not keep an old listener.
    drop(listener);
    connection::serve_secure(stream, (ends, secure), table, serving, life).await;
}
