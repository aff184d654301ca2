//! The streams of one HTTP/2 connection, each with its own pulse: they share a connection, so
//! that bytes on it say nothing of any one of them.
//!
//! A stream is a task. Whatever wakes the task, but the sweep, is progress of the stream.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use super::lives::Watch;
use super::pulse::{Found, Patience, Phase, Pulse};

/// See the module.
#[derive(Debug, Default)]
pub struct Streams {
    places: RefCell<Vec<Option<Place>>>,
    open: Cell<usize>,
    /// Whose task runs just now.
    current: Cell<Option<usize>>,
}

#[derive(Debug)]
struct Place {
    pulse: Pulse,
    since: Cell<Option<Instant>>,
    waker: Waker,
    is_over: bool,
}

impl Streams {
    /// Has time run out for the stream whose task runs?
    pub fn is_late(&self) -> bool {
        self.current.get().is_some_and(|at| self.with(at, |place| place.pulse.late().is_some()))
    }

    /// The stream whose task runs has all the time again.
    pub fn pardon(&self) {
        if let Some(at) = self.current.get() {
            self.with(at, |place| place.pulse.enter(Phase::Busy));
        }
    }

    /// Looks which streams have run out of time, and wakes them. How many have just done so.
    pub fn sweep(&self, now: Instant, patience: &Patience) -> u64 {
        let mut late = 0;
        for place in self.places.borrow_mut().iter_mut().flatten() {
            match place.pulse.sweep(&place.since, now, patience) {
                Found::Alive => continue,
                Found::Late(_) => late += 1,
                Found::Over => place.is_over = true,
            }
            place.waker.wake_by_ref();
        }
        late
    }

    fn begin(&self) -> usize {
        self.open.set(self.open.get() + 1);
        let (pulse, waker) = (Pulse::new(Phase::Busy), Waker::noop().clone());
        let place = Place { pulse, since: Cell::default(), waker, is_over: false };
        let mut places = self.places.borrow_mut();
        match places.iter().position(Option::is_none) {
            Some(at) => {
                places[at] = Some(place);
                at
            }
            None => {
                places.push(Some(place));
                places.len() - 1
            }
        }
    }

    /// Returns whether it was the last.
    fn end(&self, at: usize) -> bool {
        self.open.set(self.open.get() - 1);
        let mut places = self.places.borrow_mut();
        if self.open.get() == 0 {
            places.clear();
        } else if let Some(place) = places.get_mut(at) {
            *place = None;
        }
        self.open.get() == 0
    }

    fn with<T: Default>(&self, at: usize, with: impl FnOnce(&mut Place) -> T) -> T {
        let mut places = self.places.borrow_mut();
        places.get_mut(at).and_then(Option::as_mut).map(with).unwrap_or_default()
    }
}

/// Spawns the streams of one connection.
#[derive(Debug, Clone)]
pub struct StreamExecutor {
    watch: Watch,
    streams: Rc<Streams>,
}

impl StreamExecutor {
    /// For the connection that `watch` watches.
    pub fn new(watch: Watch) -> Self {
        Self { streams: watch.streams(), watch }
    }
}

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for StreamExecutor {
    fn execute(&self, future: F) {
        self.watch.enter(Phase::Free);
        let (streams, watch) = (Rc::clone(&self.streams), self.watch.clone());
        let place = InPlace { at: streams.begin(), streams, watch };
        // Boxed, so that it is moved once: into the box, and not with the task as well.
        let mut future = Some(Box::pin(future));
        tokio::task::spawn_local(async move {
            poll_fn(|cx| place.poll(cx, &mut future)).await;
        });
    }
}

struct InPlace {
    at: usize,
    streams: Rc<Streams>,
    watch: Watch,
}

impl InPlace {
    fn poll<F: Future>(&self, cx: &mut Context<'_>, future: &mut Option<Pin<Box<F>>>) -> Poll<()> {
        let is_over = self.streams.with(self.at, |place| {
            place.waker.clone_from(cx.waker());
            if place.pulse.late().is_none() {
                place.pulse.touch();
            }
            place.is_over
        });
        let before = self.streams.current.replace(Some(self.at));
        let polled = match future.as_mut().filter(|_| !is_over) {
            Some(future) => future.as_mut().poll(cx).map(drop),
            None => Poll::Ready(()),
        };
        if polled.is_ready() {
            // While the stream is current, so that its account can tell why.
            *future = None;
        }
        self.streams.current.set(before);
        polled
    }
}

impl Drop for InPlace {
    fn drop(&mut self) {
        if self.streams.end(self.at) {
            let is_holding = self.watch.pulse().is_holding();
            self.watch.enter(if is_holding { Phase::Busy } else { Phase::Idle });
        }
    }
}
