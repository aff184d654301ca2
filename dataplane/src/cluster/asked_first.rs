//! A stream that gives nothing to read before something was written to it.
//!
//! An endpoint may answer a connection before it has seen a request: a full server says 503, one
//! that wants no body says 413. The library takes bytes that come before its request for a broken
//! protocol; held back until the request is on its way they are its answer, as with Envoy 1.40.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

/// See the module.
#[derive(Debug)]
pub struct AskedFirst<S> {
    stream: TokioIo<S>,
    is_asked: bool,
    reader: Option<Waker>,
}

impl<S> AskedFirst<S> {
    /// A stream that nobody has written to.
    pub fn new(stream: S) -> Self {
        Self { stream: TokioIo::new(stream), is_asked: false, reader: None }
    }

    /// Lets the reader go on once bytes are written.
    fn note(&mut self, written: &Poll<io::Result<usize>>) {
        if !self.is_asked && written.is_ready() {
            self.is_asked = true;
            if let Some(reader) = self.reader.take() {
                reader.wake();
            }
        }
    }
}

impl<S: AsyncRead + Unpin> Read for AskedFirst<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.is_asked {
            self.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> Write for AskedFirst<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.note(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.note(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
