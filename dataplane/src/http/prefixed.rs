//! A stream whose first bytes were read already, to tell HTTP/1.1 from HTTP/2. It tells its
//! connection's pulse what moves, and ends where the pulse says that the client took too long.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use hyper::rt::ReadBufCursor;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

use crate::listener::pulse::{Phase, Pulse};

/// What a client that speaks HTTP/2 sends first (RFC 9113 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes of the first read: a usual request head in one go.
const FIRST_READ_BYTES: usize = 4096;

/// What a client gets that did not finish a request's head in time (RFC 9110 15.5.9).
const HEAD_TIMED_OUT: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

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
    stream: TokioIo<S>,
    pulse: Arc<Pulse>,
    /// What is left of what the client is told when its time is up.
    last_words: &'static [u8],
}

impl<S: AsyncRead + AsyncWrite + Unpin> Prefixed<S> {
    fn new(ahead: Vec<u8>, stream: S, pulse: Arc<Pulse>) -> Self {
        let stream = TokioIo::new(stream);
        Self { ahead: ahead.into(), stream, pulse, last_words: HEAD_TIMED_OUT }
    }

    /// A stream of which nothing was read.
    pub fn plain(stream: S, pulse: Arc<Pulse>) -> Self {
        Self::new(Vec::new(), stream, pulse)
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
        match self.pulse.late() {
            Some(Phase::Opening) => return Poll::Ready(Ok(())),
            Some(Phase::Head) => return self.poll_give_up(cx),
            _ => {}
        }
        let room = buf.remaining();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        // How many there were cannot be seen from here. The stream's end is heard too: no harm.
        self.pulse.heard(room);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> Prefixed<S> {
    /// Says that the head took too long; then there is nothing more to read.
    fn poll_give_up(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        use hyper::rt::Write;
        while !self.last_words.is_empty() {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, self.last_words))? {
                0 => break,
                count => self.last_words = &self.last_words[count..],
            }
        }
        Poll::Ready(Ok(()))
    }

    fn note_said(&self, written: &Poll<io::Result<usize>>) {
        if matches!(written, Poll::Ready(Ok(1..))) {
            self.pulse.said();
        }
    }
}

impl<S: AsyncWrite + Unpin> hyper::rt::Write for Prefixed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.note_said(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.note_said(&written);
        written
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
