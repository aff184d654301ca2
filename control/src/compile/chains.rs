//! TLS servers of one port as chains: which server names, what is done with their connections,
//! and under which name (Istio contract 1.4, 1.6).

use std::sync::Arc;

use fairway_shared::id::RouteTableId;
use fairway_shared::snapshot::listener::{ChainAction, TlsChain};
use fairway_shared::snapshot::route::RouteTable;

use super::listeners::{MergedPort, MergedServer};
use super::server_tls::TlsPlan;
use super::virtual_hosts::{Bindings, route_table};

/// The chains of a port in merge order; the route tables that they use go to `tables`.
pub(super) fn chains(
    merged: &MergedPort<'_, '_>,
    bindings: &Bindings<'_, '_>,
    tables: &mut Vec<(RouteTableId, Arc<RouteTable>)>,
) -> Vec<TlsChain> {
    let mut chains = Vec::with_capacity(merged.servers.len());
    for one in &merged.servers {
        let name = chain_name(one);
        let action = match &one.server.tls {
            Some(TlsPlan::Http(tls)) => {
                let id = RouteTableId(name.clone());
                let table = route_table(std::slice::from_ref(one), bindings);
                tables.push((id.clone(), Arc::new(table)));
                ChainAction::Http { tls: tls.clone(), route_table: id }
            }
            Some(TlsPlan::AutoPassthrough) => ChainAction::AutoPassthrough,
            // No route, no chain.
            Some(TlsPlan::Tcp(_) | TlsPlan::Passthrough) | None => continue,
        };
        let server_names = one.server.hosts.iter().map(str::to_owned).collect();
        chains.push(TlsChain { name, server_names, action });
    }
    chains
}

/// `https.<written port>.<port name>.<Gateway>.<its namespace>[.<bind>]`.
fn chain_name(merged: &MergedServer<'_, '_>) -> String {
    let (server, meta) = (merged.server, &merged.gateway.gateway.object.meta);
    let (port, name) = (server.written_port, &server.port_name);
    let bind = server.bind.map(|bind| format!(".{bind}")).unwrap_or_default();
    format!("https.{port}.{name}.{}.{}{bind}", meta.name, meta.namespace)
}
