//! What a route holds of a cluster: views and figures, found once per snapshot.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use actix::{Actor, Addr};
use fairway_shared::id::ClusterId;
use fairway_shared::snapshot::cluster::{Cluster, EndpointSet};

use super::actor::{ApplySpec, ClusterActor, ClusterView};
use crate::subset::actor::{ApplyEndpoints, SubsetActor};
use crate::subset::balance::SubsetView;
use crate::telemetry::connections::ConnectionFigures;
use crate::telemetry::requests::RequestFigures;
use crate::worker::published::View;

/// One upstream cluster of this worker.
#[derive(Debug)]
pub struct ClusterHandle {
    /// Its key.
    pub id: ClusterId,
    /// Its policy.
    pub policy: View<ClusterView>,
    /// Its endpoints.
    pub subset: View<SubsetView>,
    /// Its requests.
    pub figures: RequestFigures,
    /// Its connections of opaque bytes.
    pub connections: ConnectionFigures,
    /// Its open connections.
    pub open: Rc<Cell<u32>>,
    cluster_actor: Addr<ClusterActor>,
    subset_actor: Addr<SubsetActor>,
}

impl ClusterHandle {
    /// Starts the cluster's actors. Must run inside an actix system.
    pub fn start(id: ClusterId, spec: Arc<Cluster>, endpoints: Arc<EndpointSet>) -> Self {
        let (cluster, policy) = ClusterActor::new(&spec);
        let (subset, view) = SubsetActor::new(&ApplyEndpoints { cluster: spec, endpoints });
        Self {
            id,
            policy,
            subset: view,
            figures: RequestFigures::default(),
            connections: ConnectionFigures::default(),
            open: Rc::default(),
            cluster_actor: cluster.start(),
            subset_actor: subset.start(),
        }
    }

    /// Hands both actors what the newest snapshot says, and returns when both have published it.
    pub async fn apply(&self, spec: Arc<Cluster>, endpoints: Arc<EndpointSet>) {
        let cluster = self.cluster_actor.send(ApplySpec(Arc::clone(&spec)));
        let subset = self.subset_actor.send(ApplyEndpoints { cluster: spec, endpoints });
        // An actor of this process can only be gone if the process is ending.
        let _ = tokio::join!(cluster, subset);
    }

    /// Drops connections that idle too long or that the upstream has closed.
    pub fn sweep(&self, now: Instant) {
        let idle_timeout = self.policy.load().idle_timeout;
        for host in self.subset.load().hosts() {
            host.pool.sweep(now, idle_timeout);
        }
    }
}
