//! TLS in front of a backend that speaks none, as an endpoint's own: what gateways said in their
//! handshakes is kept. Closes without TLS's farewell when the backend does.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::crypto::ring;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::certificates::{Authority, Pair};
use crate::tls::parsed;

/// What a gateway said in a handshake that came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    /// The server name; empty = none.
    pub name: String,
    /// The protocol agreed on; empty = none.
    pub alpn: String,
    /// It showed a certificate of its own.
    pub shows: bool,
}

/// See the module. Stops when dropped.
#[derive(Debug)]
pub struct TlsFront {
    address: SocketAddr,
    greetings: Arc<Mutex<Vec<Greeting>>>,
    accepting: JoinHandle<()>,
}

impl TlsFront {
    /// Starts on a free port of loopback. Who connects must show a certificate of `clients`, if
    /// there are any.
    ///
    /// # Panics
    /// If there is none.
    pub async fn start(backend: SocketAddr, pair: &Pair, clients: Option<&Authority>) -> Self {
        let acceptor = TlsAcceptor::from(Arc::new(config(pair, clients)));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let greetings = Arc::<Mutex<Vec<Greeting>>>::default();
        let heard = Arc::clone(&greetings);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, heard) = (acceptor.clone(), Arc::clone(&heard));
                // A handshake that fails is what some tests are about.
                tokio::spawn(async move { carry(acceptor, stream, backend, &heard).await });
            }
        });
        Self { address, greetings, accepting }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Handshakes so far, in order.
    pub fn greetings(&self) -> Vec<Greeting> {
        self.greetings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn config(pair: &Pair, clients: Option<&Authority>) -> ServerConfig {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("the versions of the library");
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.certificate()).expect("an authority");
            let check = WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build();
            builder.with_client_cert_verifier(check.expect("an authority"))
        }
    };
    let (chain, key) = parsed(pair);
    let mut config = builder.with_single_cert(chain, key).expect("a pair");
    config.alpn_protocols = ["h2", "http/1.1"].map(|name| name.as_bytes().to_vec()).to_vec();
    config
}

async fn carry(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    backend: SocketAddr,
    greetings: &Mutex<Vec<Greeting>>,
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = acceptor.accept(stream).await?;
    let (_, state) = stream.get_ref();
    let greeting = Greeting {
        name: state.server_name().unwrap_or_default().to_owned(),
        alpn: String::from_utf8_lossy(state.alpn_protocol().unwrap_or_default()).into_owned(),
        shows: state.peer_certificates().is_some(),
    };
    greetings.lock().unwrap_or_else(PoisonError::into_inner).push(greeting);
    let mut backend = TcpStream::connect(backend).await?;
    backend.set_nodelay(true)?;
    let ended = {
        let (mut from_gateway, mut to_gateway) = tokio::io::split(&mut stream);
        let (mut from_backend, mut to_backend) = backend.split();
        tokio::select! {
            // Without the farewell of TLS, as many servers close.
            ended = tokio::io::copy(&mut from_backend, &mut to_gateway) => ended,
            ended = async {
                tokio::io::copy(&mut from_gateway, &mut to_backend).await?;
                to_backend.shutdown().await?;
                std::future::pending().await
            } => ended,
        }
    };
    stream.flush().await?;
    ended.map(drop)
}
