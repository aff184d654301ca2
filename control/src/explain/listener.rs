//! Which listener takes a connection.

use fairway_proto::wire;
use fairway_shared::id::{ListenerId, RouteTableId};
use fairway_shared::matching::covers;
use fairway_shared::snapshot::Snapshot;
use fairway_shared::snapshot::listener::{ChainAction, Listener, ListenerKind, TcpRoute, TlsChain};

use super::objects::Objects;
use super::question::Question;

/// The listener of a port: as a Gateway writes it, else as it was resolved.
pub(super) fn choose<'s>(
    snapshot: &'s Snapshot,
    question: &Question,
) -> Option<(&'s ListenerId, &'s Listener)> {
    let all = || snapshot.listeners.iter().map(|(id, listener)| (id, listener.as_ref()));
    let is_written = |listener: &Listener| listener.gateway_ports.contains(&question.port);
    let written = all().find(|(_, listener)| is_written(listener));
    written.or_else(|| all().find(|(_, listener)| listener.port == question.port))
}

/// Why there is none.
pub(super) fn nothing_listens(snapshot: &Snapshot, question: &Question) -> String {
    let mut ports: Vec<u16> =
        snapshot.listeners.values().flat_map(|listener| listener.gateway_ports.clone()).collect();
    ports.sort_unstable();
    ports.dedup();
    let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
    let there = match ports.is_empty() {
        true => "no Gateway opens any port".to_owned(),
        false => format!("Gateways open {}", super::few(&ports)),
    };
    format!("connection refused: nothing listens on port {}: {there}", question.port)
}

/// What a connection meets behind a listener.
pub(super) enum Way<'s> {
    /// Nothing: why it is closed.
    Closed { verdict: String },
    /// HTTP; the TLS server is empty on a plain listener.
    Http { server: &'s str, table: &'s RouteTableId },
    /// Bytes as they come.
    Bytes { server: &'s str, route: &'s TcpRoute },
    /// Bytes, to the cluster that the server name spells (Istio contract 7).
    ByServerName { server: &'s str },
}

/// The way of a question's connection.
pub(super) fn way<'s>(listener: &'s Listener, question: &Question) -> Way<'s> {
    let port = question.port;
    match (&listener.kind, question.scheme) {
        (ListenerKind::Tcp { route }, _) => Way::Bytes { server: "", route },
        (ListenerKind::Http { route_table }, "http") => {
            Way::Http { server: "", table: route_table }
        }
        (ListenerKind::Http { .. }, _) => Way::Closed {
            verdict: format!("TLS handshake fails: port {port} speaks plain HTTP, use http://"),
        },
        (ListenerKind::Tls { .. }, "http") => Way::Closed {
            verdict: format!("connection closed: port {port} speaks TLS, use https://"),
        },
        (ListenerKind::Tls { chains }, _) => match chain(chains, &question.sni) {
            Some(chain) => chosen(chain),
            None => Way::Closed { verdict: no_chain(chains, question) },
        },
    }
}

/// The exact name, then the longest wildcard, then `*` (Istio contract 1.7).
fn chain<'s>(chains: &'s [TlsChain], sni: &str) -> Option<&'s TlsChain> {
    let names = chains.iter().flat_map(|chain| chain.server_names.iter().map(move |n| (n, chain)));
    let taking = names.filter(|(name, _)| covers(name, sni));
    let best = taking.max_by_key(|(name, _)| (!name.starts_with('*'), name.len()));
    best.map(|(_, chain)| chain)
}

fn chosen(chain: &TlsChain) -> Way<'_> {
    let server = chain.name.as_str();
    match &chain.action {
        ChainAction::Http { route_table, .. } => Way::Http { server, table: route_table },
        ChainAction::Tcp { route, .. } | ChainAction::Passthrough { route } => {
            Way::Bytes { server, route }
        }
        ChainAction::AutoPassthrough => Way::ByServerName { server },
    }
}

fn no_chain(chains: &[TlsChain], question: &Question) -> String {
    let names: Vec<String> =
        chains.iter().flat_map(|chain| chain.server_names.iter().cloned()).collect();
    let there = super::few(&names);
    format!(
        "TLS handshake fails: no server takes server name `{}`: there are {there}",
        question.sni
    )
}

/// What is done with bytes, for people.
pub(super) fn bytes_action(route: &TcpRoute) -> String {
    format!("bytes forwarded as they come, by {}", route.origin)
}

/// The listener for people.
pub(super) fn explained(
    id: &ListenerId,
    listener: &Listener,
    objects: &Objects<'_>,
) -> wire::ExplainedListener {
    wire::ExplainedListener {
        id: id.0.clone(),
        port: listener.port.into(),
        protocol: listener.protocol.clone(),
        gateways: listener.gateways.iter().map(|key| objects.place_of("Gateway", key)).collect(),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use fairway_proto::wire::ExplainRequest;

    use super::*;

    fn chain_for(names: &[&str]) -> TlsChain {
        TlsChain {
            name: names.join("+"),
            server_names: names.iter().map(|name| (*name).to_owned()).collect(),
            action: ChainAction::Passthrough { route: TcpRoute::default() },
        }
    }

    /// What a connection to `url`, a scheme and a host, meets.
    fn met(kind: &ListenerKind, (scheme, host): (&str, &str)) -> String {
        let listener = Listener {
            bind: None,
            port: 8443,
            gateway_ports: vec![443],
            protocol: "TLS".into(),
            gateways: vec![],
            proxy_protocol: false,
            kind: kind.clone(),
        };
        let request =
            ExplainRequest { scheme: scheme.into(), host: host.into(), ..Default::default() };
        match way(&listener, &Question::new(request).unwrap()) {
            Way::Closed { verdict } => verdict,
            Way::Bytes { server, .. } => format!("bytes {server}"),
            Way::ByServerName { server } => format!("by name {server}"),
            Way::Http { table, .. } => table.0.clone(),
        }
    }

    #[test]
    fn the_server_name_chooses_and_schemes_must_fit() {
        let tls = || ListenerKind::Tls {
            chains: vec![chain_for(&["*.b", "c"]), chain_for(&["x.b"]), chain_for(&["*.a.b"])],
        };
        for (host, expected) in [
            ("x.b", "bytes x.b"),
            ("y.b", "bytes *.b+c"),
            ("y.a.b", "bytes *.a.b"),
            ("c", "bytes *.b+c"),
            (
                "d",
                "TLS handshake fails: no server takes server name `d`: there are *.b, c, x.b, *.a.b",
            ),
        ] {
            assert_eq!(met(&tls(), ("https", host)), expected);
        }
        let plain = || ListenerKind::Http { route_table: RouteTableId("http.80".into()) };
        assert_eq!(met(&plain(), ("http", "a")), "http.80");
        assert!(met(&plain(), ("https", "a")).contains("port 443 speaks plain HTTP"));
        assert!(met(&tls(), ("http", "x.b")).contains("port 80 speaks TLS"));
        let tcp = ListenerKind::Tcp { route: TcpRoute::default() };
        assert_eq!(met(&tcp, ("http", "a")), "bytes ");
    }
}
