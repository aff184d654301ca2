//! Bodies: streamed, never collected. A request body that a retry may need is kept while it
//! streams, up to a limit.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use bytes::Bytes;
use http::HeaderMap;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use crate::clock;
use crate::telemetry::account::Received;

/// Longest request body kept for another try, in bytes (Istio contract 2.9).
pub const REPLAY_BYTES_MAX: usize = 1024 * 1024;

/// The moment at which a request was received whole: when its timeouts begin.
#[derive(Debug, Default)]
pub struct Completion {
    at: Cell<Option<Instant>>,
    waiting: RefCell<Option<Waker>>,
}

impl Completion {
    /// Of a request whose body is still to come, unless it has none.
    pub fn new(is_complete: bool) -> Rc<Self> {
        let this = Self::default();
        if is_complete {
            this.at.set(Some(clock::now()));
        }
        Rc::new(this)
    }

    /// The moment, if it has come.
    pub fn at(&self) -> Option<Instant> {
        self.at.get()
    }

    /// Waits for the moment; one waits at a time.
    pub fn poll(&self, cx: &mut Context<'_>) -> Poll<Instant> {
        match self.at.get() {
            Some(at) => Poll::Ready(at),
            None => {
                *self.waiting.borrow_mut() = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn note(&self) {
        if self.at.get().is_none() {
            self.at.set(Some(clock::now()));
            if let Some(waker) = self.waiting.borrow_mut().take() {
                waker.wake();
            }
        }
    }
}

/// A client's body, and who wants to know when it ends.
#[derive(Debug)]
pub struct Streamed {
    incoming: Incoming,
    completion: Option<Rc<Completion>>,
    received: Rc<Received>,
}

impl Streamed {
    /// `completion` is told when `incoming` ends, `received` counts what comes.
    pub fn new(
        incoming: Incoming,
        completion: Option<Rc<Completion>>,
        received: Rc<Received>,
    ) -> Self {
        Self { incoming, completion, received }
    }

    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.incoming).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            self.received.add(data);
        }
        if matches!(polled, Poll::Ready(None)) || self.incoming.is_end_stream() {
            self.received.complete();
            if let Some(completion) = &self.completion {
                completion.note();
            }
        }
        polled
    }
}

/// What is sent upstream.
#[derive(Debug)]
pub enum RequestBody {
    /// Nothing.
    Empty,
    /// As it comes from the client.
    Stream(Streamed),
    /// As it comes from the client, or came.
    Replay(Replay),
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut *self {
            Self::Empty => Poll::Ready(None),
            Self::Stream(body) => body.poll_frame(cx),
            Self::Replay(body) => body.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Stream(body) => body.incoming.is_end_stream(),
            Self::Replay(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Stream(body) => body.incoming.size_hint(),
            Self::Replay(body) => body.size_hint,
        }
    }
}

/// A client's body that can be sent again while all of it that was read is kept.
#[derive(Debug)]
struct Source {
    streamed: Streamed,
    kept: Vec<Bytes>,
    kept_bytes: usize,
    trailers: Option<HeaderMap>,
    is_ended: bool,
    is_lost: bool,
}

/// One reading of a [`Source`] from its beginning.
#[derive(Debug)]
pub struct Replay {
    source: Rc<RefCell<Source>>,
    next: usize,
    are_trailers_sent: bool,
    size_hint: SizeHint,
}

impl Replay {
    /// The first reading.
    pub fn new(streamed: Streamed) -> Self {
        let size_hint = streamed.incoming.size_hint();
        let source = Source {
            streamed,
            kept: Vec::new(),
            kept_bytes: 0,
            trailers: None,
            is_ended: false,
            is_lost: false,
        };
        let source = Rc::new(RefCell::new(source));
        Self { source, next: 0, are_trailers_sent: false, size_hint }
    }

    /// Is all that was read kept?
    pub fn is_kept(&self) -> bool {
        !self.source.borrow().is_lost
    }

    /// Another reading, from the beginning, of a body that was read to its end.
    pub fn again_complete(&self) -> Option<Self> {
        let is_complete = {
            let source = self.source.borrow();
            source.is_ended || source.streamed.incoming.is_end_stream()
        };
        self.again().filter(|_| is_complete)
    }

    /// Another reading, from the beginning; `None` if more was read than is kept.
    pub fn again(&self) -> Option<Self> {
        self.is_kept().then(|| Self {
            source: Rc::clone(&self.source),
            next: 0,
            are_trailers_sent: false,
            size_hint: self.size_hint,
        })
    }

    fn is_end_stream(&self) -> bool {
        let source = self.source.borrow();
        let is_read = source.is_ended || source.streamed.incoming.is_end_stream();
        is_read && self.next >= source.kept.len() && source.trailers.is_none()
    }

    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let mut source = self.source.borrow_mut();
        if let Some(bytes) = source.kept.get(self.next) {
            self.next += 1;
            return Poll::Ready(Some(Ok(Frame::data(bytes.clone()))));
        }
        if source.is_ended {
            let trailers = source.trailers.clone().filter(|_| !self.are_trailers_sent);
            self.are_trailers_sent = true;
            return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
        }
        let frame = ready!(source.streamed.poll_frame(cx));
        match &frame {
            None => source.is_ended = true,
            Some(Ok(frame)) => {
                self.next += source.keep(frame);
                self.are_trailers_sent |= frame.is_trailers();
            }
            Some(Err(_)) => source.is_lost = true,
        }
        Poll::Ready(frame)
    }
}

impl Source {
    /// Keeps a frame for later readings; how many places that moves this reading on.
    fn keep(&mut self, frame: &Frame<Bytes>) -> usize {
        if let Some(trailers) = frame.trailers_ref() {
            self.trailers = Some(trailers.clone());
            self.is_ended = true;
            return 0;
        }
        let Some(bytes) = frame.data_ref().filter(|_| !self.is_lost) else { return 0 };
        self.kept_bytes += bytes.len();
        if self.kept_bytes > REPLAY_BYTES_MAX {
            self.is_lost = true;
            self.kept.clear();
            return 0;
        }
        self.kept.push(bytes.clone());
        1
    }
}
