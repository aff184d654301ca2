//! `ClusterActor`: the policy of one upstream cluster, published as a [`ClusterView`].

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Context, Handler, Message};
use fairway_shared::snapshot::cluster::{Cluster, UpstreamProtocol};

use super::connect::Dialing;
use super::health::Outliers;
use super::limits::{Counters, Shared};
use super::pool::Life;
use super::sharing::Sharing;
use crate::region::Cell;
use crate::tls::originating::Originating;
use crate::worker::published::{Published, View};

/// Streams of one HTTP/2 connection, unless the cluster says less: what endpoints allow at least
/// (RFC 9113 6.5.2). When they are taken another connection is opened.
const STREAMS_MAX: u32 = 100;

/// What a request needs to know of its cluster.
#[derive(Debug)]
pub struct ClusterView {
    /// What its endpoints speak.
    pub protocol: UpstreamProtocol,
    /// How connections are made.
    pub dialing: Dialing,
    /// How they are secured; `None` = plaintext.
    pub tls: Option<Arc<Originating>>,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// How long connections are used.
    pub life: Life,
    /// Requests one connection may carry; `u32::MAX` = no limit.
    pub requests_per_connection_max: u32,
    /// Its limits; `None` if it has none.
    pub counters: Option<Rc<Counters>>,
    /// When endpoints are ejected; `None` = never.
    pub outliers: Option<Rc<Outliers>>,
}

/// Owns the policy of one upstream cluster.
#[derive(Debug)]
pub struct ClusterActor {
    published: Published<ClusterView>,
    shares: Shares,
}

/// What is shared with other workers, claimed when the policy first asks for it.
#[derive(Debug)]
struct Shares {
    sharing: Sharing,
    cell: Option<Rc<Cell>>,
    counts: Option<Rc<Shared>>,
}

/// The cluster as the newest snapshot has it. One per snapshot, so `do_send` is bounded.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ApplySpec(pub Arc<Cluster>, pub Option<Arc<Originating>>);

impl ClusterActor {
    /// The view leaves here, at birth: it is not `Send`, so no message can carry it later.
    pub fn new(
        spec: &Cluster,
        tls: Option<Arc<Originating>>,
        sharing: Sharing,
    ) -> (Self, View<ClusterView>) {
        let mut shares = Shares { sharing, cell: None, counts: None };
        let published = Published::new(shares.view_of(spec, tls));
        let view = published.view();
        (Self { published, shares }, view)
    }
}

impl Actor for ClusterActor {
    type Context = Context<Self>;
}

impl Handler<ApplySpec> for ClusterActor {
    type Result = ();

    fn handle(&mut self, ApplySpec(spec, tls): ApplySpec, _: &mut Self::Context) {
        self.published.publish(self.shares.view_of(&spec, tls));
    }
}

impl Shares {
    fn view_of(&mut self, spec: &Cluster, tls: Option<Arc<Originating>>) -> ClusterView {
        assert_eq!(spec.tls.is_some(), tls.is_some(), "a policy of TLS comes with its handshakes");
        let is_limited = spec.limits != Default::default();
        if is_limited || spec.outlier.is_some() {
            self.cell = self.cell.take().or_else(|| self.sharing.cluster_cell().map(Rc::new));
        } else {
            self.cell = None;
        }
        let cell = self.cell.clone().filter(|_| is_limited);
        self.counts = cell.map(|cell| self.counts.take().unwrap_or_else(|| Shared::new(cell)));
        let millis = |limit: Option<u64>| limit.map(Duration::from_millis);
        let counts = self.counts.clone();
        let requests_max = match spec.max_requests_per_connection {
            // Whoever comes next may be another client.
            _ if spec.proxy_protocol.is_some() => 1,
            0 => u32::MAX,
            limit => limit,
        };
        let streams_max = spec.max_concurrent_streams.unwrap_or(STREAMS_MAX);
        ClusterView {
            protocol: spec.protocol,
            dialing: Dialing::new(spec),
            tls,
            connect_timeout: Duration::from_millis(u64::from(spec.connect_timeout_ms)),
            requests_per_connection_max: requests_max,
            life: Life {
                idle_max: millis(spec.idle_timeout_ms),
                age_max: millis(spec.max_connection_duration_ms),
                requests_max,
                streams_max: streams_max.clamp(1, STREAMS_MAX),
            },
            counters: counts.and_then(|counts| Counters::new(spec.limits, || counts)),
            outliers: spec
                .outlier
                .clone()
                .zip(self.cell.clone())
                .map(|(policy, cell)| Rc::new(Outliers::new(policy, cell))),
        }
    }
}
