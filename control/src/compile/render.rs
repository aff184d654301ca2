//! A snapshot as text, for people and for golden tests: one line per resource or fact, in key
//! order, nothing left out.

use std::fmt::{self, Display, Formatter, Write};

use fairway_shared::snapshot::Snapshot;
use fairway_shared::snapshot::listener::{ChainAction, Listener, ListenerKind, TcpRoute, TlsChain};
use fairway_shared::snapshot::route::{Route, RouteMatch, StringMatch};
use fairway_shared::snapshot::tls::Secret;
use fairway_shared::snapshot::tls::{ClientDemand, ServerTls};

use super::render_cluster::{write_cluster, write_endpoints};
use super::render_route::{self, write_host};
use super::render_settings::write_settings;

/// The snapshot as text. The version is not part of it.
pub fn render(snapshot: &Snapshot) -> String {
    let mut text = String::new();
    // Writing to a `String` cannot fail.
    let _ = write_snapshot(snapshot, &mut text);
    text
}

/// What a route asks of a request, on one line.
pub fn match_text(matches: &RouteMatch) -> String {
    render_route::match_text(matches)
}

/// A test on a text.
pub(crate) fn text_test(test: &StringMatch) -> String {
    render_route::text(test)
}

/// What a route does, a fact a line.
pub fn action_lines(route: &Route) -> Vec<String> {
    render_route::action_lines(route)
}

fn write_snapshot(snapshot: &Snapshot, out: &mut String) -> fmt::Result {
    for (id, listener) in &snapshot.listeners {
        writeln!(out, "listener {id} {}", ListenerText(listener))?;
        for chain in listener.chains() {
            write_chain(chain, out)?;
        }
    }
    for (id, table) in &snapshot.route_tables {
        writeln!(out, "table {id}")?;
        for host in &table.virtual_hosts {
            write_host(host, out)?;
        }
    }
    for (id, cluster) in &snapshot.clusters {
        write_cluster(id, cluster, out)?;
    }
    for (name, secret) in &snapshot.secrets {
        writeln!(out, "secret {name}{}", SecretText(secret))?;
    }
    for (id, set) in &snapshot.endpoints {
        write_endpoints(id, set, out)?;
    }
    write_settings(&snapshot.settings, out)
}

struct ListenerText<'s>(&'s Listener);

impl Display for ListenerText<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(listener) = self;
        write!(f, "{} port {}", listener.protocol, listener.port)?;
        write!(f, " written {}", joined(&listener.gateway_ports))?;
        if let Some(bind) = listener.bind {
            write!(f, " bind {bind}")?;
        }
        write!(f, " for {}", listener.gateways.join(" "))?;
        if listener.proxy_protocol {
            f.write_str(" behind PROXY")?;
        }
        match &listener.kind {
            ListenerKind::Http { route_table } => write!(f, " -> {route_table}"),
            ListenerKind::Tls { .. } => Ok(()),
            ListenerKind::Tcp { route } => write!(f, " {}", TcpRouteText(route)),
        }
    }
}

fn write_chain(chain: &TlsChain, out: &mut String) -> fmt::Result {
    write!(out, "  chain {} for {}", chain.name, chain.server_names.join(" "))?;
    match &chain.action {
        ChainAction::Http { tls, route_table } => {
            writeln!(out, " {} -> {route_table}", ServerTlsText(tls))
        }
        ChainAction::Tcp { tls, route } => {
            writeln!(out, " {} {}", ServerTlsText(tls), TcpRouteText(route))
        }
        ChainAction::Passthrough { route } => writeln!(out, " PASSTHROUGH {}", TcpRouteText(route)),
        ChainAction::AutoPassthrough => writeln!(out, " AUTO_PASSTHROUGH"),
    }
}

struct ServerTlsText<'s>(&'s ServerTls);

impl Display for ServerTlsText<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(tls) = self;
        write!(f, "TLS {:?} {:?} {:?}", tls.certificates, tls.version_min, tls.version_max)?;
        match &tls.client {
            ClientDemand::None => {}
            demand => write!(f, " client {demand:?}")?,
        }
        if !tls.cipher_suites.is_empty() {
            write!(f, " ciphers {}", tls.cipher_suites.join(":"))?;
        }
        Ok(())
    }
}

struct TcpRouteText<'s>(&'s TcpRoute);

impl Display for TcpRouteText<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(route) = self;
        for to in &route.destinations {
            write!(f, "-> {} weight {} ", to.cluster, to.weight)?;
            if to.hash_source_ip {
                f.write_str("by source ")?;
            }
        }
        write!(f, "idle {}", DurationText(route.idle_timeout_ms))?;
        if let Some(ms) = route.max_duration_ms {
            write!(f, " at most {ms}ms")?;
        }
        write!(f, " from {}", route.origin)
    }
}

struct DurationText(Option<u64>);

impl Display for DurationText {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(ms) => write!(f, "{ms}ms"),
            None => f.write_str("never"),
        }
    }
}

fn joined(ports: &[u16]) -> String {
    ports.iter().map(u16::to_string).collect::<Vec<_>>().join(",")
}

/// What there is, never what it says.
struct SecretText<'s>(&'s Secret);

impl Display for SecretText<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(secret) = self;
        let parts = [
            (&secret.certificate_chain, "certificate"),
            (&secret.private_key, "key"),
            (&secret.authorities, "authorities"),
            (&secret.revocations, "revocations"),
            (&secret.ocsp_staple, "staple"),
        ];
        let mut held = parts.iter().filter(|(content, _)| !content.is_empty());
        held.try_for_each(|(_, name)| write!(f, " {name}"))
    }
}
