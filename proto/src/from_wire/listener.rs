//! Listeners.

use fairway_shared::id::{ListenerId, RouteTableId};
use fairway_shared::snapshot::listener::{Listener, ListenerKind};

use super::check::{At, FieldError, Problem, each, named, port, required};
use crate::wire;
use wire::listener::Kind;

pub(super) fn listener(from: wire::Listener) -> Result<(ListenerId, Listener), FieldError> {
    let id = ListenerId(named(from.id).at("id")?);
    let Kind::Http(http) = required(from.kind).at("kind")?;
    let route_table = RouteTableId(named(http.route_table).at("route_table").at("http")?);
    let listener = Listener {
        bind: bind(from.bind).at("bind")?,
        port: port(from.port).at("port")?,
        gateway_ports: each("gateway_ports", from.gateway_ports, port)?,
        protocol: from.protocol,
        gateways: from.gateways,
        proxy_protocol: false,
        kind: ListenerKind::Http { route_table },
    };
    Ok((id, listener))
}

fn bind(text: String) -> Result<Option<std::net::IpAddr>, FieldError> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| Problem::NotAnAddress { text }.into())
}
