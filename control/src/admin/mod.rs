//! The two HTTP ports for people and scrapers: debug pages and metrics. Only reads; what a page
//! says is decided in `pages` and `metrics`, which are pure.

mod metrics;
mod pages;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::publish::publisher::Publisher;
use crate::publish::view::View;
use pages::Page;

/// Connections of one port at one time; more wait in the accept queue.
const CONNECTIONS_MAX: usize = 256;
/// Time for a request's head, in milliseconds.
const HEAD_MS_MAX: u64 = 10_000;
/// Pause after a failed accept, in milliseconds: it fails for want of descriptors or memory.
const ACCEPT_PAUSE_MS: u64 = 100;

/// Which pages a port has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    /// `/ready` and `/debug/…`.
    Debug,
    /// `/metrics` and `/version`.
    Monitoring,
}

impl Port {
    fn page(self, path: &str, view: &View) -> Option<Page> {
        match self {
            Self::Debug => pages::debug(path, view),
            Self::Monitoring => pages::monitoring(path, view),
        }
    }
}

/// Serves one port for ever.
pub async fn serve(listener: TcpListener, port: Port, publisher: Publisher) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    while let Ok(permit) = Arc::clone(&permits).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let publisher = publisher.clone();
                tokio::spawn(async move {
                    connection(stream, port, publisher).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!("{port:?} port: accept failed: {error}");
                tokio::time::sleep(Duration::from_millis(ACCEPT_PAUSE_MS)).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, port: Port, publisher: Publisher) {
    let service = service_fn(move |request: Request<Incoming>| {
        let publisher = publisher.clone();
        async move { Ok::<_, Infallible>(respond(&request, port, &publisher).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(HEAD_MS_MAX))
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!("{port:?} port: {error}");
    }
}

async fn respond(
    request: &Request<Incoming>,
    port: Port,
    publisher: &Publisher,
) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let status = StatusCode::METHOD_NOT_ALLOWED;
        let mut response = reply(Page::text(status, "only GET and HEAD\n".to_owned()));
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let Ok(view) = publisher.view().await else {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        return reply(Page::text(status, "shutting down\n".to_owned()));
    };
    let page = port.page(request.uri().path(), &view);
    reply(page.unwrap_or_else(|| {
        let paths = pages::paths(port).join("\n");
        Page::text(StatusCode::NOT_FOUND, format!("no such page; there are\n{paths}\n"))
    }))
}

fn reply(page: Page) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(page.body)));
    *response.status_mut() = page.status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(page.content_type));
    response
}
