//! Listeners.

use fairway_shared::id::ListenerId;
use fairway_shared::snapshot::listener::{Listener, ListenerKind};

use crate::wire;
use wire::listener::Kind;

/// A listener under its id.
pub fn listener(id: &ListenerId, from: &Listener) -> wire::Listener {
    let kind = match &from.kind {
        ListenerKind::Http { route_table } => {
            Some(Kind::Http(wire::HttpListener { route_table: route_table.0.clone() }))
        }
        ListenerKind::Tls { .. } | ListenerKind::Tcp { .. } => None,
    };
    wire::Listener {
        id: id.0.clone(),
        bind: from.bind.map(|bind| bind.to_string()).unwrap_or_default(),
        port: from.port.into(),
        gateway_ports: from.gateway_ports.iter().map(|port| u32::from(*port)).collect(),
        protocol: from.protocol.clone(),
        gateways: from.gateways.clone(),
        kind,
    }
}
