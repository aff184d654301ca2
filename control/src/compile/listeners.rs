//! Servers of all selected Gateways merged onto resolved ports: who shares a listener, who is
//! dropped (Istio contract 1.5, 1.6), and what becomes of each port. Age decides: the older server
//! keeps its port.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use fairway_shared::id::{ListenerId, RouteTableId};
use fairway_shared::snapshot::listener::{Listener, ListenerKind};
use fairway_shared::snapshot::route::RouteTable;

use super::chains::{self, Sources, tcp_route};
use super::findings::{FieldPath, Findings, PORT_NOT_OFFERED, SERVER_CONFLICT};
use super::gateways::{GatewayPlan, ServerClass, ServerPlan};
use super::index::Index;
use super::mesh::Mesh;
use super::ports::GatewayServices;
use super::virtual_hosts::route_table;

/// One listener to be: the servers merged onto it, all of one class, in merge order.
pub(super) struct MergedPort<'g, 'a> {
    /// Address and resolved port.
    pub(super) address: PortKey,
    /// At least one; exactly one if they carry opaque bytes.
    pub(super) servers: Vec<MergedServer<'g, 'a>>,
}

/// A server with the Gateway it belongs to.
#[derive(Clone, Copy)]
pub(super) struct MergedServer<'g, 'a> {
    /// The Gateway.
    pub(super) gateway: &'g GatewayPlan<'a>,
    /// One of its servers.
    pub(super) server: &'g ServerPlan,
}

/// Address and resolved port of a listener. Two binds never conflict (row 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PortKey {
    /// Resolved port.
    pub(super) port: u16,
    /// `None` is the wildcard address.
    pub(super) bind: Option<IpAddr>,
}

impl PortKey {
    /// `http.<port>[.<bind>]`.
    pub(super) fn route_table(&self) -> RouteTableId {
        RouteTableId(match self.bind {
            None => format!("http.{}", self.port),
            Some(bind) => format!("http.{}.{bind}", self.port),
        })
    }

    fn listener(&self) -> ListenerId {
        let bind = self.bind.map_or_else(|| "0.0.0.0".to_owned(), |bind| bind.to_string());
        ListenerId(format!("{bind}_{}", self.port))
    }
}

/// Who holds one port so far.
#[derive(Default)]
struct PortClaims<'g, 'a> {
    servers: Vec<MergedServer<'g, 'a>>,
    /// Gateway by host of the TLS servers.
    tls_hosts: HashMap<&'g str, &'g str>,
}

/// Merges the servers of all selected Gateways, in age order and the order written.
pub(super) fn merge<'g, 'a>(
    index: &Index<'a>,
    gateways: &'g [GatewayPlan<'a>],
    findings: &mut Findings,
) -> Vec<MergedPort<'g, 'a>> {
    let services = GatewayServices::find(index);
    let mut ports: BTreeMap<PortKey, PortClaims<'g, 'a>> = BTreeMap::new();
    for gateway in gateways.iter().filter(|gateway| gateway.is_selected) {
        for server in &gateway.servers {
            let path = FieldPath::Server(server.index);
            let mut scope = findings.scope(gateway.gateway.object, path);
            if !services.offer(index, server.written_port) {
                scope.warn(
                    PORT_NOT_OFFERED,
                    "port.number",
                    format_args!("{} is no port of a gateway Service", server.written_port),
                    "add it to the Service in front of the gateway pods",
                );
            }
            let port = services.resolve(index, server.written_port);
            let claims = ports.entry(PortKey { port, bind: server.bind }).or_default();
            if let Err(reason) = claims.claim(MergedServer { gateway, server }) {
                scope.error(
                    SERVER_CONFLICT,
                    "",
                    format_args!("is dropped: port {port} {reason}"),
                    "use another port, another bind, or the same protocol",
                );
            }
        }
    }
    let merged = ports.into_iter();
    merged.map(|(address, claims)| MergedPort { address, servers: claims.servers }).collect()
}

impl<'g, 'a> PortClaims<'g, 'a> {
    /// Lets a server onto the port, or says why not. The table of Istio contract 1.6, with both
    /// recommendations: hosts compare without namespace, and plaintext never joins TLS.
    fn claim(&mut self, merged: MergedServer<'g, 'a>) -> Result<(), String> {
        let (gateway, server) = (merged.gateway.key.as_str(), merged.server);
        if let Some(first) = self.servers.first() {
            let (class, holder) = (first.server.class, &first.gateway.key);
            if class != server.class || class == ServerClass::Tcp {
                return Err(format!("serves {class} for Gateway {holder} already"));
            }
        }
        if server.class == ServerClass::Tls {
            if let Some((host, holder)) = self.tls_clash(server) {
                return Err(format!("serves TLS host `{host}` for Gateway {holder} already"));
            }
            self.tls_hosts.extend(server.hosts.iter().map(|host| (host, gateway)));
        }
        self.servers.push(merged);
        Ok(())
    }

    fn tls_clash(&self, server: &'g ServerPlan) -> Option<(&'g str, &'g str)> {
        server.hosts.iter().find_map(|host| Some((host, *self.tls_hosts.get(host)?)))
    }
}

/// A listener with the route tables that its connections use.
pub(super) struct ListenerPlan {
    /// Its name.
    pub(super) id: ListenerId,
    /// What it does.
    pub(super) listener: Arc<Listener>,
    /// The tables it names.
    pub(super) tables: Vec<(RouteTableId, Arc<RouteTable>)>,
}

/// The listener of a merged port; `None` if nothing could be done with any connection
/// (Istio contract 1.6, outcomes).
pub(super) fn listener(
    merged: &MergedPort<'_, '_>,
    sources: Sources<'_, '_>,
    findings: &mut Findings,
) -> Option<ListenerPlan> {
    let mut tables = Vec::new();
    let first = *merged.servers.first()?;
    let kind = match first.server.class {
        ServerClass::Http => {
            let id = merged.address.route_table();
            tables.push((id.clone(), Arc::new(route_table(&merged.servers, sources.bindings))));
            ListenerKind::Http { route_table: id }
        }
        ServerClass::Tls => {
            let made = chains::chains(merged, sources, findings);
            tables.extend(made.tables);
            (!made.chains.is_empty()).then_some(ListenerKind::Tls { chains: made.chains })?
        }
        ServerClass::Tcp => ListenerKind::Tcp { route: tcp_route(first, sources)? },
    };
    let listener = Arc::new(described(merged, kind, &sources.world.mesh));
    Some(ListenerPlan { id: merged.address.listener(), listener, tables })
}

fn described(merged: &MergedPort<'_, '_>, kind: ListenerKind, mesh: &Mesh<'_>) -> Listener {
    let mut gateway_ports: Vec<u16> =
        merged.servers.iter().map(|merged| merged.server.written_port).collect();
    gateway_ports.sort_unstable();
    gateway_ports.dedup();
    let mut gateways: Vec<String> = Vec::new();
    for merged in &merged.servers {
        // Servers of one Gateway stand together, so the last one is enough to look at.
        if gateways.last() != Some(&merged.gateway.key) {
            gateways.push(merged.gateway.key.clone());
        }
    }
    let protocol = merged.servers.first().map(|merged| merged.server.protocol.clone());
    Listener {
        bind: merged.address.bind,
        port: merged.address.port,
        gateway_ports,
        protocol: protocol.unwrap_or_default(),
        gateways,
        proxy_protocol: mesh.proxy_protocol,
        kind,
    }
}
