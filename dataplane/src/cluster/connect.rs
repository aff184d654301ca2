//! Fresh upstream connections.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use fairway_shared::snapshot::cluster::{Cluster, Http2Keepalive, ProxyVersion, TcpKeepalive};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use nix::sys::socket::{setsockopt, sockopt};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::actor::ClusterView;
use super::pool::{Connection, Open};
use crate::http::body::RequestBody;

/// Largest response head of an upstream, in bytes (Envoy: max_response_headers_kb).
const RESPONSE_HEAD_BYTES_MAX: usize = 60 * 1024;
/// Most header fields of an upstream's response.
const RESPONSE_FIELDS_MAX: usize = 100;
/// Largest read buffer: it grows to this only for bodies that fill it.
const BUFFER_BYTES_MAX: usize = 400 * 1024;

/// Why there is no connection. Carries no text: nothing is allocated for a failing upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The kernel's word.
    #[error("connecting failed: {0}")]
    Failed(io::ErrorKind),
    /// The cluster's connect timeout passed.
    #[error("connecting took too long")]
    TimedOut,
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

/// A plain connection.
///
/// # Errors
/// [`ConnectError`].
pub async fn tcp(address: SocketAddr, policy: &ClusterView) -> Result<TcpStream, ConnectError> {
    let connecting = tokio::time::timeout(policy.connect_timeout, TcpStream::connect(address));
    let failed = |error: io::Error| ConnectError::Failed(error.kind());
    let stream = connecting.await.map_err(|_| ConnectError::TimedOut)?.map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    if let Some(keepalive) = &policy.dialing.tcp_keepalive {
        keep_alive(&stream, keepalive).map_err(|error| failed(error.into()))?;
    }
    Ok(stream)
}

fn keep_alive(stream: &TcpStream, keepalive: &TcpKeepalive) -> nix::Result<()> {
    setsockopt(stream, sockopt::KeepAlive, &true)?;
    // What is not said stays as the system has it.
    keepalive.time_secs.map_or(Ok(()), |n| setsockopt(stream, sockopt::TcpKeepIdle, &n))?;
    keepalive.interval_secs.map_or(Ok(()), |n| setsockopt(stream, sockopt::TcpKeepInterval, &n))?;
    keepalive.probes.map_or(Ok(()), |n| setsockopt(stream, sockopt::TcpKeepCount, &n))
}

/// Says what goes in front of the first request: a PROXY header, or nothing.
async fn say(stream: &mut TcpStream, preamble: &[u8]) -> Result<(), ConnectError> {
    stream.write_all(preamble).await.map_err(|error| ConnectError::Failed(error.kind()))
}

/// An HTTP/1.1 connection, to be driven by the request that uses it.
///
/// # Errors
/// [`ConnectError`].
pub async fn http1(
    address: SocketAddr,
    policy: &ClusterView,
    open: Open,
    preamble: &[u8],
) -> Result<Connection, ConnectError> {
    let mut stream = tcp(address, policy).await?;
    say(&mut stream, preamble).await?;
    let local = stream.local_addr().ok();
    let (sender, driver) = http1::Builder::new()
        .max_headers(RESPONSE_FIELDS_MAX)
        .max_header_size(RESPONSE_HEAD_BYTES_MAX)
        .max_buf_size(BUFFER_BYTES_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|_| ConnectError::Failed(io::ErrorKind::Other))?;
    Ok(Connection::new(sender, Box::pin(driver.with_upgrades()), local, open))
}

/// An HTTP/2 connection with prior knowledge, driven by a task of its own, and the gateway's end
/// of it.
///
/// # Errors
/// [`ConnectError`].
pub async fn http2(
    address: SocketAddr,
    policy: &ClusterView,
    open: Open,
    preamble: &[u8],
) -> Result<(http2::SendRequest<RequestBody>, Option<SocketAddr>), ConnectError> {
    let mut stream = tcp(address, policy).await?;
    let local = stream.local_addr().ok();
    say(&mut stream, preamble).await?;
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
    Ok((sender, local))
}
