//! A connection from its client hello to the end of its handshake, or to the decision that its
//! TLS does not end here.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::server::{StartHandshake, TlsStream};

use super::hello::Hello;
use super::table::{Terminating, TlsTable};

/// From accepting a connection to the end of its handshake (Istio contract 1.6).
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);
/// Fatal alerts as TLS records (RFC 8446 6.2).
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];
const INTERNAL_ERROR: [u8; 7] = [21, 3, 3, 0, 2, 2, 80];

/// A connection ready to be served.
pub struct Arrival {
    /// Which of the listener's chains.
    pub chain: usize,
    /// From the client hello, lower case.
    pub server_name: Option<Rc<str>>,
    /// What follows.
    pub stream: Stream,
}

/// What follows a client hello.
pub enum Stream {
    /// TLS ended here.
    Terminated(Box<TlsStream<TcpStream>>),
    /// TLS does not end here: what was read has to be forwarded too.
    Opaque {
        /// The client's.
        stream: TcpStream,
        /// The client hello and whatever came with it.
        ahead: Vec<u8>,
    },
}

/// A connection that is not to be served.
#[derive(Debug)]
pub struct Refused {
    /// Why.
    pub outcome: Outcome,
    /// From the client hello, lower case, if it got that far.
    pub server_name: Option<Rc<str>>,
}

impl From<Outcome> for Refused {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, server_name: None }
    }
}

/// How handshakes ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The connection is served.
    Success,
    /// No chain serves the name.
    NoChain,
    /// The chain has no usable certificate.
    NoCertificate,
    /// Not TLS, no version or suite in common, a certificate refused by either side.
    Failed,
    /// Not done in time.
    TimedOut,
    /// The client went away.
    Closed,
}

impl Outcome {
    /// In the order of their discriminants.
    pub const ALL: [Self; 6] = [
        Self::Success,
        Self::NoChain,
        Self::NoCertificate,
        Self::Failed,
        Self::TimedOut,
        Self::Closed,
    ];

    /// Value of the label `outcome`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::NoChain => "no_chain",
            Self::NoCertificate => "no_certificate",
            Self::Failed => "failed",
            Self::TimedOut => "timeout",
            Self::Closed => "closed",
        }
    }
}

/// Handshakes of one listener.
#[derive(Debug, Default)]
pub struct HandshakeFigures([Cell<u64>; Outcome::ALL.len()]);

impl HandshakeFigures {
    /// One more ended so.
    pub fn count(&self, outcome: Outcome) {
        let cell = &self.0[outcome as usize];
        cell.set(cell.get() + 1);
    }

    /// Count by outcome; those that never occurred are left out.
    pub fn counts(&self) -> impl Iterator<Item = (Outcome, u64)> {
        let counts = Outcome::ALL.into_iter().zip(self.0.iter().map(Cell::get));
        counts.filter(|(_, count)| *count > 0)
    }
}

/// Reads the client hello, chooses the chain and does the handshake if the chain ends TLS. Counts
/// the outcome, but for a connection whose TLS goes on: whoever forwards it knows. On failure the
/// client is sent an alert, where it can be.
///
/// # Errors
/// Why the connection is not to be served.
pub async fn accept(
    stream: TcpStream,
    table: &TlsTable,
    figures: &HandshakeFigures,
) -> Result<Arrival, Refused> {
    let deadline = Instant::now() + HANDSHAKE_TIMEOUT;
    let ended = timeout_at(deadline, shake_hands(stream, table)).await;
    let ended = ended.unwrap_or(Err(Outcome::TimedOut.into()));
    match &ended {
        Ok(Arrival { stream: Stream::Terminated(_), .. }) => figures.count(Outcome::Success),
        Ok(Arrival { stream: Stream::Opaque { .. }, .. }) => {}
        Err(refused) => figures.count(refused.outcome),
    }
    ended
}

/// Ends a connection whose server name leads nowhere.
pub async fn refuse_name(mut stream: TcpStream, figures: &HandshakeFigures) {
    figures.count(refuse(&mut stream, UNRECOGNIZED_NAME, Outcome::NoChain).await);
}

async fn shake_hands(mut stream: TcpStream, table: &TlsTable) -> Result<Arrival, Refused> {
    let hello = Hello::read(&mut stream).await.map_err(|error| outcome_of(&error))?;
    let Some((chain, spec)) = table.find(hello.server_name.as_deref()) else {
        tracing::debug!(server_name = hello.server_name.as_deref(), "no TLS chain for the name");
        let outcome = refuse(&mut stream, UNRECOGNIZED_NAME, Outcome::NoChain).await;
        return Err(Refused { outcome, server_name: hello.server_name });
    };
    let server_name = hello.server_name.clone();
    let stream = match &spec.terminating {
        None => Stream::Opaque { stream, ahead: hello.bytes },
        Some(terminating) => {
            let stream = terminate(stream, hello, terminating).await?;
            Stream::Terminated(Box::new(stream))
        }
    };
    Ok(Arrival { chain, server_name, stream })
}

async fn terminate(
    mut stream: TcpStream,
    hello: Hello,
    terminating: &Terminating,
) -> Result<TlsStream<TcpStream>, Outcome> {
    let mut config = match terminating.config() {
        Ok(config) => config,
        Err(error) => {
            tracing::debug!(%error, "no certificate for a handshake");
            return Err(refuse(&mut stream, INTERNAL_ERROR, Outcome::NoCertificate).await);
        }
    };
    if hello.shuns(&config.alpn_protocols) {
        // Served without a negotiated protocol, as the reference does, rather than refused.
        Arc::make_mut(&mut config).alpn_protocols.clear();
    }
    let handshake = StartHandshake::from_parts(hello.into_accepted(), stream);
    handshake.into_stream(config).await.map_err(|error| {
        tracing::debug!(%error, "TLS handshake failed");
        outcome_of(&error)
    })
}

/// Tells the client why, as well as can be.
async fn refuse(stream: &mut TcpStream, alert: [u8; 7], outcome: Outcome) -> Outcome {
    // The connection ends either way.
    let _ = stream.write_all(&alert).await;
    outcome
}

fn outcome_of(error: &io::Error) -> Outcome {
    match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => Outcome::Failed,
        _ => Outcome::Closed,
    }
}
