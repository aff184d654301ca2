//! Listeners.

use std::net::IpAddr;

use fairway_shared::id::{ListenerId, RouteTableId};
use fairway_shared::snapshot::listener::{
    ChainAction, Listener, ListenerKind, TcpDestination, TcpRoute, TlsChain,
};

use super::check::{At, FieldError, Problem, each, named, port, required, within};
use super::cluster::cluster_id;
use super::tls::server_tls;
use crate::wire;

pub(super) fn listener(from: wire::Listener) -> Result<(ListenerId, Listener), FieldError> {
    let id = ListenerId(named(from.id).at("id")?);
    let listener = Listener {
        bind: bind(from.bind).at("bind")?,
        port: port(from.port).at("port")?,
        gateway_ports: each("gateway_ports", from.gateway_ports, port)?,
        protocol: from.protocol,
        gateways: from.gateways,
        proxy_protocol: from.proxy_protocol,
        kind: kind(required(from.kind).at("kind")?)?,
    };
    Ok((id, listener))
}

fn bind(text: String) -> Result<Option<IpAddr>, FieldError> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| Problem::NotAnAddress { text }.into())
}

fn kind(from: wire::listener::Kind) -> Result<ListenerKind, FieldError> {
    use wire::listener::Kind;
    Ok(match from {
        Kind::Http(http) => {
            let route_table = route_table(http.route_table).at("http")?;
            ListenerKind::Http { route_table }
        }
        Kind::Tls(tls) => {
            let chains = each("chains", tls.chains, chain).at("tls")?;
            ListenerKind::Tls { chains }
        }
        Kind::Tcp(tcp) => {
            let route = required(tcp.route).and_then(tcp_route).at("route").at("tcp")?;
            ListenerKind::Tcp { route }
        }
    })
}

fn route_table(from: String) -> Result<RouteTableId, FieldError> {
    named(from).map(RouteTableId).at("route_table")
}

fn chain(from: wire::TlsChain) -> Result<TlsChain, FieldError> {
    use wire::tls_chain::Action;
    let action = match required(from.action).at("action")? {
        Action::Http(http) => ChainAction::Http {
            tls: required(http.tls).and_then(server_tls).at("tls").at("http")?,
            route_table: route_table(http.route_table).at("http")?,
        },
        Action::Tcp(tcp) => ChainAction::Tcp {
            tls: required(tcp.tls).and_then(server_tls).at("tls").at("tcp")?,
            route: required(tcp.route).and_then(tcp_route).at("route").at("tcp")?,
        },
        Action::Passthrough(route) => {
            ChainAction::Passthrough { route: tcp_route(route).at("passthrough")? }
        }
        Action::AutoPassthrough(wire::AutoPassthrough {}) => ChainAction::AutoPassthrough,
    };
    let server_names = each("server_names", from.server_names, named)?;
    Ok(TlsChain { name: from.name, server_names, action })
}

fn tcp_route(from: wire::TcpRoute) -> Result<TcpRoute, FieldError> {
    if from.destinations.is_empty() {
        return Err(FieldError::from(Problem::Missing)).at("destinations");
    }
    Ok(TcpRoute {
        origin: from.origin,
        destinations: each("destinations", from.destinations, tcp_destination)?,
        idle_timeout_ms: from.idle_timeout_ms,
        max_duration_ms: from.max_duration_ms,
    })
}

fn tcp_destination(from: wire::TcpDestination) -> Result<TcpDestination, FieldError> {
    Ok(TcpDestination {
        cluster: required(from.cluster).and_then(cluster_id).at("cluster")?,
        weight: within(from.weight, 1, u32::MAX.into()).at("weight")?,
        hash_source_ip: from.hash_source_ip,
    })
}
