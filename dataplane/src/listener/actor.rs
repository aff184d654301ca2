//! `ListenerActor`: one bound address: its accept loops, its connections, its drain. Beside the
//! slot's own socket it accepts from those of slots that have no worker, for as long as they are
//! lent.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{self, Poll, Waker};
use std::time::Duration;

use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Message, ResponseFuture};
use fairway_shared::id::WorkerSlot;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::bound::BoundListener;
use super::dispatch;
use super::lives::{Lives, Order};
use super::refusals::Refusal;
use crate::http::connection::Serving;
use crate::worker::published::View;

/// Pause after an accept that failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Owns the slot's socket of one address.
pub struct ListenerActor {
    bound: SocketAddr,
    socket: Option<TcpListener>,
    listener: View<BoundListener>,
    serving: Rc<Serving>,
    lives: Rc<Lives>,
    accepting: Option<Accepting>,
    borrowed: BTreeMap<WorkerSlot, Accepting>,
    is_draining: bool,
}

/// A socket and the task that accepts from it.
struct Accepting {
    socket: Rc<TcpListener>,
    task: JoinHandle<()>,
}

/// Accept from another slot's socket of the same address too.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Borrow {
    /// Whose.
    pub owner: WorkerSlot,
    /// It listens already.
    pub socket: std::net::TcpListener,
}

/// Accept from another slot's socket no more. Connections accepted stay here.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Return {
    /// Whose.
    pub owner: WorkerSlot,
}

/// Go on accepting, and say with each answer that it is time to go elsewhere.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Announce;

/// Accept no more but what waits already, let requests that run finish, then end; answered when
/// the last connection is gone. The caller bounds the wait.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Drain;

impl ListenerActor {
    /// `socket` listens already. The count of connections leaves here, at birth.
    ///
    /// # Errors
    /// The socket cannot be registered with the event loop.
    pub fn new(
        bound: SocketAddr,
        socket: std::net::TcpListener,
        listener: View<BoundListener>,
        serving: Rc<Serving>,
    ) -> io::Result<(Self, Rc<Lives>)> {
        socket.set_nonblocking(true)?;
        let socket = Some(TcpListener::from_std(socket)?);
        let lives = Rc::<Lives>::default();
        let count = Rc::clone(&lives);
        let actor = Self {
            bound,
            socket,
            listener,
            serving,
            lives,
            accepting: None,
            borrowed: BTreeMap::new(),
            is_draining: false,
        };
        Ok((actor, count))
    }

    fn accept_from(&self, socket: TcpListener) -> Accepting {
        let (socket, door) = (Rc::new(socket), self.door());
        let task = tokio::task::spawn_local(accept(self.bound, Rc::clone(&socket), door));
        Accepting { socket, task }
    }

    fn door(&self) -> Door {
        Door {
            listener: self.listener.clone(),
            serving: Rc::clone(&self.serving),
            lives: Rc::clone(&self.lives),
        }
    }
}

impl Actor for ListenerActor {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Self::Context) {
        if let Some(socket) = self.socket.take() {
            self.accepting = Some(self.accept_from(socket));
        }
    }
}

impl Handler<Announce> for ListenerActor {
    type Result = ();

    fn handle(&mut self, _: Announce, _: &mut Self::Context) {
        self.lives.tell(Order::Announce);
    }
}

impl Handler<Drain> for ListenerActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Drain, ctx: &mut Self::Context) -> Self::Result {
        self.is_draining = true;
        let borrowed = std::mem::take(&mut self.borrowed).into_values();
        for Accepting { socket, task } in self.accepting.take().into_iter().chain(borrowed) {
            task.abort();
            accept_waiting(&socket, &self.door());
        }
        self.lives.tell(Order::Finish);
        let (lives, address) = (Rc::clone(&self.lives), ctx.address());
        Box::pin(async move {
            lives.empty().await;
            address.do_send(Stop);
        })
    }
}

impl Handler<Borrow> for ListenerActor {
    type Result = ();

    fn handle(&mut self, Borrow { owner, socket }: Borrow, _: &mut Self::Context) {
        if self.is_draining {
            return;
        }
        // The owner's flag: the description is shared, and it is set there too.
        let opened = socket.set_nonblocking(true).and_then(|()| TcpListener::from_std(socket));
        match opened {
            Ok(socket) => {
                let accepting = self.accept_from(socket);
                if let Some(before) = self.borrowed.insert(owner, accepting) {
                    before.task.abort();
                }
            }
            Err(error) => tracing::warn!(bound = %self.bound, %error, "cannot accept for {owner}"),
        }
    }
}

impl Handler<Return> for ListenerActor {
    type Result = ();

    fn handle(&mut self, Return { owner }: Return, _: &mut Self::Context) {
        if let Some(accepting) = self.borrowed.remove(&owner) {
            accepting.task.abort();
        }
    }
}

/// Ends the actor. Sent once, by its own drain.
#[derive(Message)]
#[rtype(result = "()")]
struct Stop;

impl Handler<Stop> for ListenerActor {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        ctx.stop();
    }
}

/// What a connection gets when it comes in.
struct Door {
    listener: View<BoundListener>,
    serving: Rc<Serving>,
    lives: Rc<Lives>,
}

impl Door {
    fn enter(&self, stream: TcpStream, remote: SocketAddr) {
        let max = self.serving.limits.connections_max as usize;
        if max > 0 && self.lives.count() >= max {
            // Closed unread: cheaper than any answer, and the client may try another replica.
            return self.serving.refusals.count(Refusal::Connections);
        }
        let (listener, serving) = (self.listener.clone(), Rc::clone(&self.serving));
        let life = self.lives.begin();
        tokio::task::spawn_local(async move {
            dispatch::serve(stream, remote, listener, serving, &life).await;
        });
    }
}

async fn accept(bound: SocketAddr, socket: Rc<TcpListener>, door: Door) {
    loop {
        match socket.accept().await {
            Ok((stream, remote)) => door.enter(stream, remote),
            // The client went away while it waited in the queue.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::warn!(%bound, %error, "accepting failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Connections that the kernel has completed would be reset with the socket's last descriptor.
fn accept_waiting(socket: &TcpListener, door: &Door) {
    let mut cx = task::Context::from_waker(Waker::noop());
    while let Poll::Ready(Ok((stream, remote))) = socket.poll_accept(&mut cx) {
        door.enter(stream, remote);
    }
}
