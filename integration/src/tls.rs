//! A client of TLS, and a backend whose TLS does not end at the gateway.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Resumption, Tls12ClientSessionValue,
    Tls13ClientSessionValue,
};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{CipherSuite, ClientConfig, HandshakeKind, ProtocolVersion, RootCertStore};
use rustls::{NamedGroup, ServerConfig, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::certificates::{Authority, Pair};
use crate::wait::PATIENCE;

/// Sessions that a client keeps.
const SESSIONS_MAX: usize = 64;

/// What a client says and believes. Clones share their sessions.
#[derive(Debug, Clone)]
pub struct TlsClient {
    config: Arc<ClientConfig>,
    sessions: Arc<dyn ClientSessionStore>,
}

/// How to make a [`TlsClient`].
#[derive(Debug)]
pub struct TlsSetup<'s> {
    /// Who may sign servers.
    pub trusts: &'s [&'s Authority],
    /// Its own certificate.
    pub shows: Option<&'s Pair>,
    /// Versions it speaks; empty = 1.2 and 1.3.
    pub versions: &'s [&'static SupportedProtocolVersion],
    /// Suites it speaks; empty = all.
    pub suites: &'s [CipherSuite],
    /// Protocols it offers.
    pub alpn: &'s [&'s str],
}

impl<'s> TlsSetup<'s> {
    /// An ordinary client.
    pub fn trusting(trusts: &'s [&'s Authority]) -> Self {
        Self { trusts, shows: None, versions: &[], suites: &[], alpn: &[] }
    }

    /// Makes it.
    ///
    /// # Panics
    /// If versions and suites do not go together.
    pub fn client(self) -> TlsClient {
        let mut roots = RootCertStore::empty();
        for authority in self.trusts {
            roots.add(authority.certificate()).expect("an authority");
        }
        let versions = if self.versions.is_empty() { rustls::ALL_VERSIONS } else { self.versions };
        let builder = ClientConfig::builder_with_provider(Arc::new(provider_of(self.suites)))
            .with_protocol_versions(versions)
            .expect("versions and suites go together")
            .with_root_certificates(roots);
        let mut config = match self.shows {
            None => builder.with_no_client_auth(),
            Some(pair) => {
                let (chain, key) = parsed(pair);
                builder.with_client_auth_cert(chain, key).expect("a pair")
            }
        };
        config.alpn_protocols = self.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let sessions = Arc::new(ClientSessionMemoryCache::new(SESSIONS_MAX));
        config.resumption = Resumption::store(Arc::<ClientSessionMemoryCache>::clone(&sessions));
        TlsClient { config: Arc::new(config), sessions }
    }
}

fn provider_of(suites: &[CipherSuite]) -> CryptoProvider {
    let mut provider = ring::default_provider();
    if !suites.is_empty() {
        provider.cipher_suites.retain(|suite| suites.contains(&suite.suite()));
    }
    provider
}

pub(crate) fn parsed(pair: &Pair) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let chain = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).expect("PEM");
    let key = PrivateKeyDer::from_pem_slice(pair.private_key.as_bytes()).expect("PEM");
    (vec![chain], key)
}

/// An answer, and what the handshake before it came to.
#[derive(Debug, Clone)]
pub struct TlsAnswer {
    /// Of the response.
    pub status: u16,
    /// The whole response.
    pub text: String,
    /// What was negotiated.
    pub session: Session,
}

/// What a handshake came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Session {
    /// Whole or resumed.
    pub kind: HandshakeKind,
    /// 1.2 or 1.3.
    pub version: ProtocolVersion,
    /// Its suite.
    pub suite: CipherSuite,
    /// The protocol chosen; empty = none.
    pub alpn: String,
    /// The certificate that the server showed.
    pub certificate: CertificateDer<'static>,
}

impl TlsClient {
    /// Connects and shakes hands; names a server unless `name` is an address.
    ///
    /// # Errors
    /// The connection breaks, or one side refuses the other.
    pub async fn connect(
        &self,
        address: SocketAddr,
        name: &str,
    ) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        let connecting = async {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            TlsConnector::from(Arc::clone(&self.config)).connect(name, stream).await
        };
        timeout(PATIENCE, connecting).await?
    }

    /// The same client, which begins every session anew.
    #[must_use]
    pub fn without_resumption(&self) -> Self {
        let mut config = ClientConfig::clone(&self.config);
        config.resumption = Resumption::disabled();
        Self { config: Arc::new(config), sessions: Arc::clone(&self.sessions) }
    }

    /// The same client, which takes the sessions that it has of server `from` to `to` too, as no
    /// honest client does.
    #[must_use]
    pub fn with_sessions_of(&self, from: &str, to: &str) -> Self {
        let name = |name: &str| ServerName::try_from(name.to_owned()).expect("a server name");
        let moved: Arc<dyn ClientSessionStore> =
            Arc::new(Moved { kept: Arc::clone(&self.sessions), from: name(from), to: name(to) });
        let mut config = ClientConfig::clone(&self.config);
        config.resumption = Resumption::store(Arc::clone(&moved));
        Self { config: Arc::new(config), sessions: moved }
    }

    /// One GET for `host` on a connection of its own for `name`.
    ///
    /// # Errors
    /// As [`connect`](Self::connect), or there is no answer. What TLS 1.3 servers find wrong with
    /// a client's certificate is known here at the earliest.
    pub async fn ask(&self, address: SocketAddr, name: &str, host: &str) -> io::Result<TlsAnswer> {
        let mut stream = self.connect(address, name).await?;
        let text = timeout(PATIENCE, get(&mut stream, host, "close")).await??;
        let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("no response: `{text}`")))?;
        Ok(TlsAnswer { status, text, session: session(&stream)? })
    }
}

/// Gives out the sessions of one server for another.
#[derive(Debug)]
struct Moved {
    kept: Arc<dyn ClientSessionStore>,
    from: ServerName<'static>,
    to: ServerName<'static>,
}

impl Moved {
    fn origin<'n>(&'n self, name: &'n ServerName<'static>) -> &'n ServerName<'static> {
        if *name == self.to { &self.from } else { name }
    }
}

impl ClientSessionStore for Moved {
    fn set_kx_hint(&self, name: ServerName<'static>, group: NamedGroup) {
        self.kept.set_kx_hint(name, group);
    }

    fn kx_hint(&self, name: &ServerName<'_>) -> Option<NamedGroup> {
        self.kept.kx_hint(name)
    }

    fn set_tls12_session(&self, name: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.kept.set_tls12_session(name, value);
    }

    fn tls12_session(&self, name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.kept.tls12_session(self.origin(&name.to_owned()))
    }

    fn remove_tls12_session(&self, name: &ServerName<'static>) {
        self.kept.remove_tls12_session(self.origin(name));
    }

    fn insert_tls13_ticket(&self, name: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.kept.insert_tls13_ticket(name, value);
    }

    fn take_tls13_ticket(&self, name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.kept.take_tls13_ticket(self.origin(name))
    }
}

async fn get(
    stream: &mut TlsStream<TcpStream>,
    host: &str,
    connection: &str,
) -> io::Result<String> {
    let request = format!("GET / HTTP/1.1\r\nhost: {host}\r\nconnection: {connection}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// What the handshake of a connection came to.
///
/// # Errors
/// It was not to its end.
pub fn session(stream: &TlsStream<TcpStream>) -> io::Result<Session> {
    let (_, state) = stream.get_ref();
    let read = || {
        Some(Session {
            kind: state.handshake_kind()?,
            version: state.protocol_version()?,
            suite: state.negotiated_cipher_suite()?.suite(),
            alpn: String::from_utf8_lossy(state.alpn_protocol().unwrap_or_default()).into_owned(),
            certificate: state.peer_certificates()?.first()?.clone().into_owned(),
        })
    };
    read().ok_or_else(|| io::Error::other("the handshake is not done"))
}

/// A backend that ends TLS itself: says its name, then what it hears. Stops when dropped.
#[derive(Debug)]
pub struct TlsBackend {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl TlsBackend {
    /// Starts on a free port of loopback.
    ///
    /// # Panics
    /// If there is none.
    pub async fn start(name: &'static str, pair: &Pair) -> Self {
        let (chain, key) = parsed(pair);
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the versions of the library")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("a pair");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move { echo(acceptor, stream, name).await });
            }
        });
        Self { address, accepting }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for TlsBackend {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn echo(acceptor: TlsAcceptor, stream: TcpStream, name: &str) -> io::Result<()> {
    let mut stream = acceptor.accept(stream).await?;
    stream.write_all(name.as_bytes()).await?;
    let (mut read, mut write) = tokio::io::split(stream);
    tokio::io::copy(&mut read, &mut write).await?;
    write.shutdown().await
}
