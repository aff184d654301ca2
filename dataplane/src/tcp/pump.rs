//! Both directions of a connection of opaque bytes, until both have ended, one fails, or time is
//! up.
//!
//! There is one timer per connection. It is not touched when bytes move: when it fires, it is
//! looked at how long nothing has moved, and it is set anew (Istio contract 2.11).

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::buffers::Buffers;
use super::direction::{Broken, Direction, Wire};
use crate::clock;
use crate::listener::lives::Life;

/// Stands for never: further away than any process lives.
const FAR: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Why a connection is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Both sides have closed.
    Closed,
    /// The client's side was reset.
    ClientFailed,
    /// The endpoint's was.
    EndpointFailed,
    /// Nothing moved for too long.
    Idle,
    /// It lived as long as it may.
    TooOld,
    /// The listener or the worker is going, and the drain time is over.
    Drained,
}

/// How long a connection may live, counted from `begun`.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// When it was accepted.
    pub begun: Instant,
    /// Longest time in which nothing moves.
    pub idle: Option<Duration>,
    /// Longest life.
    pub life: Option<Duration>,
    /// Longest life after the order to finish.
    pub drain: Duration,
}

/// Where moved bytes are counted while the connection lives.
#[derive(Debug, Clone, Copy)]
pub struct Counters<'c> {
    /// From the client.
    pub received: &'c Cell<u64>,
    /// To the client.
    pub sent: &'c Cell<u64>,
}

/// A connection under way.
#[derive(Debug, Default)]
pub struct Pump {
    /// From the client to the endpoint.
    pub up: Direction,
    /// From the endpoint to the client.
    pub down: Direction,
}

/// Clock hands of a connection.
#[derive(Debug, Clone, Copy)]
struct Hands {
    limits: Limits,
    moved_at: Instant,
    told_at: Option<Instant>,
}

impl Hands {
    /// When the first limit is reached, and which.
    fn due(&self) -> (Instant, End) {
        let limits = [
            self.limits.idle.map(|limit| (self.moved_at + limit, End::Idle)),
            self.limits.life.map(|limit| (self.limits.begun + limit, End::TooOld)),
            self.told_at.map(|told_at| (told_at + self.limits.drain, End::Drained)),
        ];
        let due = limits.into_iter().flatten().min_by_key(|(at, _)| *at);
        due.unwrap_or((self.moved_at + FAR, End::Idle))
    }
}

impl Pump {
    /// Moves bytes until the connection is over.
    pub async fn run<D: Wire, U: Wire>(
        &mut self,
        (downstream, upstream): (&mut D, &mut U),
        limits: Limits,
        counters: Counters<'_>,
        (life, buffers): (&Life, &Buffers),
    ) -> End {
        let mut hands = Hands { limits, moved_at: clock::now(), told_at: None };
        let mut timer = pin!(tokio::time::sleep_until(hands.due().0.into()));
        poll_fn(|cx| {
            let before = (self.up.moved(), self.down.moved());
            let moved = self.poll_both(cx, downstream, upstream, buffers);
            let (up, down) = (self.up.moved() - before.0, self.down.moved() - before.1);
            if up + down > 0 {
                counters.received.set(counters.received.get() + up);
                counters.sent.set(counters.sent.get() + down);
                hands.moved_at = clock::now();
            }
            if let Poll::Ready(end) = moved {
                return Poll::Ready(end);
            }
            if hands.told_at.is_none() && life.is_told_to_finish(cx) {
                hands.told_at = Some(clock::now());
                timer.as_mut().reset(hands.due().0.into());
            }
            while timer.as_mut().poll(cx).is_ready() {
                let (at, end) = hands.due();
                if at <= clock::now() {
                    return Poll::Ready(end);
                }
                timer.as_mut().reset(at.into());
            }
            Poll::Pending
        })
        .await
    }

    fn poll_both<D: Wire, U: Wire>(
        &mut self,
        cx: &mut Context<'_>,
        downstream: &mut D,
        upstream: &mut U,
        buffers: &Buffers,
    ) -> Poll<End> {
        let up = self.up.poll(cx, downstream, upstream, buffers);
        let down = self.down.poll(cx, upstream, downstream, buffers);
        match (up, down) {
            (Poll::Ready(Err(Broken::Sink)), _) | (_, Poll::Ready(Err(Broken::Source))) => {
                Poll::Ready(End::EndpointFailed)
            }
            (Poll::Ready(Err(Broken::Source)), _) | (_, Poll::Ready(Err(Broken::Sink))) => {
                Poll::Ready(End::ClientFailed)
            }
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Poll::Ready(End::Closed),
            _ => Poll::Pending,
        }
    }
}
