//! Copies of requests, sent elsewhere once the request's body is complete; what comes back is
//! thrown away and never counts (Istio contract 2.10).
//!
//! A body longer than what is kept for retries is not mirrored.

use std::rc::Rc;
use std::time::Duration;

use fairway_shared::snapshot::route::Share;
use http::Version;
use http_body_util::BodyExt;

use super::body::{Completion, RequestBody};
use super::connection::Downstream;
use super::forward::{Forwarding, Limits, Trace};
use super::outgoing::{BodySource, Outgoing};
use super::response::UpstreamBody;
use crate::cluster::handle::ClusterHandle;
use crate::route::action::MirrorTarget;
use crate::route::bound::BoundTable;

/// Longest life of a copy whose route has no timeout.
const COPY_TIMEOUT: Duration = Duration::from_secs(300);

/// The copies of one request.
#[derive(Debug, Default)]
pub struct Mirrors(Vec<(Rc<ClusterHandle>, Outgoing)>);

/// Draws whether something that happens to a share of requests happens to this one.
pub fn is_hit(share: Share) -> bool {
    fastrand::u32(..Share::ALL.0) < share.0
}

impl Mirrors {
    /// Draws who gets a copy. A cluster that does not exist gets none.
    pub fn choose(targets: &[MirrorTarget], table: &BoundTable, outgoing: &Outgoing) -> Self {
        let hit = targets.iter().filter(|target| is_hit(target.share));
        let clusters = hit.filter_map(|target| table.cluster(target.cluster));
        Self(clusters.map(|cluster| (Rc::clone(cluster), outgoing.clone())).collect())
    }

    /// Nobody gets a copy.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sends the copies, each in a task of its own.
    pub fn send(self, downstream: &Rc<Downstream>, body: &BodySource) {
        for (cluster, outgoing) in self.0 {
            let Some(body) = body.complete() else { continue };
            tokio::task::spawn_local(send(Rc::clone(downstream), cluster, outgoing, body));
        }
    }
}

async fn send(
    downstream: Rc<Downstream>,
    cluster: Rc<ClusterHandle>,
    mut outgoing: Outgoing,
    body: RequestBody,
) {
    let limits = Limits {
        timeout: Some(COPY_TIMEOUT),
        per_try: None,
        completion: Some(Completion::new(true)),
    };
    let deadline = limits.deadline();
    let forwarding = Forwarding {
        downstream: &downstream,
        cluster: &cluster,
        limits,
        retry: None,
        version: Version::HTTP_11,
        is_grpc: false,
        key: None,
        trace: Trace::default(),
    };
    let mut body = BodySource::Ready(Some(body));
    if let Ok((answer, _)) = forwarding.run(&mut outgoing, &mut body).await {
        let requests_max = cluster.policy.load().requests_per_connection_max;
        let (_, incoming) = answer.response.into_parts();
        let body = UpstreamBody::new(incoming, answer.connection, answer.busy, requests_max);
        let mut body = super::response::ReplyBody::upstream(body.until(deadline));
        // Read to its end so that the connection can be used again.
        while let Some(Ok(_)) = body.frame().await {}
    }
}
