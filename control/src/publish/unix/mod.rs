//! The unix-socket carrier: workers of the same host and build. Snapshots travel as sealed memfds
//! whose descriptors are passed beside small frames, so that all workers share one copy.
//!
//! | module | owns |
//! | --- | --- |
//! | [`bind`] | the socket's path: its mode, a stale predecessor, its removal |
//! | [`memfd`] | a snapshot in a sealed memfd |
//! | `frames` | bytes of one connection to messages and back, with descriptors |
//! | `handshake` | whether both ends are of one build; pure |
//! | `connection` | one worker from hello to hang-up |

pub mod bind;
mod connection;
mod frames;
mod handshake;
pub mod memfd;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

use super::SUBSCRIBERS_MAX;
use super::publisher::Publisher;

/// Connections at one time, subscribed or not; more wait in the accept queue.
const CONNECTIONS_MAX: usize = SUBSCRIBERS_MAX + 64;
/// Pause after a failed accept, in milliseconds: it fails for want of descriptors or memory.
const ACCEPT_PAUSE_MS: u64 = 100;

/// Who is at the other end, as the kernel says (unix(7), SO_PEERCRED): the user that control runs
/// as, or root. The mode of the socket asks for the same; this holds if somebody changes the mode.
fn is_trusted(stream: &UnixStream) -> bool {
    let own = nix::unistd::geteuid().as_raw();
    match stream.peer_cred() {
        Ok(peer) if may_speak(peer.uid(), own) => true,
        Ok(peer) => {
            let uid = peer.uid();
            tracing::warn!("control socket: user {uid} is refused: only {own} and root may speak");
            false
        }
        Err(error) => {
            tracing::warn!("control socket: a peer without credentials is refused: {error}");
            false
        }
    }
}

fn may_speak(peer: u32, own: u32) -> bool {
    peer == own || peer == nix::unistd::Uid::from_raw(0).as_raw()
}

/// Accepts workers for ever.
pub async fn serve(listener: UnixListener, publisher: Publisher) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    while let Ok(permit) = Arc::clone(&permits).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) if !is_trusted(&stream) => drop(permit),
            Ok((stream, _)) => {
                let publisher = publisher.clone();
                tokio::spawn(async move {
                    connection::serve(stream, publisher).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!("control socket: accept failed: {error}");
                tokio::time::sleep(Duration::from_millis(ACCEPT_PAUSE_MS)).await;
            }
        }
    }
}
