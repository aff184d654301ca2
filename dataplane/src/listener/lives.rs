//! The connections of a listener, so that they can be told how their end comes.
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
        let ear = Rc::new(Ear { order: Cell::new(self.order.get()), waker });
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
            ear.order.set(order);
            ear.waker.borrow().wake_by_ref();
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

impl Life {
    /// Those of the same listener.
    pub fn all(&self) -> &Rc<Lives> {
        &self.lives
    }

    /// Has it been told to finish? Wakes the task if it is told later.
    pub fn is_told_to_finish(&self, cx: &Context<'_>) -> bool {
        self.listen(cx) >= Order::Finish
    }

    /// Runs a future that holds no request; the order to finish ends it.
    pub async fn guard<F: Future>(&self, future: Pin<&mut F>) -> Option<F::Output> {
        self.until(Order::Finish, future).await
    }

    /// Runs a future that is to have all the time there is; only the order to end ends it.
    pub async fn stay<F: Future>(&self, future: Pin<&mut F>) -> Option<F::Output> {
        self.until(Order::End, future).await
    }

    /// Runs a connection; that order becomes a graceful shutdown.
    pub async fn drive<C: Future>(
        &self,
        mut connection: Pin<&mut C>,
        on: Order,
        shut_down: Graceful<C>,
    ) {
        let mut is_told = false;
        poll_fn(|cx| {
            let order = self.listen(cx);
            if order == Order::End {
                return Poll::Ready(());
            }
            if order >= on && !is_told {
                is_told = true;
                shut_down(connection.as_mut());
            }
            connection.as_mut().poll(cx).map(drop)
        })
        .await;
    }

    async fn until<F: Future>(&self, order: Order, mut future: Pin<&mut F>) -> Option<F::Output> {
        poll_fn(|cx| match self.listen(cx) {
            told if told >= order => Poll::Ready(None),
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
