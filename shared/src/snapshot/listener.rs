//! What is listened on.

use std::net::IpAddr;

use bincode::{Decode, Encode};

use super::tls::ServerTls;
use crate::id::{ClusterId, RouteTableId};

/// One listener: servers of one or more Gateways merged onto one resolved port
/// (Istio contract 1.6).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Listener {
    /// The Gateway server's `bind`; `None` means the data plane's own bind address.
    pub bind: Option<IpAddr>,
    /// Resolved port, after Service → targetPort (Istio contract 1.5), before any `--port-map`.
    pub port: u16,
    /// The port numbers as the Gateways write them, ascending, without repeats.
    pub gateway_ports: Vec<u16>,
    /// Upper-case protocol of the first merged server, for people: `HTTP`, `HTTPS`, `TCP`.
    pub protocol: String,
    /// `namespace/name` of the Gateways merged here, in merge order.
    pub gateways: Vec<String>,
    /// Every connection begins with a PROXY header, version 1 or 2, and is closed without one
    /// (`gatewayTopology.proxyProtocol`, Istio contract 1.6).
    pub proxy_protocol: bool,
    /// What happens with a connection.
    pub kind: ListenerKind,
}

/// What happens with a connection on a listener.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum ListenerKind {
    /// HTTP/1.1 or HTTP/2 with prior knowledge, told apart by the first bytes.
    Http {
        /// The virtual hosts served.
        route_table: RouteTableId,
    },
    /// A TLS client hello on every connection; the server name in it chooses the chain: exact
    /// name, longest wildcard, then a chain for `*`, which also takes clients without a server
    /// name (Istio contract 1.7). No chain: closed during the handshake, flag `NR`.
    Tls {
        /// In merge order; no two share a server name.
        chains: Vec<TlsChain>,
    },
    /// Bytes forwarded as they come.
    Tcp {
        /// Where to.
        route: TcpRoute,
    },
}

/// What is done with the TLS connections of some server names.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct TlsChain {
    /// The server it came from, for people and statistics:
    /// `https.<writtenPort>.<portName>.<gatewayName>.<gatewayNamespace>`.
    pub name: String,
    /// Lower case: exact names, `*.suffix`, or `*`.
    pub server_names: Vec<String>,
    /// What is done.
    pub action: ChainAction,
}

/// What is done with a TLS connection (Istio contract 1.4).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum ChainAction {
    /// TLS ends here, HTTP inside.
    Http {
        /// How it ends.
        tls: ServerTls,
        /// The virtual hosts of this server alone.
        route_table: RouteTableId,
    },
    /// TLS ends here, bytes inside.
    Tcp {
        /// How it ends.
        tls: ServerTls,
        /// Where to.
        route: TcpRoute,
    },
    /// Forwarded with its TLS as it came.
    Passthrough {
        /// Where to.
        route: TcpRoute,
    },
    /// Forwarded as it came to the cluster that the server name spells:
    /// `outbound_.<port>_.<subset>_.<host>` (Istio contract 7).
    AutoPassthrough,
}

/// Where opaque bytes go (Istio contract 2.11).
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
pub struct TcpRoute {
    /// The VirtualService it came from, for explanations: `dk-shop/user#0`.
    pub origin: String,
    /// At least one; weights are positive.
    pub destinations: Vec<TcpDestination>,
    /// Closed after this long without a byte in either direction, in milliseconds; `None` =
    /// never. 1 h unless the first destination's policy says otherwise.
    pub idle_timeout_ms: Option<u64>,
    /// Closed this long after it was accepted, in milliseconds; `None` = never.
    pub max_duration_ms: Option<u64>,
}

/// One weighted destination of opaque bytes.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct TcpDestination {
    /// A cluster that the snapshot may not hold: closed, flag `NC`, then.
    pub cluster: ClusterId,
    /// Relative; the chance is weight / sum.
    pub weight: u32,
    /// The client's address is the consistent-hash key (Istio contract 3.3: the only key TCP has).
    pub hash_source_ip: bool,
}

impl Listener {
    /// The route tables its connections may use.
    pub fn route_tables(&self) -> impl Iterator<Item = &RouteTableId> {
        let plain = match &self.kind {
            ListenerKind::Http { route_table } => Some(route_table),
            ListenerKind::Tls { .. } | ListenerKind::Tcp { .. } => None,
        };
        plain.into_iter().chain(self.chains().iter().filter_map(TlsChain::route_table))
    }

    /// The opaque routes its connections may take.
    pub fn tcp_routes(&self) -> impl Iterator<Item = &TcpRoute> {
        let plain = match &self.kind {
            ListenerKind::Tcp { route } => Some(route),
            ListenerKind::Http { .. } | ListenerKind::Tls { .. } => None,
        };
        plain.into_iter().chain(self.chains().iter().filter_map(TlsChain::tcp_route))
    }

    /// Its chains; none unless it is for TLS.
    pub fn chains(&self) -> &[TlsChain] {
        match &self.kind {
            ListenerKind::Tls { chains } => chains,
            ListenerKind::Http { .. } | ListenerKind::Tcp { .. } => &[],
        }
    }
}

impl TlsChain {
    /// The virtual hosts inside, if it is HTTP.
    pub fn route_table(&self) -> Option<&RouteTableId> {
        match &self.action {
            ChainAction::Http { route_table, .. } => Some(route_table),
            _ => None,
        }
    }

    /// Where the bytes go, if they are opaque.
    pub fn tcp_route(&self) -> Option<&TcpRoute> {
        match &self.action {
            ChainAction::Tcp { route, .. } | ChainAction::Passthrough { route } => Some(route),
            ChainAction::Http { .. } | ChainAction::AutoPassthrough => None,
        }
    }
}
