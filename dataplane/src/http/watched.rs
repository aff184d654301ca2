//! A client's stream that tells its connection's pulse what moves, ends where the pulse says that
//! the client took too long, and fails where HTTP/2 frames are a flood.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frame_meter::FrameMeter;
use crate::listener::pulse::{Phase, Pulse};

/// What a client gets that did not finish a request's head in time (RFC 9110 15.5.9).
const HEAD_TIMED_OUT: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// See the module.
#[derive(Debug)]
pub struct Watched<S> {
    stream: S,
    pulse: Arc<Pulse>,
    /// What is left of what the client is told when its time is up.
    last_words: &'static [u8],
    /// There, if the connection is HTTP/2.
    meter: Option<Box<FrameMeter>>,
}

impl<S> Watched<S> {
    /// A client's stream.
    pub fn new(stream: S, pulse: Arc<Pulse>) -> Self {
        Self { stream, pulse, last_words: HEAD_TIMED_OUT, meter: None }
    }

    /// The connection is HTTP/2, of which `ahead` was read already.
    pub fn meter(&mut self, ahead: &[u8]) {
        let mut meter = Box::<FrameMeter>::default();
        // So little cannot be a flood.
        let _ = meter.see(ahead, &self.pulse);
        self.last_words = &[];
        self.meter = Some(meter);
    }

    /// `bufs` were to be written, of which so much was.
    fn note_said(&mut self, bufs: &[io::IoSlice<'_>], written: &Poll<io::Result<usize>>) {
        self.pulse.set_unsent(true);
        let Poll::Ready(Ok(mut count @ 1..)) = *written else { return };
        let Some(meter) = &mut self.meter else { return self.pulse.said() };
        for buf in bufs {
            let taken = count.min(buf.len());
            meter.said(&buf[..taken], &self.pulse);
            count -= taken;
        }
    }
}

impl<S: AsyncWrite + Unpin> Watched<S> {
    /// Says that the head took too long; then there is nothing more to read.
    fn poll_give_up(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.last_words.is_empty() {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, self.last_words))? {
                0 => break,
                count => self.last_words = &self.last_words[count..],
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.pulse.late() {
            Some(Phase::Opening) => return Poll::Ready(Ok(())),
            Some(Phase::Head) => return self.poll_give_up(cx),
            _ => {}
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let Some(fresh) = buf.filled().get(before..).filter(|fresh| !fresh.is_empty()) else {
            return Poll::Ready(Ok(()));
        };
        self.pulse.heard(fresh.len());
        let Self { meter, pulse, .. } = &mut *self;
        match meter.as_mut().map(|meter| meter.see(fresh, pulse)) {
            Some(Err(flood)) => {
                pulse.set_flooded();
                Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, flood)))
            }
            Some(Ok(())) | None => Poll::Ready(Ok(())),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.note_said(&[io::IoSlice::new(buf)], &written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.note_said(bufs, &written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // HTTP/1.1 flushes when it has written all it had.
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.pulse.set_unsent(flushed.is_pending());
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
