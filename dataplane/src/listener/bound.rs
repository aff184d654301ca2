//! A listener bound to this worker's route tables and clusters: what happens with a connection
//! accepted now. Made on the worker's own thread, replaced whole when the listener changes; the
//! socket stays open.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use fairway_shared::id::{ClusterId, RouteTableId};
use fairway_shared::snapshot::listener::{ChainAction, Listener, ListenerKind, TlsChain};

use crate::cluster::handle::ClusterHandle;
use crate::route::bound::BoundTable;
use crate::tcp::route::BoundTcpRoute;
use crate::tcp::sni_dnat::SniClusters;
use crate::tls::table::TlsTable;
use crate::worker::published::{Published, View};

/// See the module.
#[derive(Debug)]
pub struct BoundListener {
    /// Every connection begins with a PROXY header, and is closed without one.
    pub expects_proxy_header: bool,
    /// What happens with a connection.
    pub kind: BoundKind,
}

/// What happens with a connection.
#[derive(Debug)]
pub enum BoundKind {
    /// HTTP, with these routes.
    Http(View<BoundTable>),
    /// A TLS client hello chooses what.
    Tls(BoundTls),
    /// Bytes forwarded as they come.
    Tcp(Rc<BoundTcpRoute>),
}

/// The chains of a listener.
#[derive(Debug)]
pub struct BoundTls {
    /// How a hello leads to one, and how its handshake is done.
    pub table: Arc<TlsTable>,
    /// What is done then; as many and in the order as the listener's.
    pub chains: Box<[BoundChain]>,
}

/// What is done with the TLS connections of some server names.
#[derive(Debug)]
pub enum BoundChain {
    /// TLS ends here, HTTP inside.
    Http(View<BoundTable>),
    /// TLS ends here, bytes inside.
    Tcp(Rc<BoundTcpRoute>),
    /// Forwarded with its TLS as it came.
    Passthrough(Rc<BoundTcpRoute>),
    /// Forwarded as it came to the cluster that the server name spells.
    AutoPassthrough(SniClusters),
}

/// What listeners are bound to.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'s> {
    /// Of the same snapshot.
    pub tables: &'s BTreeMap<RouteTableId, Published<BoundTable>>,
    /// Of the same snapshot and this listener, if it is one for TLS.
    pub tls: Option<&'s Arc<TlsTable>>,
    /// Of this worker.
    pub clusters: &'s BTreeMap<ClusterId, Rc<ClusterHandle>>,
}

impl Surroundings<'_> {
    fn table(&self, id: &RouteTableId) -> View<BoundTable> {
        match self.tables.get(id) {
            Some(table) => table.view(),
            // A snapshot that names a table it lacks is refused before it comes here.
            None => Published::new(BoundTable::default()).view(),
        }
    }

    fn chain(&self, chain: &TlsChain) -> BoundChain {
        let route = |route| Rc::new(BoundTcpRoute::new(route, self.clusters));
        match &chain.action {
            ChainAction::Http { route_table, .. } => BoundChain::Http(self.table(route_table)),
            ChainAction::Tcp { route: to, .. } => BoundChain::Tcp(route(to)),
            ChainAction::Passthrough { route: to } => BoundChain::Passthrough(route(to)),
            ChainAction::AutoPassthrough => {
                let clusters = SniClusters::new(&chain.server_names, self.clusters);
                BoundChain::AutoPassthrough(clusters)
            }
        }
    }
}

impl BoundListener {
    /// Finds what the listener names.
    pub fn new(spec: &Listener, around: Surroundings<'_>) -> Self {
        let kind = match &spec.kind {
            ListenerKind::Http { route_table } => BoundKind::Http(around.table(route_table)),
            ListenerKind::Tls { chains } => {
                let chains = chains.iter().map(|chain| around.chain(chain)).collect();
                // A snapshot is prepared with its TLS, listener by listener.
                let table = around.tls.map_or_else(Arc::default, Arc::clone);
                BoundKind::Tls(BoundTls { table, chains })
            }
            ListenerKind::Tcp { route } => {
                BoundKind::Tcp(Rc::new(BoundTcpRoute::new(route, around.clusters)))
            }
        };
        Self { expects_proxy_header: spec.proxy_protocol, kind }
    }

    /// Are its handshakes done with this?
    pub fn is_with(&self, table: Option<&Arc<TlsTable>>) -> bool {
        match (&self.kind, table) {
            (BoundKind::Tls(tls), Some(table)) => Arc::ptr_eq(&tls.table, table),
            (kind, table) => !matches!(kind, BoundKind::Tls(_)) && table.is_none(),
        }
    }
}
