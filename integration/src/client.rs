//! Towards a listener: HTTP/1.1, HTTP/2 with prior knowledge, and raw bytes. Every call has a
//! deadline, and panics with the reason when something goes wrong.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::wait::PATIENCE;

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Status.
    pub status: StatusCode,
    /// Protocol.
    pub version: Version,
    /// Header fields.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
}

impl Reply {
    /// Checks the status and hands the reply on.
    ///
    /// # Panics
    /// If it is another one.
    pub fn expect_status(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        self
    }

    /// The value of a header field; empty if absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap_or("<not text>"))
    }
}

/// A GET for `path`, as HTTP/1.1 wants it.
///
/// # Panics
/// If host or path are not valid.
pub fn get(host: &str, path: &str) -> Request<Full<Bytes>> {
    Request::get(path).header("host", host).body(Full::default()).expect("a valid request")
}

/// A kept-alive HTTP/1.1 connection.
#[derive(Debug)]
pub struct Http1 {
    sender: http1::SendRequest<Full<Bytes>>,
    /// The port of this end.
    pub local_port: u16,
}

impl Http1 {
    /// Connects.
    ///
    /// # Errors
    /// As the kernel or the handshake gives them.
    pub async fn try_connect(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let local_port = stream.local_addr()?.port();
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(std::io::Error::other)?;
        tokio::spawn(connection);
        Ok(Self { sender, local_port })
    }

    /// Connects.
    ///
    /// # Panics
    /// If that is refused.
    pub async fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).await.unwrap_or_else(|e| panic!("connect {address}: {e}"))
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// If the connection breaks, or the answer is not HTTP.
    pub async fn try_send(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<Reply> {
        self.sender.ready().await?;
        whole(self.sender.send_request(request).await?).await
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Panics
    /// If there is none within the deadline.
    pub async fn send(&mut self, request: Request<Full<Bytes>>) -> Reply {
        expect_in_time(self.try_send(request)).await
    }
}

/// One GET on a connection of its own.
///
/// # Panics
/// If there is no answer.
pub async fn get_once(address: SocketAddr, host: &str, path: &str) -> Reply {
    Http1::connect(address).await.send(get(host, path)).await
}

/// One GET on an HTTP/2 connection of its own, without TLS and without upgrade.
///
/// # Panics
/// If there is no answer.
pub async fn get_once_http2(address: SocketAddr, host: &str, path: &str) -> Reply {
    let stream = TcpStream::connect(address).await.unwrap_or_else(|e| panic!("{address}: {e}"));
    let uri = format!("http://{host}{path}");
    let request = Request::get(uri).body(Full::<Bytes>::default()).expect("a valid request");
    expect_in_time(async {
        let (mut sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        whole(sender.send_request(request).await?).await
    })
    .await
}

/// Sends exactly these bytes and reads until the other side closes.
///
/// # Panics
/// If it does not close within the deadline.
pub async fn raw(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(bytes).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    match timeout(PATIENCE, exchange).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => panic!("raw exchange with {address}: {error}"),
        Err(_) => panic!("{address} does not close"),
    }
}

async fn whole(response: Response<Incoming>) -> hyper::Result<Reply> {
    let (head, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok(Reply { status: head.status, version: head.version, headers: head.headers, body })
}

async fn expect_in_time(exchange: impl Future<Output = hyper::Result<Reply>>) -> Reply {
    match timeout(PATIENCE, exchange).await {
        Ok(Ok(reply)) => reply,
        Ok(Err(error)) => panic!("no answer: {error:?}"),
        Err(_) => panic!("no answer in {PATIENCE:?}"),
    }
}
