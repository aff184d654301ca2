//! HTTP/1.1 for the three ports: connections in, questions to the loop, pages out.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossbeam_channel::Sender;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::exposition::Form;
use super::page::{Door, Page};
use super::reply::{self, Reply};
use crate::supervisor::event::{Event, Question};

/// Connections per port; more wait to be accepted.
const CONNECTIONS_MAX: usize = 128;
/// For a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// For the loop's answer. Longer means that the supervisor is stuck, and liveness says so.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(800);
/// After an accept that failed, as when descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What every connection knows.
#[derive(Debug, Clone)]
pub(super) struct Server {
    pub(super) events: Sender<Event>,
    pub(super) node: String,
    pub(super) started: Instant,
}

/// Serves until something fails that concerns more than one connection.
pub(super) fn serve(
    doors: &[(Door, TcpListener, SocketAddr)],
    server: &Server,
) -> Result<(), io::Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let server = Arc::new(server.clone());
    runtime.block_on(async {
        let mut loops = JoinSet::new();
        for (door, listener, _) in doors {
            let listener = tokio::net::TcpListener::from_std(listener.try_clone()?)?;
            loops.spawn(accept(*door, listener, Arc::clone(&server)));
        }
        // None of them ends; one that is lost takes the others along, to start over.
        match loops.join_next().await {
            Some(Err(error)) => Err(io::Error::other(error)),
            Some(Ok(())) | None => Ok(()),
        }
    })
}

async fn accept(door: Door, listener: tokio::net::TcpListener, server: Arc<Server>) {
    let free = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(permit) = Arc::clone(&free).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!("admin HTTP cannot accept: {error}");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let server = Arc::clone(&server);
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let server = Arc::clone(&server);
                async move { Ok::<_, Infallible>(server.respond(door, &request).await) }
            });
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
            // A client that breaks off concerns nobody else.
            let _ = http.serve_connection(TokioIo::new(stream), service).await;
            drop(permit);
        });
    }
}

impl Server {
    async fn respond(&self, door: Door, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        match door.page(request.method(), path) {
            Ok(page) => {
                let stuck = || {
                    reply::text(StatusCode::SERVICE_UNAVAILABLE, "the supervisor does not answer")
                };
                let accept = request.headers().get(header::ACCEPT);
                let form = reply::form(accept.and_then(|value| value.to_str().ok()));
                let query = request.uri().query();
                response(self.show(door, page, (form, query)).await.unwrap_or_else(stuck))
            }
            Err((status, None)) => response(reply::text(status, &format!("no page {path}"))),
            Err((status, Some(allow))) => {
                let mut refusal = response(reply::text(status, &format!("{path} wants {allow}")));
                refusal
                    .headers_mut()
                    .insert(header::ALLOW, header::HeaderValue::from_static(allow));
                refusal
            }
        }
    }

    /// `None`: the loop does not answer.
    async fn show(
        &self,
        door: Door,
        page: Page,
        (form, query): (Form, Option<&str>),
    ) -> Option<Reply> {
        let overview = || self.ask(Question::Overview);
        let scrape = || self.ask(Question::Scrape);
        Some(match page {
            Page::Index => reply::page(door.index()),
            Page::Workers => reply::workers(&overview().await?),
            Page::Listeners => reply::listeners(&overview().await?),
            Page::ServerInfo => {
                let uptime_s = self.started.elapsed().as_secs();
                reply::server_info(&overview().await?, &self.node, uptime_s)
            }
            Page::State => reply::state(&overview().await?),
            Page::Ready => reply::ready(&overview().await?),
            Page::Live => overview().await.map(|_| reply::text(StatusCode::OK, "live"))?,
            Page::Clusters => reply::clusters(&self.ask(Question::Clusters).await?, query),
            Page::Stats => reply::stats(&scrape().await?),
            Page::Prometheus => reply::prometheus(&scrape().await?, form),
            Page::Quit => self.tell(Question::Quit)?,
            Page::DrainListeners => self.tell(Question::DrainListeners)?,
        })
    }

    async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> Question) -> Option<T> {
        let (sender, answer) = oneshot::channel();
        self.events.try_send(Event::Question(question(sender))).ok()?;
        timeout(ANSWER_TIMEOUT, answer).await.ok()?.ok()
    }

    fn tell(&self, question: Question) -> Option<Reply> {
        self.events.try_send(Event::Question(question)).ok()?;
        Some(reply::text(StatusCode::OK, "OK"))
    }
}

fn response(reply: Reply) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(reply.body)));
    *response.status_mut() = reply.status;
    let media_type = header::HeaderValue::from_static(reply.media_type);
    response.headers_mut().insert(header::CONTENT_TYPE, media_type);
    response
}
