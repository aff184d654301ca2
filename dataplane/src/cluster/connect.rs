//! Fresh upstream connections.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;

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
pub async fn tcp(address: SocketAddr, limit: Duration) -> Result<TcpStream, ConnectError> {
    let connecting = tokio::time::timeout(limit, TcpStream::connect(address));
    let stream = connecting
        .await
        .map_err(|_| ConnectError::TimedOut)?
        .map_err(|error| ConnectError::Failed(error.kind()))?;
    stream.set_nodelay(true).map_err(|error| ConnectError::Failed(error.kind()))?;
    Ok(stream)
}

/// An HTTP/1.1 connection, to be driven by the request that uses it.
///
/// # Errors
/// [`ConnectError`].
pub async fn http1(
    address: SocketAddr,
    limit: Duration,
    open: &Rc<Cell<u32>>,
) -> Result<Connection, ConnectError> {
    let stream = tcp(address, limit).await?;
    let (sender, driver) = http1::Builder::new()
        .max_headers(RESPONSE_FIELDS_MAX)
        .max_header_size(RESPONSE_HEAD_BYTES_MAX)
        .max_buf_size(BUFFER_BYTES_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|_| ConnectError::Failed(io::ErrorKind::Other))?;
    Ok(Connection::new(sender, Box::pin(driver.with_upgrades()), Open::new(open)))
}

/// An HTTP/2 connection with prior knowledge, driven by a task of its own.
///
/// # Errors
/// [`ConnectError`].
pub async fn http2(
    address: SocketAddr,
    limit: Duration,
    open: &Rc<Cell<u32>>,
) -> Result<http2::SendRequest<RequestBody>, ConnectError> {
    let stream = tcp(address, limit).await?;
    let (sender, driver) = http2::Builder::new(LocalExecutor)
        .timer(TokioTimer::new())
        .max_header_list_size(RESPONSE_HEAD_BYTES_MAX as u32)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|_| ConnectError::Failed(io::ErrorKind::Other))?;
    let open = Open::new(open);
    tokio::task::spawn_local(async move {
        // What went wrong reaches the requests on it.
        let _ = driver.await;
        drop(open);
    });
    Ok(sender)
}
