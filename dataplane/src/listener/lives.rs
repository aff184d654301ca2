//! The connections of a listener, so that they can be told to finish.
//!
//! A connection registers its waker with each poll; an order is a flag and a wake. Nothing is
//! allocated, armed or locked per request.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::http::connection::Graceful;

/// What a connection has been told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Order {
    /// Go on.
    Serve,
    /// Finish what runs and take nothing new.
    Finish,
}

/// One connection's ear.
#[derive(Debug)]
struct Ear {
    order: Cell<Order>,
    waker: RefCell<Waker>,
}

/// All connections of a listener.
#[derive(Debug, Default)]
pub struct Lives {
    ears: RefCell<HashMap<u64, Rc<Ear>>>,
    next: Cell<u64>,
    is_finishing: Cell<bool>,
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
    /// Registers a connection.
    pub fn begin(self: &Rc<Self>) -> Life {
        let number = self.next.get();
        self.next.set(number + 1);
        let order = if self.is_finishing.get() { Order::Finish } else { Order::Serve };
        let waker = RefCell::new(Waker::noop().clone());
        let ear = Rc::new(Ear { order: Cell::new(order), waker });
        self.ears.borrow_mut().insert(number, Rc::clone(&ear));
        Life { lives: Rc::clone(self), ear, number }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.ears.borrow().len()
    }

    /// Tells all, those to come too, to finish what runs.
    pub fn finish(&self) {
        self.is_finishing.set(true);
        for ear in self.ears.borrow().values() {
            ear.order.set(Order::Finish);
            ear.waker.borrow().wake_by_ref();
        }
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

impl Life {
    /// Runs a future that holds no request; the order to finish ends it.
    pub async fn guard<F: Future>(&self, mut future: Pin<&mut F>) -> Option<F::Output> {
        poll_fn(|cx| match self.listen(cx) {
            Order::Finish => Poll::Ready(None),
            Order::Serve => future.as_mut().poll(cx).map(Some),
        })
        .await
    }

    /// Has it been told to finish? Wakes the task if it is told later.
    pub fn is_told_to_finish(&self, cx: &Context<'_>) -> bool {
        self.listen(cx) == Order::Finish
    }

    /// Runs a connection; the order to finish becomes a graceful shutdown.
    pub async fn drive<C: Future>(&self, mut connection: Pin<&mut C>, shut_down: Graceful<C>) {
        let mut is_told = false;
        poll_fn(|cx| {
            if self.listen(cx) == Order::Finish && !is_told {
                is_told = true;
                shut_down(connection.as_mut());
            }
            connection.as_mut().poll(cx).map(drop)
        })
        .await;
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
