//! Requests that need a new connection where connections are limited: they wait in a queue of
//! limited length until one may be had (Istio contract 3.4).
//!
//! The limit is the pod's, so that a connection that idles here may be what keeps a request of
//! another worker waiting, or one to another endpoint: idle connections give way.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use super::handle::ClusterHandle;
use super::limits::{Count, Counters, Overflow, Permit};
use super::pool::{Connection, Life};
use super::secured::Wanted;
use crate::subset::host::Host;

/// How often a waiting request looks whether another worker has closed a connection.
const LOOK_AROUND: Duration = Duration::from_millis(5);

/// What a request may do that found no idle connection.
#[derive(Debug)]
pub enum Turn {
    /// Use one that has become idle.
    Pooled(Connection),
    /// Open one.
    Dial {
        /// Lives as long as the connection.
        connection: Option<Permit>,
        /// Lives until the connection is there.
        pending: Option<Permit>,
    },
}

/// Waits for its turn.
///
/// # Errors
/// The queue is full.
pub async fn wait(
    cluster: &ClusterHandle,
    counters: &Counters,
    host: &Rc<Host>,
    life: &Life,
    wanted: Option<Wanted<'_>>,
) -> Result<Turn, Overflow> {
    let pending = counters.take(Count::Pending)?;
    let mut waiting = None;
    loop {
        let pooled = poll_fn(|cx| Poll::Ready(host.pool.take(cx, life.age_max, wanted))).await;
        if let Some(connection) = pooled {
            return Ok(Turn::Pooled(connection));
        }
        if let Ok(connection) = counters.try_connection() {
            return Ok(Turn::Dial { connection, pending });
        }
        if cluster.close_idle() {
            continue;
        }
        if waiting.is_none() {
            counters.note_refused(Count::Connections);
            waiting = Some(counters.waiting());
        }
        tokio::select! {
            () = counters.freed() => {}
            () = tokio::time::sleep(LOOK_AROUND) => {}
        }
    }
}
