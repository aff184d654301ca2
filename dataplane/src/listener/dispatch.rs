//! Hands an accepted connection to whoever serves its listener's kind.

use std::net::SocketAddr;
use std::rc::Rc;

use tokio::net::TcpStream;

use super::bound::{BoundKind, BoundListener};
use super::lives::Life;
use crate::clock;
use crate::http::connection::{self, Serving};
use crate::tcp::exchange::{self, Arrival, Target};

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
    stream: TcpStream,
    remote: SocketAddr,
    listener: Rc<BoundListener>,
    serving: Rc<Serving>,
    life: &Life,
) {
    let Ok(local) = stream.local_addr() else { return };
    // Refused only for a socket that is dead already; the first read will say so.
    let _ = stream.set_nodelay(true);
    let ends = Ends { remote, local };
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
        BoundKind::Tls(chains) => {
            tracing::debug!(chains = chains.len(), "closed: no client hello is read yet");
        }
    }
}
