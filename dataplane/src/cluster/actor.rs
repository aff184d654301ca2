//! `ClusterActor`: the policy of one upstream cluster, published as a [`ClusterView`].

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Context, Handler, Message};
use fairway_shared::snapshot::cluster::{Cluster, UpstreamProtocol};

use crate::worker::published::{Published, View};

/// What a request needs to know of its cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterView {
    /// What its endpoints speak.
    pub protocol: UpstreamProtocol,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// How long a connection may idle; `None` = for ever.
    pub idle_timeout: Option<Duration>,
    /// Requests one connection may carry; `u32::MAX` = no limit.
    pub requests_per_connection_max: u32,
}

/// Owns the policy of one upstream cluster.
#[derive(Debug)]
pub struct ClusterActor {
    published: Published<ClusterView>,
}

/// The cluster as the newest snapshot has it. One per snapshot, so `do_send` is bounded.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ApplySpec(pub Arc<Cluster>);

impl ClusterActor {
    /// The view leaves here, at birth: it is not `Send`, so no message can carry it later.
    pub fn new(spec: &Cluster) -> (Self, View<ClusterView>) {
        let published = Published::new(view_of(spec));
        let view = published.view();
        (Self { published }, view)
    }
}

impl Actor for ClusterActor {
    type Context = Context<Self>;
}

impl Handler<ApplySpec> for ClusterActor {
    type Result = ();

    fn handle(&mut self, ApplySpec(spec): ApplySpec, _: &mut Self::Context) {
        self.published.publish(view_of(&spec));
    }
}

fn view_of(spec: &Cluster) -> ClusterView {
    ClusterView {
        protocol: spec.protocol,
        connect_timeout: Duration::from_millis(u64::from(spec.connect_timeout_ms)),
        idle_timeout: spec.idle_timeout_ms.map(Duration::from_millis),
        requests_per_connection_max: match spec.max_requests_per_connection {
            0 => u32::MAX,
            limit => limit,
        },
    }
}
