//! A stream whose first bytes were read already, to tell HTTP/1.1 from HTTP/2.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use hyper::rt::ReadBufCursor;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::watched::Watched;
use crate::listener::pulse::Pulse;

/// What a client that speaks HTTP/2 sends first (RFC 9113 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes of the first read: a usual request head in one go.
const FIRST_READ_BYTES: usize = 4096;

/// What a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spoken {
    /// HTTP/1.x.
    Http1,
    /// HTTP/2.
    Http2,
}

/// A client's stream with the bytes read ahead.
#[derive(Debug)]
pub struct Prefixed<S> {
    ahead: Bytes,
    stream: TokioIo<Watched<S>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Prefixed<S> {
    fn new(ahead: Vec<u8>, stream: S, pulse: Arc<Pulse>) -> Self {
        Self { ahead: ahead.into(), stream: TokioIo::new(Watched::new(stream, pulse)) }
    }

    /// A stream of which nothing was read.
    pub fn plain(stream: S, pulse: Arc<Pulse>) -> Self {
        Self::new(Vec::new(), stream, pulse)
    }

    /// It is HTTP/2: its frames are counted.
    pub fn meter(&mut self) {
        self.stream.inner_mut().meter(&self.ahead);
    }

    /// Bytes that were read further than they were needed.
    pub fn put_back(&mut self, bytes: Bytes) {
        self.ahead = bytes;
    }

    /// Waits for the client's next bytes and holds no buffer meanwhile.
    ///
    /// # Errors
    /// The stream's; `UnexpectedEof` if the client has closed.
    pub async fn refill(&mut self) -> io::Result<()> {
        poll_fn(|cx| {
            let mut bytes = [0; FIRST_READ_BYTES];
            let mut buf = ReadBuf::new(&mut bytes);
            ready!(Pin::new(self.stream.inner_mut()).poll_read(cx, &mut buf))?;
            self.ahead = Bytes::copy_from_slice(buf.filled());
            Poll::Ready(match self.ahead.is_empty() {
                true => Err(io::ErrorKind::UnexpectedEof.into()),
                false => Ok(()),
            })
        })
        .await
    }

    /// Reads until it is clear what the client speaks. To be called when there is something to
    /// read, so that an idle connection holds no buffer.
    ///
    /// # Errors
    /// The stream's; `UnexpectedEof` if the client says nothing.
    pub async fn detect(mut stream: S, pulse: Arc<Pulse>) -> io::Result<(Self, Spoken)> {
        let mut ahead = Vec::with_capacity(FIRST_READ_BYTES);
        loop {
            match stream.read_buf(&mut ahead).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => pulse.heard(count),
            }
            let compared = ahead.len().min(PREFACE.len());
            if ahead[..compared] != PREFACE[..compared] {
                return Ok((Self::new(ahead, stream, pulse), Spoken::Http1));
            }
            if compared == PREFACE.len() {
                return Ok((Self::new(ahead, stream, pulse), Spoken::Http2));
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> hyper::rt::Read for Prefixed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ahead.has_remaining() {
            let count = self.ahead.remaining().min(buf.remaining());
            buf.put_slice(&self.ahead.split_to(count));
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> hyper::rt::Write for Prefixed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
