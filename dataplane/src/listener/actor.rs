//! `ListenerActor`: one bound address: its accept loop, its connections, its drain.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Message, ResponseFuture};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::lives::Lives;
use crate::http::connection::{self, Serving};

/// Pause after an accept that failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Owns the slot's socket of one address.
pub struct ListenerActor {
    bound: SocketAddr,
    socket: Option<TcpListener>,
    serving: Rc<Serving>,
    lives: Rc<Lives>,
    accepting: Option<JoinHandle<()>>,
}

/// Accept no more, let requests that run finish, then end; answered when the last connection is
/// gone. The caller bounds the wait.
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
        serving: Rc<Serving>,
    ) -> io::Result<(Self, Rc<Lives>)> {
        socket.set_nonblocking(true)?;
        let socket = Some(TcpListener::from_std(socket)?);
        let lives = Rc::<Lives>::default();
        let count = Rc::clone(&lives);
        Ok((Self { bound, socket, serving, lives, accepting: None }, count))
    }
}

impl Actor for ListenerActor {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Self::Context) {
        let Some(socket) = self.socket.take() else { return };
        let (bound, serving, lives) =
            (self.bound, Rc::clone(&self.serving), Rc::clone(&self.lives));
        self.accepting = Some(tokio::task::spawn_local(accept(bound, socket, serving, lives)));
    }
}

impl Handler<Drain> for ListenerActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Drain, ctx: &mut Self::Context) -> Self::Result {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
        }
        self.lives.finish();
        let (lives, address) = (Rc::clone(&self.lives), ctx.address());
        Box::pin(async move {
            lives.empty().await;
            address.do_send(Stop);
        })
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

async fn accept(bound: SocketAddr, socket: TcpListener, serving: Rc<Serving>, lives: Rc<Lives>) {
    loop {
        match socket.accept().await {
            Ok((stream, remote)) => {
                let (serving, life) = (Rc::clone(&serving), lives.begin());
                tokio::task::spawn_local(async move {
                    connection::serve(stream, remote, serving, &life).await;
                });
            }
            // The client went away while it waited in the queue.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::warn!(%bound, %error, "accepting failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
