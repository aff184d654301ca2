//! What a route holds of a cluster: views and figures, found once per snapshot.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use actix::{Actor, Addr};
use fairway_shared::id::ClusterId;
use fairway_shared::ipc::message::ClusterState;
use fairway_shared::snapshot::cluster::{Cluster, EndpointSet};

use super::actor::{ApplySpec, ClusterActor, ClusterView};
use super::limits::{Overflow, Permit};
use super::outlier::{self, Outcome};
use super::pool::Open;
use super::sharing::Sharing;
use crate::names::actor::{Follow, NamesActor};
use crate::region::Region;
use crate::subset::actor::{ApplyEndpoints, HealthChanged, SubsetActor};
use crate::subset::balance::SubsetView;
use crate::subset::host::Host;
use crate::sys::memory::monotonic_ms;
use crate::telemetry::cluster::ClusterFigures;
use crate::telemetry::connections::ConnectionFigures;
use crate::tls::originating::Originating;
use crate::worker::published::View;

/// One upstream cluster of this worker.
#[derive(Debug)]
pub struct ClusterHandle {
    /// Its key.
    pub id: Rc<ClusterId>,
    /// Its policy.
    pub policy: View<ClusterView>,
    /// Its endpoints.
    pub subset: View<SubsetView>,
    /// Its requests.
    pub figures: ClusterFigures,
    /// Its connections of opaque bytes.
    pub connections: ConnectionFigures,
    /// What happened to it.
    pub tally: Tally,
    /// Its open connections.
    pub open: Rc<Cell<u32>>,
    cluster_actor: Addr<ClusterActor>,
    subset_actor: Addr<SubsetActor>,
    names: Addr<NamesActor>,
    /// [`NamesActor`] knows of this cluster.
    follows_names: Cell<bool>,
    /// [`super::health::Outliers::changes`] that the endpoints' view has.
    seen_changes: Cell<u64>,
}

/// A cluster as the newest snapshot has it.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Its policy.
    pub spec: Arc<Cluster>,
    /// Its handshakes; `None` = plaintext.
    pub tls: Option<Arc<Originating>>,
    /// Of the whole service port.
    pub endpoints: Arc<EndpointSet>,
}

/// What all clusters of a worker share.
#[derive(Debug, Clone)]
pub struct Around {
    /// With other workers.
    pub region: Option<Rc<Region>>,
    /// Who resolves names.
    pub names: Addr<NamesActor>,
}

fn names_of(endpoints: &EndpointSet) -> BTreeSet<String> {
    endpoints.names.iter().map(|named| named.host.clone()).collect()
}

/// Things that are only counted, since the worker started.
#[derive(Debug, Default)]
pub struct Tally {
    /// Requests tried again.
    pub retries: Cell<u64>,
    /// Attempts to connect.
    pub connects: Cell<u64>,
    /// Those that failed.
    pub connect_failures: Cell<u64>,
    /// Ejections by this worker.
    pub ejections: Cell<u64>,
    /// Snapshots that changed this cluster's policy or endpoints.
    pub applied: Cell<u64>,
}

/// How a request to an endpoint went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Went {
    /// An HTTP response with that status.
    Answered(u16),
    /// A connection of opaque bytes that ended well.
    Well,
    /// No connection, no response, a reset or a timeout.
    Failed,
}

/// Counts one more.
pub fn add_one(figure: &Cell<u64>) {
    figure.set(figure.get() + 1);
}

impl ClusterHandle {
    /// Starts the cluster's actors. Must run inside an actix system.
    pub fn start(id: ClusterId, parts: Parts, around: &Around) -> Self {
        let Parts { spec, tls, endpoints } = parts;
        let id = Rc::new(id);
        let figures = ClusterFigures::new(Rc::clone(&id), &endpoints);
        let sharing = Sharing::new(around.region.clone(), &id.to_string());
        let names = names_of(&endpoints);
        let (cluster, policy) = ClusterActor::new(&spec, tls, sharing.clone());
        let (subset, view) = SubsetActor::new(ApplyEndpoints { cluster: spec, endpoints }, sharing);
        let subset_actor = subset.start();
        let this = Self {
            id,
            policy,
            subset: view,
            figures,
            connections: ConnectionFigures::default(),
            tally: Tally::default(),
            open: Rc::default(),
            cluster_actor: cluster.start(),
            subset_actor,
            follows_names: Cell::new(false),
            names: around.names.clone(),
            seen_changes: Cell::new(0),
        };
        this.follow_names(names);
        this
    }

    /// Says which names are resolved for the endpoints' sake; costs nothing where there are none.
    fn follow_names(&self, names: BTreeSet<String>) {
        let has_names = !names.is_empty();
        if self.follows_names.replace(has_names) || has_names {
            let cluster = self.id.to_string().into();
            let who = self.subset_actor.downgrade().recipient();
            self.names.do_send(Follow { cluster, who, names });
        }
    }

    /// Hands both actors what the newest snapshot says, and returns when both have published it.
    pub async fn apply(&self, Parts { spec, tls, endpoints }: Parts) {
        add_one(&self.tally.applied);
        self.figures.apply(&endpoints);
        let names = names_of(&endpoints);
        let cluster = self.cluster_actor.send(ApplySpec(Arc::clone(&spec), tls));
        let subset = self.subset_actor.send(ApplyEndpoints { cluster: spec, endpoints });
        // An actor of this process can only be gone if the process is ending.
        let _ = tokio::join!(cluster, subset);
        self.follow_names(names);
    }

    /// A host for a connection of opaque bytes, as [`SubsetView::pick`].
    pub fn pick(
        &self,
        key: Option<u64>,
        tried: &[Rc<Host>],
        random: &mut fastrand::Rng,
    ) -> Option<Rc<Host>> {
        self.subset.load().pick(key, tried, random).map(Rc::clone)
    }

    /// Leave for one more connection; it lives as long as the connection. Idle connections of
    /// this worker give way. `None` if connections are not limited.
    ///
    /// # Errors
    /// All of the pod's are taken.
    pub fn permit_connection(&self, policy: &ClusterView) -> Result<Option<Permit>, Overflow> {
        let Some(counters) = &policy.counters else { return Ok(None) };
        loop {
            match counters.try_connection() {
                Err(Overflow) if self.close_idle() => {}
                Err(Overflow) => {
                    counters.note_refused(super::limits::Count::Connections);
                    return Err(Overflow);
                }
                permit => return permit,
            }
        }
    }

    /// Counts a connection for as long as it lives.
    pub fn open(&self, host: &Host, permit: Option<Permit>) -> Open {
        Open::new([&self.open, &host.open], permit)
    }

    /// Counts an attempt to connect.
    pub fn note_dialled(&self, host: &Host, is_good: bool) {
        add_one(&self.tally.connects);
        add_one(&host.counts.connects);
        if !is_good {
            add_one(&self.tally.connect_failures);
            add_one(&host.counts.connect_failures);
        }
    }

    /// The cluster as this worker sees it, its endpoints in parts of at most `endpoints_max`.
    pub fn states(&self, endpoints_max: usize) -> Vec<ClusterState> {
        let limits = self.policy.load().counters.as_ref().map(|counters| counters.limits());
        let part = |endpoints| ClusterState {
            name: self.id.to_string(),
            limits: limits.unwrap_or_default(),
            endpoints,
        };
        let view = self.subset.load();
        let hosts = view.hosts();
        if hosts.is_empty() {
            return vec![part(Vec::new())];
        }
        let chunks = hosts.chunks(endpoints_max.max(1));
        chunks.map(|hosts| part(hosts.iter().map(|host| host.state()).collect())).collect()
    }

    /// Counts how a request went, where endpoints are ejected.
    pub fn note(&self, policy: &ClusterView, host: &Host, went: Went) {
        let Some(outliers) = &policy.outliers else { return };
        let outcome = match went {
            Went::Answered(status) => outlier::of_status(&outliers.policy, status),
            Went::Well => Outcome::Success,
            Went::Failed => Outcome::LocalFailure,
        };
        let now_ms = if outcome == Outcome::Success { 0 } else { monotonic_ms() };
        if outliers.note(host, outcome, self.subset.load().hosts(), now_ms) {
            add_one(&self.tally.ejections);
            tracing::warn!(cluster = %self.id, endpoint = %host.address, "endpoint ejected");
            self.subset_actor.do_send(HealthChanged);
        }
    }

    /// Closes one idle connection, whichever endpoint's; was there one?
    pub fn close_idle(&self) -> bool {
        self.subset.load().hosts().iter().any(|host| host.pool.drop_one())
    }

    /// Follows what other workers do; called several times a second. Costs nothing without limits
    /// and ejections.
    pub fn follow(&self) {
        let policy = self.policy.load();
        if let Some(outliers) = &policy.outliers {
            outliers.sweep(self.subset.load().hosts(), monotonic_ms());
            let changes = outliers.changes();
            if self.seen_changes.replace(changes) != changes {
                self.subset_actor.do_send(HealthChanged);
            }
        }
        if let Some(counters) = &policy.counters {
            let wanted = counters.waiting_elsewhere();
            let _closed = (0..wanted).take_while(|_| self.close_idle()).count();
        }
    }

    /// Drops connections that idle too long, are used up, or that the upstream has closed.
    pub fn sweep(&self, now: Instant) {
        let policy = self.policy.load();
        for host in self.subset.load().hosts() {
            host.pool.sweep(now, &policy.life, policy.tls.as_ref());
        }
    }

    /// Endpoints that are ejected now, in figures that are added up over workers: only one of
    /// them tells.
    pub fn ejected(&self) -> Option<usize> {
        let policy = self.policy.load();
        policy.outliers.as_ref().filter(|outliers| outliers.is_spokesman())?;
        Some(self.subset.load().hosts().iter().filter(|host| host.is_ejected()).count())
    }
}
