//! Fresh upstream connections.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use fairway_shared::snapshot::cluster::{Cluster, Http2Keepalive, ProxyVersion, TcpKeepalive};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use nix::sys::socket::{setsockopt, sockopt};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::actor::ClusterView;
use super::asked_first::AskedFirst;
use super::pool::{Connection, Driver, Open};
use super::secured::Wanted;
use crate::http::BUFFER_BYTES_MAX;
use crate::http::body::RequestBody;
use crate::tls::fault::Fault;
use crate::tls::originating::Inside;
use crate::tls::unannounced::Unannounced;

/// Largest response head of an upstream, in bytes (Envoy: max_response_headers_kb).
const RESPONSE_HEAD_BYTES_MAX: usize = 60 * 1024;
/// Most header fields of an upstream's response.
const RESPONSE_FIELDS_MAX: usize = 100;

/// Why there is no connection. Carries no text: nothing is allocated for a failing upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The kernel's word.
    #[error("connecting failed: {0}")]
    Failed(io::ErrorKind),
    /// The cluster's connect timeout passed.
    #[error("connecting took too long")]
    TimedOut,
    /// The handshake came to nothing.
    #[error("{0}")]
    Tls(Fault),
}

/// How connections of a cluster are made, beside how long that may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialing {
    /// `SO_KEEPALIVE`; `None` = off.
    pub tcp_keepalive: Option<TcpKeepalive>,
    /// HTTP/2 pings; `None` = off.
    pub http2_keepalive: Option<Http2Keepalive>,
    /// Header in front of every connection, which is for one client then.
    pub proxy_protocol: Option<ProxyVersion>,
}

impl Dialing {
    /// As the cluster's policy has it.
    pub fn new(spec: &Cluster) -> Self {
        Self {
            tcp_keepalive: spec.tcp_keepalive,
            http2_keepalive: spec.http2_keepalive,
            proxy_protocol: spec.proxy_protocol,
        }
    }
}

/// Tasks of one worker's thread: `hyper` asks for an executor for what it cannot drive itself.
#[derive(Debug, Clone, Copy)]
pub struct LocalExecutor;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

/// The way to an endpoint, and what is said on it first.
#[derive(Debug, Clone, Copy)]
pub struct Way<'w> {
    /// The endpoint.
    pub address: SocketAddr,
    /// The cluster's.
    pub policy: &'w ClusterView,
    /// How it is secured; `None` = not at all.
    pub wanted: Option<Wanted<'w>>,
    /// A PROXY header, or nothing. It comes before all else.
    pub preamble: &'w [u8],
}

impl Way<'_> {
    /// A connection, before any handshake.
    async fn open(&self) -> Result<TcpStream, ConnectError> {
        let failed = |error: io::Error| ConnectError::Failed(error.kind());
        let mut stream = TcpStream::connect(self.address).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        if let Some(keepalive) = &self.policy.dialing.tcp_keepalive {
            keep_alive(&stream, keepalive).map_err(|error| failed(error.into()))?;
        }
        stream.write_all(self.preamble).await.map_err(failed)?;
        Ok(stream)
    }

    /// The cluster's connect timeout is for a connection with its handshake.
    async fn in_time<T>(
        &self,
        dialling: impl Future<Output = Result<T, ConnectError>>,
    ) -> Result<T, ConnectError> {
        let outcome = tokio::time::timeout(self.policy.connect_timeout, dialling).await;
        outcome.map_err(|_| ConnectError::TimedOut)?
    }

    async fn secure(
        &self,
        stream: TcpStream,
        wanted: Wanted<'_>,
        inside: Inside,
    ) -> Result<TlsStream<TcpStream>, ConnectError> {
        let name = (wanted.host, self.address);
        wanted.tls.secure(stream, inside, name).await.map_err(ConnectError::Tls)
    }
}

/// A connection for opaque bytes, not secured whatever the way says.
///
/// # Errors
/// [`ConnectError`].
pub async fn tcp(way: Way<'_>) -> Result<TcpStream, ConnectError> {
    way.in_time(way.open()).await
}

/// A secured connection for opaque bytes, and the gateway's end of it.
///
/// # Errors
/// [`ConnectError`].
pub async fn tls(
    way: Way<'_>,
    wanted: Wanted<'_>,
) -> Result<(TlsStream<TcpStream>, Option<SocketAddr>), ConnectError> {
    let dialling = async {
        let stream = way.open().await?;
        let local = stream.local_addr().ok();
        Ok((way.secure(stream, wanted, Inside::Opaque).await?, local))
    };
    way.in_time(dialling).await
}

fn keep_alive(stream: &TcpStream, keepalive: &TcpKeepalive) -> nix::Result<()> {
    setsockopt(stream, sockopt::KeepAlive, &true)?;
    // What is not said stays as the system has it.
    keepalive.time_secs.map_or(Ok(()), |n| setsockopt(stream, sockopt::TcpKeepIdle, &n))?;
    keepalive.interval_secs.map_or(Ok(()), |n| setsockopt(stream, sockopt::TcpKeepInterval, &n))?;
    keepalive.probes.map_or(Ok(()), |n| setsockopt(stream, sockopt::TcpKeepCount, &n))
}

/// An HTTP/1.1 connection, to be driven by the request that uses it.
///
/// # Errors
/// [`ConnectError`].
pub async fn http1(way: Way<'_>, open: Open) -> Result<Connection, ConnectError> {
    let dialling = async {
        let stream = way.open().await?;
        let local = stream.local_addr().ok();
        let (sender, driver) = match way.wanted {
            None => http1_over(stream).await?,
            Some(wanted) => {
                let stream = way.secure(stream, wanted, Inside::Http1).await?;
                http1_over(Unannounced(stream)).await?
            }
        };
        let secured = way.wanted.as_ref().map(Wanted::secured);
        Ok(Connection::new(sender, driver, local, secured, open))
    };
    way.in_time(dialling).await
}

async fn http1_over(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<(http1::SendRequest<RequestBody>, Driver), ConnectError> {
    let (sender, driver) = http1::Builder::new()
        .max_headers(RESPONSE_FIELDS_MAX)
        .max_header_size(RESPONSE_HEAD_BYTES_MAX)
        .max_buf_size(BUFFER_BYTES_MAX)
        .handshake(AskedFirst::new(stream))
        .await
        .map_err(|_| ConnectError::Failed(io::ErrorKind::Other))?;
    Ok((sender, Box::pin(driver.with_upgrades())))
}

/// An HTTP/2 connection, driven by a task of its own, and the gateway's end of it.
///
/// # Errors
/// [`ConnectError`].
pub async fn http2(
    way: Way<'_>,
    open: Open,
) -> Result<(http2::SendRequest<RequestBody>, Option<SocketAddr>), ConnectError> {
    let dialling = async {
        let stream = way.open().await?;
        let local = stream.local_addr().ok();
        let sender = match way.wanted {
            None => http2_over(stream, way.policy, open).await?,
            Some(wanted) => {
                let stream = way.secure(stream, wanted, Inside::Http2).await?;
                http2_over(stream, way.policy, open).await?
            }
        };
        Ok((sender, local))
    };
    way.in_time(dialling).await
}

async fn http2_over(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    policy: &ClusterView,
    open: Open,
) -> Result<http2::SendRequest<RequestBody>, ConnectError> {
    let mut builder = http2::Builder::new(LocalExecutor);
    builder.timer(TokioTimer::new()).max_header_list_size(RESPONSE_HEAD_BYTES_MAX as u32);
    if let Some(keepalive) = &policy.dialing.http2_keepalive {
        builder
            .keep_alive_interval(Duration::from_millis(keepalive.interval_ms))
            .keep_alive_timeout(Duration::from_millis(keepalive.timeout_ms))
            .keep_alive_while_idle(true);
    }
    let handshake = builder.handshake(TokioIo::new(stream));
    let (sender, driver) =
        handshake.await.map_err(|_| ConnectError::Failed(io::ErrorKind::Other))?;
    tokio::task::spawn_local(async move {
        // What went wrong reaches the requests on it.
        let _ = driver.await;
        drop(open);
    });
    Ok(sender)
}
