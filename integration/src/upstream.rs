//! A backend in this process: records what it was asked and answers as told. HTTP/1.1 and HTTP/2
//! without TLS, on a port from the kernel.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::wait;

/// Header of every answer: the upstream's name.
pub const NAME_HEADER: &str = "x-upstream";

/// Requests kept; older ones are only counted.
const RECORDS_MAX: usize = 1_000;

/// One request as it arrived.
#[derive(Debug, Clone)]
pub struct Received {
    /// Method.
    pub method: Method,
    /// Path with query.
    pub path: String,
    /// Protocol.
    pub version: Version,
    /// `:authority`, else `Host`.
    pub host: String,
    /// All header fields.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
    /// Fields after the body.
    pub trailers: Option<HeaderMap>,
}

impl Received {
    /// The values of a header field, comma-joined; empty if absent.
    pub fn header(&self, name: &str) -> String {
        let values = self.headers.get_all(name).iter();
        let texts: Vec<&str> = values.map(|v| v.to_str().unwrap_or("<not text>")).collect();
        texts.join(",")
    }
}

/// How to answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Status.
    pub status: StatusCode,
    /// Header fields beside [`NAME_HEADER`] and the length.
    pub headers: Vec<(&'static str, String)>,
    /// Body.
    pub body: Bytes,
    /// Wait before it.
    pub delay: Duration,
    /// Close the connection in place of an answer.
    pub hang_up: bool,
    /// Fields after the body.
    pub trailers: Option<HeaderMap>,
}

impl Reply {
    /// That status, and the status as body.
    ///
    /// # Panics
    /// If there is no such status.
    pub fn status(code: u16) -> Self {
        let status = StatusCode::from_u16(code).expect("a status");
        Self { status, body: code.to_string().into(), ..Self::default() }
    }
}

impl Default for Reply {
    fn default() -> Self {
        Self {
            status: StatusCode::OK,
            headers: vec![("content-type", "application/json; charset=utf-8".to_owned())],
            body: Bytes::from_static(b"hello"),
            delay: Duration::ZERO,
            hang_up: false,
            trailers: None,
        }
    }
}

#[derive(Debug, Default)]
struct State {
    total: u64,
    running: u64,
    records: VecDeque<Received>,
    reply: Reply,
    /// Come before `reply`, each once.
    first_replies: VecDeque<Reply>,
}

/// A running upstream; stops when dropped, its connections with it.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    accepting: JoinHandle<()>,
}

impl Upstream {
    /// Starts one on a free port of loopback.
    ///
    /// # Panics
    /// If there is no free port.
    pub async fn start(name: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let state = Arc::default();
        let accepting = tokio::spawn(accept(listener, name, Arc::clone(&state)));
        Self { address, state, accepting }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How to answer from now on.
    pub fn reply_with(&self, reply: Reply) {
        locked(&self.state).reply = reply;
    }

    /// How to answer the next requests, each once, before the answer is again what it was.
    pub fn reply_once_each(&self, replies: impl IntoIterator<Item = Reply>) {
        locked(&self.state).first_replies = replies.into_iter().collect();
    }

    /// The requests that are kept, in order of arrival; forgets them.
    pub fn take_records(&self) -> Vec<Received> {
        locked(&self.state).records.drain(..).collect()
    }

    /// Requests since the start.
    pub fn total(&self) -> u64 {
        locked(&self.state).total
    }

    /// Ends as a server that is told to: what runs is finished, then its connections close. It
    /// must get no new requests any more.
    ///
    /// # Panics
    /// If a request does not end.
    pub async fn finish(&mut self) {
        wait::until("the end of what runs", async || {
            (locked(&self.state).running == 0).then_some(())
        })
        .await;
        self.accepting.abort();
    }

    /// The last request.
    ///
    /// # Panics
    /// If there was none.
    pub fn last(&self) -> Received {
        locked(&self.state).records.back().expect("a request").clone()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, name: &'static str, state: Arc<Mutex<State>>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(connection(stream, name, Arc::clone(&state)));
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(stream: TcpStream, name: &'static str, state: Arc<Mutex<State>>) {
    drop(stream.set_nodelay(true));
    let service = service_fn(move |request| answer(request, name, Arc::clone(&state)));
    let builder = auto::Builder::new(TokioExecutor::new());
    drop(builder.serve_connection(TokioIo::new(stream), service).await);
}

/// Why a connection ends in place of an answer.
#[derive(Debug)]
struct HungUp;

impl std::fmt::Display for HungUp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("hung up")
    }
}

impl std::error::Error for HungUp {}

async fn answer(
    request: Request<Incoming>,
    name: &'static str,
    state: Arc<Mutex<State>>,
) -> Result<Response<UnsyncBoxBody<Bytes, Infallible>>, HungUp> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| HungUp)?;
    let trailers = body.trailers().cloned();
    let body = body.to_bytes();
    let authority = head.uri.authority().map(ToString::to_string);
    let header = || head.headers.get("host").and_then(|value| value.to_str().ok());
    let host = authority.or_else(|| header().map(str::to_owned)).unwrap_or_default();
    let path = head.uri.path_and_query().map_or("", |path| path.as_str()).to_owned();
    let reply = {
        let mut state = locked(&state);
        state.total += 1;
        state.running += 1;
        if state.records.len() == RECORDS_MAX {
            state.records.pop_front();
        }
        let (method, version, headers) = (head.method, head.version, head.headers);
        let received = Received { method, path, version, host, headers, body, trailers };
        state.records.push_back(received);
        state.first_replies.pop_front().unwrap_or_else(|| state.reply.clone())
    };
    tokio::time::sleep(reply.delay).await;
    locked(&state).running -= 1;
    if reply.hang_up {
        return Err(HungUp);
    }
    let mut response = Response::builder().status(reply.status).header(NAME_HEADER, name);
    for (key, value) in &reply.headers {
        response = response.header(*key, value);
    }
    let body = Full::new(reply.body);
    let body = match reply.trailers {
        None => body.boxed_unsync(),
        Some(trailers) => body.with_trailers(async { Some(Ok(trailers)) }).boxed_unsync(),
    };
    Ok(response.body(body).expect("tests give valid header fields"))
}
