//! Towards a listener: HTTP/1.1, HTTP/2 with prior knowledge, and raw bytes. Every call has a
//! deadline, and panics with the reason when something goes wrong.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, Version};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
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
    /// Fields after the body.
    pub trailers: Option<HeaderMap>,
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

/// A request from `METHOD /path | name: value | …`, as HTTP/1.1 wants it. A `host` among the fields
/// stands in place of `host`.
///
/// # Panics
/// If it is not a valid request.
pub fn request(host: &str, text: &str) -> Request<Full<Bytes>> {
    let mut parts = text.split(" | ");
    let (method, path) =
        parts.next().and_then(|line| line.split_once(' ')).expect("METHOD /path first");
    let mut request = Request::builder().method(method).uri(path);
    let mut is_host_told = false;
    for field in parts {
        let (name, value) = field.split_once(':').expect("name: value");
        is_host_told |= name.eq_ignore_ascii_case("host");
        request = request.header(name, value.trim());
    }
    if !is_host_told {
        request = request.header("host", host);
    }
    request.body(Full::default()).expect("a valid request")
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

/// An HTTP/2 connection, without upgrade.
#[derive(Debug, Clone)]
pub struct Http2(http2::SendRequest<UnsyncBoxBody<Bytes, Infallible>>);

impl Http2 {
    /// Connects.
    ///
    /// # Panics
    /// If that is refused.
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap_or_else(|e| panic!("{address}: {e}"));
        stream.set_nodelay(true).expect("a live socket");
        Self::over(stream).await
    }

    /// Begins on a stream that is there.
    ///
    /// # Panics
    /// If it breaks.
    pub async fn over<S>(stream: S) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let shaken = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
        let (sender, connection) = shaken.expect("an HTTP/2 connection");
        tokio::spawn(connection);
        Self(sender)
    }

    /// Sends a request, with trailers or without, and reads the whole answer. Its URI is absolute.
    ///
    /// # Panics
    /// If there is no answer within the deadline.
    pub async fn send<B>(&mut self, request: Request<B>) -> Reply
    where
        B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
    {
        let request = request.map(BodyExt::boxed_unsync);
        expect_in_time(async { whole(self.0.send_request(request).await?).await }).await
    }
}

/// One GET on an HTTP/2 connection of its own, without TLS and without upgrade.
///
/// # Panics
/// If there is no answer.
pub async fn get_once_http2(address: SocketAddr, host: &str, path: &str) -> Reply {
    let uri = format!("http://{host}{path}");
    let request = Request::get(uri).body(Full::<Bytes>::default()).expect("a valid request");
    Http2::connect(address).await.send(request).await
}

/// Bytes before HTTP, on a connection that stays open.
#[derive(Debug)]
pub struct Wire(TcpStream);

impl Wire {
    /// Connects.
    ///
    /// # Panics
    /// If that is refused.
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await;
        Self(stream.unwrap_or_else(|e| panic!("connect {address}: {e}")))
    }

    /// Sends exactly these bytes.
    ///
    /// # Panics
    /// If the other side has closed.
    pub async fn say(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.expect("the other side reads");
    }

    /// The same, to a side that may have closed.
    ///
    /// # Errors
    /// It has.
    pub async fn try_say(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.write_all(bytes).await
    }

    /// Does the other side close without a word? A reset is such a close.
    pub async fn is_closed_unread(&mut self) -> bool {
        let mut heard = Vec::new();
        match timeout(PATIENCE, self.0.read_to_end(&mut heard)).await {
            Ok(Ok(_)) => heard.is_empty(),
            Ok(Err(error)) => error.kind() == std::io::ErrorKind::ConnectionReset,
            Err(_) => false,
        }
    }

    /// Reads until what came ends with `end`, and returns it all.
    ///
    /// # Panics
    /// If that does not come within the deadline.
    pub async fn hear(&mut self, end: &str) -> String {
        let mut heard = Vec::new();
        let reading = async {
            while !heard.ends_with(end.as_bytes()) {
                heard.push(self.0.read_u8().await?);
            }
            Ok::<_, std::io::Error>(())
        };
        let ended = timeout(PATIENCE, reading).await;
        let heard = String::from_utf8_lossy(&heard).into_owned();
        match ended {
            Ok(Ok(())) => heard,
            ended => panic!("`{end}` does not come: {ended:?} after `{heard}`"),
        }
    }

    /// Reads until the other side closes.
    ///
    /// # Panics
    /// If it does not within the deadline.
    pub async fn hear_all(&mut self) -> String {
        let mut heard = Vec::new();
        let ended = timeout(PATIENCE, self.0.read_to_end(&mut heard)).await;
        ended.expect("the other side closes").expect("the other side closes in good order");
        String::from_utf8_lossy(&heard).into_owned()
    }
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
    let body = body.collect().await?;
    let trailers = body.trailers().cloned();
    let (status, version, headers) = (head.status, head.version, head.headers);
    Ok(Reply { status, version, headers, body: body.to_bytes(), trailers })
}

async fn expect_in_time(exchange: impl Future<Output = hyper::Result<Reply>>) -> Reply {
    match timeout(PATIENCE, exchange).await {
        Ok(Ok(reply)) => reply,
        Ok(Err(error)) => panic!("no answer: {error:?}"),
        Err(_) => panic!("no answer in {PATIENCE:?}"),
    }
}
