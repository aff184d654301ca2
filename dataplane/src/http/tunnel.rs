//! A connection that has become something else (RFC 9110 7.8): bytes both ways until both ends
//! have closed.

use std::pin::pin;

use http::Extensions;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;

use crate::cluster::pool::Connection;
use crate::listener::lives::Life;
use crate::subset::host::Busy;
use crate::telemetry::account::Parked;

/// One end of an upgrade that is not complete yet.
#[derive(Debug)]
pub struct End(OnUpgrade);

impl End {
    /// Takes the end out of a request or a response.
    pub fn take(extensions: &mut Extensions) -> Option<Self> {
        extensions.remove::<OnUpgrade>().map(Self)
    }
}

/// Carries bytes once both ends are handed over: the upstream's when its connection is driven to
/// the end of its HTTP, the client's when it has its 101.
pub fn start(
    downstream: End,
    upstream: End,
    connection: Option<Connection>,
    busy: Busy,
    (account, life): (Parked, Life),
) {
    tokio::task::spawn_local(async move {
        if let Some(mut connection) = connection {
            std::future::poll_fn(|cx| connection.poll_drive(cx)).await;
        }
        if let (Ok(downstream), Ok(upstream)) = tokio::join!(downstream.0, upstream.0) {
            // Not ended by a drain, only by its deadline.
            let ended = life.stay(pin!(carry(downstream, upstream))).await;
            let (received, sent) = ended.unwrap_or_default();
            account.end(received, sent);
        }
        drop(busy);
    });
}

/// How many bytes came from the client, and how many from upstream.
async fn carry(downstream: Upgraded, upstream: Upgraded) -> (u64, u64) {
    let (mut downstream, mut upstream) = (TokioIo::new(downstream), TokioIo::new(upstream));
    // Either end breaking off ends the tunnel; there is nobody to tell.
    tokio::io::copy_bidirectional(&mut downstream, &mut upstream).await.unwrap_or_default()
}
