//! Listeners.

use fairway_shared::id::ListenerId;
use fairway_shared::snapshot::listener::{
    ChainAction, Listener, ListenerKind, TcpDestination, TcpRoute, TlsChain,
};

use super::cluster_id;
use super::tls::server_tls;
use crate::wire;

/// A listener under its id.
pub fn listener(id: &ListenerId, from: &Listener) -> wire::Listener {
    wire::Listener {
        id: id.0.clone(),
        bind: from.bind.map(|bind| bind.to_string()).unwrap_or_default(),
        port: from.port.into(),
        gateway_ports: from.gateway_ports.iter().map(|port| u32::from(*port)).collect(),
        protocol: from.protocol.clone(),
        gateways: from.gateways.clone(),
        proxy_protocol: from.proxy_protocol,
        kind: Some(kind(&from.kind)),
    }
}

fn kind(from: &ListenerKind) -> wire::listener::Kind {
    use wire::listener::Kind;
    match from {
        ListenerKind::Http { route_table } => {
            Kind::Http(wire::HttpListener { route_table: route_table.0.clone() })
        }
        ListenerKind::Tls { chains } => {
            Kind::Tls(wire::TlsListener { chains: chains.iter().map(chain).collect() })
        }
        ListenerKind::Tcp { route } => {
            Kind::Tcp(wire::TcpListener { route: Some(tcp_route(route)) })
        }
    }
}

fn chain(from: &TlsChain) -> wire::TlsChain {
    use wire::tls_chain::Action;
    let action = match &from.action {
        ChainAction::Http { tls, route_table } => Action::Http(wire::TerminatedHttp {
            tls: Some(server_tls(tls)),
            route_table: route_table.0.clone(),
        }),
        ChainAction::Tcp { tls, route } => Action::Tcp(wire::TerminatedTcp {
            tls: Some(server_tls(tls)),
            route: Some(tcp_route(route)),
        }),
        ChainAction::Passthrough { route } => Action::Passthrough(tcp_route(route)),
        ChainAction::AutoPassthrough => Action::AutoPassthrough(wire::AutoPassthrough {}),
    };
    wire::TlsChain {
        name: from.name.clone(),
        server_names: from.server_names.clone(),
        action: Some(action),
    }
}

fn tcp_route(from: &TcpRoute) -> wire::TcpRoute {
    wire::TcpRoute {
        origin: from.origin.clone(),
        destinations: from.destinations.iter().map(tcp_destination).collect(),
        idle_timeout_ms: from.idle_timeout_ms,
        max_duration_ms: from.max_duration_ms,
    }
}

fn tcp_destination(from: &TcpDestination) -> wire::TcpDestination {
    wire::TcpDestination {
        cluster: Some(cluster_id(&from.cluster)),
        weight: from.weight,
        hash_source_ip: from.hash_source_ip,
    }
}
