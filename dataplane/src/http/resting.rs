//! An HTTP/1.1 connection. While its client rests between two requests there is no HTTP, only the
//! stream: what HTTP would hold meanwhile is some 20 KiB.

use std::convert::Infallible;
use std::pin::{Pin, pin};

use fairway_shared::ipc::edge::EdgeLimits;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::TokioTimer;
use tokio::io::{AsyncRead, AsyncWrite};

use super::BUFFER_BYTES_MAX;
use super::prefixed::Prefixed;
use super::response::ReplyBody;
use crate::listener::lives::{Driven, Life, Order};

/// Serves HTTP/1.1 until it ends; `None` = it was ended.
pub async fn speak<S, H>(
    mut stream: Prefixed<S>,
    mut service: H,
    limits: &EdgeLimits,
    life: &Life,
) -> Option<hyper::Result<()>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Service<Request<Incoming>, Response = Response<ReplyBody>, Error = Infallible> + Unpin,
{
    loop {
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(None)
            .max_headers(limits.fields_max as usize)
            .max_header_size(head_bytes_read_max(limits))
            .max_buf_size(BUFFER_BYTES_MAX.max(head_bytes_read_max(limits)))
            .serve_connection(stream, service)
            .with_upgrades();
        // Boxed, so that a resting connection's task does not keep the room.
        let mut connection = Box::new(connection);
        let shut_down = http1::UpgradeableConnection::graceful_shutdown;
        let driven = life.drive(Pin::new(&mut *connection), Order::Finish, shut_down).await;
        if let Driven::Over(ended) = driven {
            return ended;
        }
        let http1::Parts { io, read_buf, service: same, .. } = connection.into_parts()?;
        (stream, service) = (io, same);
        if !read_buf.is_empty() {
            stream.put_back(read_buf);
            continue;
        }
        drop(read_buf); // empty, but a part of a buffer all the same
        life.guard(pin!(stream.refill())).await?.ok()?;
    }
}

/// Heads are read somewhat beyond their limit, so that a target that is too long is told from a
/// head that is too large.
fn head_bytes_read_max(limits: &EdgeLimits) -> usize {
    limits.head_bytes_max.saturating_add(limits.target_bytes_max) as usize
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::io;
    use std::rc::Rc;
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering::Relaxed;
    use std::task::{Context, Poll};
    use std::time::{Duration, Instant};

    use bytes::Bytes;
    use hyper::body::Body;
    use hyper::service::service_fn;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadBuf};
    use tokio::task::LocalSet;

    use super::*;
    use crate::listener::lives::{InFlight, Lives};
    use crate::listener::pulse::{Patience, Phase};
    use crate::listener::refusals::Refusals;

    /// A stream that knows how large the last buffer was that it should have filled.
    struct Measured(DuplexStream, Arc<AtomicUsize>);

    impl AsyncRead for Measured {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            self.1.store(buf.remaining(), Relaxed);
            Pin::new(&mut self.0).poll_read(cx, buf)
        }
    }

    impl AsyncWrite for Measured {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &[u8],
        ) -> Poll<io::Result<usize>> {
            Pin::new(&mut self.0).poll_write(cx, buf)
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_flush(cx)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_shutdown(cx)
        }
    }

    /// A client of a connection that answers every request with its path.
    struct Client {
        stream: DuplexStream,
        lives: Rc<Lives>,
        wanted: Arc<AtomicUsize>,
        seconds: Cell<u64>,
    }

    impl Client {
        fn connect() -> Self {
            let (stream, served) = tokio::io::duplex(1 << 16);
            let (lives, wanted) = (Rc::<Lives>::default(), Arc::default());
            let life = lives.begin();
            let watch = life.watch();
            watch.enter(Phase::Opening);
            let served = Prefixed::plain(Measured(served, Arc::clone(&wanted)), watch.pulse());
            let answer = service_fn(move |request: Request<Incoming>| {
                let _answering = InFlight::new(watch.clone(), !request.body().is_end_stream());
                let path = Bytes::copy_from_slice(request.uri().path().as_bytes());
                std::future::ready(Ok(Response::new(ReplyBody::full(path))))
            });
            tokio::task::spawn_local(async move {
                speak(served, answer, &EdgeLimits::default(), &life).await
            });
            Self { stream, lives, wanted, seconds: Cell::default() }
        }

        async fn expect(&mut self, sent: &str, answer: &str) {
            self.stream.write_all(sent.as_bytes()).await.unwrap();
            let mut got = Vec::new();
            while !got.ends_with(answer.as_bytes()) {
                assert!(self.stream.read_buf(&mut got).await.unwrap() > 0, "closed");
            }
        }

        /// Time passes; whether the connection holds no HTTP afterwards.
        async fn rests(&self) -> bool {
            for _ in 0..2 {
                let now = Instant::now() + Duration::from_secs(self.seconds.get());
                let patience = Patience::from(&EdgeLimits::default());
                self.lives.sweep(now, &patience, &Refusals::default());
                self.seconds.set(self.seconds.get() + 3);
            }
            for _ in 0..8 {
                tokio::task::yield_now().await;
            }
            self.wanted.load(Relaxed) == 4096
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_connection_rests_between_requests_and_serves_on() {
        LocalSet::new()
            .run_until(async {
                let mut client = Client::connect();
                for path in ["/a", "/b", "/c"] {
                    client.expect(&format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n"), path).await;
                    assert!(client.rests().await, "{path}");
                }
            })
            .await;
    }

    #[tokio::test(flavor = "current_thread")]
    async fn the_beginning_of_the_next_request_is_not_lost() {
        LocalSet::new()
            .run_until(async {
                let mut client = Client::connect();
                client.expect("GET /a HTTP/1.1\r\nhost: a\r\n\r\nGET /b HT", "/a").await;
                client.rests().await;
                client.expect("TP/1.1\r\nhost: a\r\n\r\n", "/b").await;
            })
            .await;
    }

    #[tokio::test(flavor = "current_thread")]
    async fn who_still_owes_a_body_does_not_rest() {
        LocalSet::new()
            .run_until(async {
                let mut client = Client::connect();
                let head = "POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nab";
                client.expect(head, "/a").await;
                assert!(!client.rests().await);
            })
            .await;
    }
}
