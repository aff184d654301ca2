//! TLS servers of one port as chains: which server names, what is done with their connections,
//! and under which name (Istio contract 1.4, 1.6, 2.11). TCP servers find their route here too.

use std::collections::HashSet;
use std::sync::Arc;

use fairway_shared::id::RouteTableId;
use fairway_shared::snapshot::listener::{ChainAction, TcpRoute, TlsChain};
use fairway_shared::snapshot::route::RouteTable;

use super::findings::{FieldPath, Findings, SNI_CONFLICT};
use super::listeners::{MergedPort, MergedServer};
use super::server_tls::TlsPlan;
use super::virtual_hosts::{Bindings, route_table};
use super::{World, auto_passthrough};

/// What chains are made from.
#[derive(Clone, Copy)]
pub(super) struct Sources<'s, 'a> {
    /// Services and their rules.
    pub(super) world: &'s World<'a>,
    /// VirtualServices by Gateway.
    pub(super) bindings: &'s Bindings<'s, 'a>,
}

/// The chains of one port in the making.
#[derive(Default)]
pub(super) struct Chains {
    /// In merge order; no two share a server name.
    pub(super) chains: Vec<TlsChain>,
    /// The route tables that they use.
    pub(super) tables: Vec<(RouteTableId, Arc<RouteTable>)>,
    taken: HashSet<String>,
}

/// The chains of a port.
pub(super) fn chains(
    merged: &MergedPort<'_, '_>,
    sources: Sources<'_, '_>,
    findings: &mut Findings,
) -> Chains {
    let mut chains = Chains::default();
    // A name that a server claims outranks one that only a VirtualService names.
    for one in &merged.servers {
        if one.server.tls != Some(TlsPlan::Passthrough) {
            chains.taken.extend(one.server.hosts.iter().map(str::to_owned));
        }
    }
    for one in &merged.servers {
        chains.add(one, sources, findings);
    }
    chains
}

impl Chains {
    fn add(
        &mut self,
        one: &MergedServer<'_, '_>,
        sources: Sources<'_, '_>,
        findings: &mut Findings,
    ) {
        let name = chain_name(one);
        let action = match &one.server.tls {
            Some(TlsPlan::Http(tls)) => {
                let id = RouteTableId(name.clone());
                let table = route_table(std::slice::from_ref(one), sources.bindings);
                self.tables.push((id.clone(), Arc::new(table)));
                ChainAction::Http { tls: tls.clone(), route_table: id }
            }
            Some(TlsPlan::Tcp(tls)) => {
                let Some(route) = tcp_route(*one, sources) else { return };
                ChainAction::Tcp { tls: tls.clone(), route }
            }
            Some(TlsPlan::AutoPassthrough) => {
                let hosts = one.server.hosts.iter();
                let server_names = auto_passthrough::server_names(sources.world, hosts);
                let action = ChainAction::AutoPassthrough;
                return self.chains.push(TlsChain { name, server_names, action });
            }
            Some(TlsPlan::Passthrough) => return self.add_passthrough(one, sources, findings),
            None => return,
        };
        let server_names = one.server.hosts.iter().map(str::to_owned).collect();
        self.chains.push(TlsChain { name, server_names, action });
    }

    /// A chain for each `tls` match that is for this server; without one there is none.
    fn add_passthrough(
        &mut self,
        one: &MergedServer<'_, '_>,
        sources: Sources<'_, '_>,
        findings: &mut Findings,
    ) {
        let (gateway, port) = (one.gateway.key.as_str(), one.server.written_port);
        for service in sources.bindings.reaching(*one) {
            for route in service.tls.iter().filter(|route| route.admits(gateway, port)) {
                if let Some(name) = route.sni_hosts.iter().find(|name| self.taken.contains(*name)) {
                    let what =
                        format_args!("`{name}` is taken on port {port} of Gateway {gateway}");
                    let remedy = "this match is dropped; name each server name once per port";
                    let mut scope = findings.scope(service.service.object, FieldPath::Spec);
                    scope.error(SNI_CONFLICT, "tls", what, remedy);
                    continue;
                }
                self.taken.extend(route.sni_hosts.iter().cloned());
                let route_placed = route.placed(sources.world, port);
                self.chains.push(TlsChain {
                    name: chain_name(one),
                    server_names: route.sni_hosts.clone(),
                    action: ChainAction::Passthrough { route: route_placed },
                });
            }
        }
    }
}

/// Where a server's opaque bytes go: the first `tcp` entry that is for it, of the first
/// VirtualService that has one.
pub(super) fn tcp_route(one: MergedServer<'_, '_>, sources: Sources<'_, '_>) -> Option<TcpRoute> {
    let (gateway, port) = (one.gateway.key.as_str(), one.server.written_port);
    let mut routes = sources.bindings.reaching(one).flat_map(|service| &service.tcp);
    let route = routes.find(|route| route.admits(gateway, port))?;
    Some(route.placed(sources.world, port))
}

/// `https.<written port>.<port name>.<Gateway>.<its namespace>[.<bind>]`.
fn chain_name(merged: &MergedServer<'_, '_>) -> String {
    let (server, meta) = (merged.server, &merged.gateway.gateway.object.meta);
    let (port, name) = (server.written_port, &server.port_name);
    let bind = server.bind.map(|bind| format!(".{bind}")).unwrap_or_default();
    format!("https.{port}.{name}.{}.{}{bind}", meta.name, meta.namespace)
}
