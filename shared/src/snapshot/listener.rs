//! What is listened on.

use std::net::IpAddr;

use bincode::{Decode, Encode};

use crate::id::RouteTableId;

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
    /// Upper-case protocol of the first merged server, for people: `HTTP`, `HTTP2`, `GRPC`.
    pub protocol: String,
    /// `namespace/name` of the Gateways merged here, in merge order.
    pub gateways: Vec<String>,
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
}
