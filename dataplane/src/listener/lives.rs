//! The connections of a listener, so that they can be told how their end comes.
//!
//! A connection registers its waker with each poll; an order is a flag and a wake. Nothing is
//! allocated, armed or locked per request. The same ear hears from the worker's sweep that time is
//! up.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::pulse::{Found, Patience, Phase, Pulse};
use super::refusals::{Refusal, Refusals};
use super::streams::Streams;
use crate::http::connection::Graceful;

/// What a connection has been told; each order includes those before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Order {
    /// Go on.
    #[default]
    Serve,
    /// Take what comes, and say with each answer that it is time to go elsewhere.
    Announce,
    /// Finish what runs and take nothing new.
    Finish,
    /// End, whatever runs.
    End,
}

/// An HTTP/1.1 connection that stood between two requests for so long gives its buffers back.
const REST_AFTER: Duration = Duration::from_secs(2);

/// Why a connection is not driven further.
#[derive(Debug)]
pub enum Driven<T> {
    /// It is over; `None` = it was ended.
    Over(Option<T>),
    /// It has stood between two requests for a while.
    Rests,
}

/// One connection's ear.
#[derive(Debug)]
struct Ear {
    order: Cell<Order>,
    waker: RefCell<Waker>,
    pulse: Arc<Pulse>,
    /// When the sweep last saw progress.
    since: Cell<Option<Instant>>,
    /// The sweep found that it may rest.
    may_rest: Cell<bool>,
    /// There, if the connection is HTTP/2.
    streams: OnceCell<Rc<Streams>>,
}

/// All connections of a listener.
#[derive(Debug, Default)]
pub struct Lives {
    ears: RefCell<HashMap<u64, Rc<Ear>>>,
    next: Cell<u64>,
    order: Cell<Order>,
    on_empty: RefCell<Option<Waker>>,
}

/// One connection; ends with it.
#[derive(Debug)]
pub struct Life {
    lives: Rc<Lives>,
    ear: Rc<Ear>,
    number: u64,
}

impl Lives {
    /// Registers a connection, or something else that is to be waited for.
    pub fn begin(self: &Rc<Self>) -> Life {
        let number = self.next.get();
        self.next.set(number + 1);
        let waker = RefCell::new(Waker::noop().clone());
        let ear = Rc::new(Ear {
            order: Cell::new(self.order.get()),
            waker,
            pulse: Arc::new(Pulse::new(Phase::Free)),
            since: Cell::default(),
            may_rest: Cell::default(),
            streams: OnceCell::new(),
        });
        self.ears.borrow_mut().insert(number, Rc::clone(&ear));
        Life { lives: Rc::clone(self), ear, number }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.ears.borrow().len()
    }

    /// Tells all, those to come too. Nobody is told less than before.
    pub fn tell(&self, order: Order) {
        if order <= self.order.get() {
            return;
        }
        self.order.set(order);
        for ear in self.ears.borrow().values() {
            ear.tell(order);
        }
    }

    /// Looks whose time is up, tells them, and counts them.
    pub fn sweep(&self, now: Instant, patience: &Patience, refusals: &Refusals) {
        for ear in self.ears.borrow().values() {
            match ear.pulse.sweep(&ear.since, now, patience) {
                Found::Alive => ear.consider_rest(now),
                Found::Late(phase) => {
                    refusals.count(Refusal::late(phase));
                    ear.waker.borrow().wake_by_ref();
                }
                Found::Over => ear.tell(Order::End),
            }
            if let Some(streams) = ear.streams.get() {
                refusals.add(Refusal::StreamIdle, streams.sweep(now, patience));
            }
        }
    }

    /// Answers are to say that the connection closes.
    pub fn is_leaving(&self) -> bool {
        self.order.get() >= Order::Announce
    }

    /// Returns when there is none.
    pub async fn empty(&self) {
        poll_fn(|cx| {
            if self.count() == 0 {
                return Poll::Ready(());
            }
            *self.on_empty.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl Ear {
    fn consider_rest(&self, now: Instant) {
        let is_long = |since| now.saturating_duration_since(since) >= REST_AFTER;
        let may_rest = self.pulse.is_between() && self.since.get().is_some_and(is_long);
        if may_rest && !self.may_rest.replace(may_rest) {
            self.waker.borrow().wake_by_ref();
        }
    }

    fn tell(&self, order: Order) {
        self.order.set(self.order.get().max(order));
        self.waker.borrow().wake_by_ref();
    }
}

/// One connection's progress, for those who make it.
#[derive(Debug, Clone)]
pub struct Watch(Rc<Ear>);

impl Watch {
    /// Something else is waited for from now on.
    pub fn enter(&self, phase: Phase) {
        self.0.pulse.enter(phase);
    }

    /// For who moves the connection's bytes.
    pub fn pulse(&self) -> Arc<Pulse> {
        Arc::clone(&self.0.pulse)
    }

    /// See [`Pulse::take_heard`].
    pub fn take_heard(&self) -> u32 {
        self.0.pulse.take_heard()
    }

    /// Has time run out for the request whose task runs?
    pub fn is_request_late(&self) -> bool {
        match self.0.streams.get() {
            Some(streams) => streams.is_late(),
            None => self.0.pulse.late() == Some(Phase::Busy),
        }
    }

    /// That request has all the time again.
    pub fn pardon(&self) {
        match self.0.streams.get() {
            Some(streams) => streams.pardon(),
            None => self.enter(Phase::Busy),
        }
    }

    /// The connection is HTTP/2, and these are its streams.
    pub fn streams(&self) -> Rc<Streams> {
        self.0.pulse.set_has_streams();
        Rc::clone(self.0.streams.get_or_init(Rc::default))
    }

    /// The connection takes no further request.
    pub fn retire(&self) {
        self.0.tell(Order::Finish);
    }
}

/// A request that is being answered, until its response is.
#[derive(Debug)]
pub struct InFlight(Watch);

impl InFlight {
    /// It begins.
    pub fn new(watch: Watch, has_body: bool) -> Self {
        watch.0.pulse.set_body(has_body);
        // A stream's own pulse began with its task.
        if !watch.0.pulse.has_streams() {
            watch.enter(Phase::Busy);
        }
        Self(watch)
    }

    /// Has its time run out?
    pub fn is_late(&self) -> bool {
        self.0.is_request_late()
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if !self.0.0.pulse.has_streams() {
            self.0.enter(Phase::Idle);
        }
    }
}

impl Life {
    /// For those who make progress.
    pub fn watch(&self) -> Watch {
        Watch(Rc::clone(&self.ear))
    }

    /// Those of the same listener.
    pub fn all(&self) -> &Rc<Lives> {
        &self.lives
    }

    /// Has it been told to finish? Wakes the task if it is told later.
    pub fn is_told_to_finish(&self, cx: &Context<'_>) -> bool {
        self.listen(cx) >= Order::Finish
    }

    /// Runs a future that holds no request; the order to finish ends it, and the end of time.
    pub async fn guard<F: Future>(&self, future: Pin<&mut F>) -> Option<F::Output> {
        self.until(Order::Finish, future).await
    }

    /// Runs a tunnel, whose every turn is progress; the order to end ends it, and the end of time.
    pub async fn stay<F: Future>(&self, mut future: Pin<&mut F>) -> Option<F::Output> {
        self.ear.pulse.enter(Phase::Tunnel);
        let turn = poll_fn(move |cx| {
            self.ear.pulse.touch();
            future.as_mut().poll(cx)
        });
        self.until(Order::End, pin!(turn)).await
    }

    /// Runs a connection; that order becomes a graceful shutdown, and so does too long an idleness.
    pub async fn drive<C: Future>(
        &self,
        mut connection: Pin<&mut C>,
        on: Order,
        shut_down: Graceful<C>,
    ) -> Driven<C::Output> {
        let mut is_told = false;
        self.ear.may_rest.set(false);
        poll_fn(|cx| {
            let order = self.listen(cx);
            if order == Order::End {
                return Poll::Ready(Driven::Over(None));
            }
            let is_idle = self.ear.pulse.late() == Some(Phase::Idle);
            if (order >= on || is_idle) && !is_told {
                is_told = true;
                shut_down(connection.as_mut());
            }
            if let Poll::Ready(output) = connection.as_mut().poll(cx) {
                return Poll::Ready(Driven::Over(Some(output)));
            }
            let rests = self.ear.may_rest.get() && !is_told && self.ear.pulse.is_between();
            if rests { Poll::Ready(Driven::Rests) } else { Poll::Pending }
        })
        .await
    }

    async fn until<F: Future>(&self, order: Order, mut future: Pin<&mut F>) -> Option<F::Output> {
        poll_fn(|cx| match self.listen(cx) {
            told if told >= order || self.ear.pulse.late().is_some() => Poll::Ready(None),
            _ => future.as_mut().poll(cx).map(Some),
        })
        .await
    }

    fn listen(&self, cx: &Context<'_>) -> Order {
        let mut waker = self.ear.waker.borrow_mut();
        waker.clone_from(cx.waker());
        self.ear.order.get()
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        let mut ears = self.lives.ears.borrow_mut();
        ears.remove(&self.number);
        if ears.is_empty()
            && let Some(waker) = self.lives.on_empty.borrow_mut().take()
        {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, ready};
    use std::pin::pin;

    #[tokio::test(flavor = "current_thread")]
    async fn each_order_ends_what_it_is_meant_to_end() {
        for (order, guarded, stays) in [
            (Order::Serve, Some(()), Some(())),
            (Order::Announce, Some(()), Some(())),
            (Order::Finish, None, Some(())),
            (Order::End, None, None),
        ] {
            let lives = Rc::<Lives>::default();
            lives.tell(order);
            let life = lives.begin();
            assert_eq!(life.guard(pin!(ready(()))).await, guarded, "{order:?}");
            assert_eq!(life.stay(pin!(ready(()))).await, stays, "{order:?}");
            assert_eq!(lives.is_leaving(), order != Order::Serve, "{order:?}");
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn an_order_wakes_who_waits_and_cannot_be_taken_back() {
        let lives = Rc::<Lives>::default();
        let life = lives.begin();
        let orders = async {
            tokio::task::yield_now().await;
            lives.tell(Order::End);
            lives.tell(Order::Finish);
        };
        let mut never = pin!(pending::<()>());
        assert_eq!(tokio::join!(life.stay(never.as_mut()), orders).0, None);
        drop(life);
        lives.empty().await;
        assert_eq!(lives.begin().stay(pin!(ready(()))).await, None);
    }
}
