//! One write per turn of an HTTP/2 connection, however many frames it makes in that turn.
//!
//! The HTTP/2 library asks for a write per DATA frame. Here frames gather, and go out when the
//! connection has been polled, or earlier when they are many: then the connection feels the
//! client's back-pressure as it would without this.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};

/// Bytes that gather at most before a write is due.
const GATHERED_BYTES_MAX: usize = 64 * 1024;

#[derive(Debug)]
struct Gathering<I> {
    stream: I,
    bytes: Vec<u8>,
    written: usize,
}

/// A stream whose writes gather. Clones share it.
#[derive(Debug)]
pub struct Coalesced<I>(Rc<RefCell<Gathering<I>>>);

impl<I> Clone for Coalesced<I> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<I: Write + Unpin> Coalesced<I> {
    /// Nothing is gathered yet.
    pub fn new(stream: I) -> Self {
        Self(Rc::new(RefCell::new(Gathering { stream, bytes: Vec::new(), written: 0 })))
    }

    /// Writes what has gathered.
    fn poll_write_out(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Gathering { stream, bytes, written } = &mut *self.0.borrow_mut();
        while *written < bytes.len() {
            match ready!(Pin::new(&mut *stream).poll_write(cx, &bytes[*written..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => *written += count,
            }
        }
        *written = 0;
        bytes.clear();
        Poll::Ready(Ok(()))
    }

    /// Takes bytes unless too many wait.
    fn poll_gather(
        &self,
        cx: &mut Context<'_>,
        more: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.0.borrow().bytes.len() >= GATHERED_BYTES_MAX {
            ready!(self.poll_write_out(cx))?;
        }
        let bytes = &mut self.0.borrow_mut().bytes;
        more.iter().for_each(|slice| bytes.extend_from_slice(slice));
        Poll::Ready(Ok(more.iter().map(|slice| slice.len()).sum()))
    }
}

impl<I: Read + Unpin> Read for Coalesced<I> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.borrow_mut().stream).poll_read(cx, buf)
    }
}

impl<I: Write + Unpin> Write for Coalesced<I> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_gather(cx, &[io::IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_gather(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Left to the end of the connection's turn.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_write_out(cx))?;
        Pin::new(&mut self.0.borrow_mut().stream).poll_shutdown(cx)
    }
}

/// A connection over a [`Coalesced`] stream: writes once after each of its turns.
pub struct InTurns<C, I> {
    /// The connection itself.
    pub connection: Pin<Box<C>>,
    stream: Coalesced<I>,
}

impl<C, I> InTurns<C, I> {
    /// `stream` is the one that `connection` runs over.
    pub fn new(connection: C, stream: Coalesced<I>) -> Self {
        Self { connection: Box::pin(connection), stream }
    }
}

/// How the connection ended; `None` if it was the stream that did.
impl<C: Future, I: Write + Unpin> Future for InTurns<C, I> {
    type Output = Option<C::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = self.connection.as_mut().poll(cx);
        let is_broken = matches!(self.stream.poll_write_out(cx), Poll::Ready(Err(_)));
        match polled {
            Poll::Ready(ended) => Poll::Ready(Some(ended)),
            Poll::Pending if is_broken => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    /// Counts writes and takes at most `room` bytes in all.
    struct Sink {
        writes: usize,
        taken: Vec<u8>,
        room: usize,
    }

    impl Write for Sink {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &[u8],
        ) -> Poll<io::Result<usize>> {
            let count = buf.len().min(self.room - self.taken.len());
            if count == 0 {
                return Poll::Pending;
            }
            self.writes += 1;
            self.taken.extend_from_slice(&buf[..count]);
            Poll::Ready(Ok(count))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn gather(stream: &Coalesced<Sink>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        stream.poll_gather(&mut Context::from_waker(Waker::noop()), &[io::IoSlice::new(bytes)])
    }

    #[test]
    fn frames_of_one_turn_are_one_write() {
        let sink = Sink { writes: 0, taken: vec![], room: usize::MAX };
        let stream = Coalesced::new(sink);
        let turn = InTurns::new(std::future::pending::<()>(), stream.clone());
        for frame in [b"one", b"two"] {
            assert!(matches!(gather(&stream, frame), Poll::Ready(Ok(3))));
        }
        let mut turn = std::pin::pin!(turn);
        assert!(turn.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let gathering = stream.0.borrow();
        assert_eq!((gathering.stream.writes, &*gathering.stream.taken), (1, &b"onetwo"[..]));
    }

    #[test]
    fn a_client_that_does_not_read_is_felt() {
        let stream = Coalesced::new(Sink { writes: 0, taken: vec![], room: 10 });
        let frame = vec![0; GATHERED_BYTES_MAX];
        assert!(gather(&stream, &frame).is_ready());
        assert!(gather(&stream, &frame).is_pending());
        assert_eq!(stream.0.borrow().bytes.len(), GATHERED_BYTES_MAX);
    }
}
