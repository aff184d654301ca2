//! A snapshot as text, for people and for golden tests: one line per resource or fact, in key
//! order, nothing left out.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter, Write};

use fairway_shared::snapshot::Snapshot;
use fairway_shared::snapshot::cluster::{Balancer, Cluster, Endpoint, UpstreamProtocol};
use fairway_shared::snapshot::listener::Listener;
use fairway_shared::snapshot::route::{Route, RouteMatch, StringMatch};

use super::render_route::{self, write_host};

/// The snapshot as text. The version is not part of it.
pub fn render(snapshot: &Snapshot) -> String {
    let mut text = String::new();
    // Writing to a `String` cannot fail.
    let _ = write_snapshot(snapshot, &mut text);
    text
}

/// What a route asks of a request, on one line.
pub(crate) fn match_text(matches: &RouteMatch) -> String {
    render_route::match_text(matches)
}

/// A test on a text.
pub(crate) fn text_test(test: &StringMatch) -> String {
    render_route::text(test)
}

/// What a route does, a fact a line.
pub(crate) fn action_lines(route: &Route) -> Vec<String> {
    render_route::action_lines(route)
}

fn write_snapshot(snapshot: &Snapshot, out: &mut String) -> fmt::Result {
    for (id, listener) in &snapshot.listeners {
        writeln!(out, "listener {id} {}", ListenerText(listener))?;
    }
    for (id, table) in &snapshot.route_tables {
        writeln!(out, "table {id}")?;
        for host in &table.virtual_hosts {
            write_host(host, out)?;
        }
    }
    for (id, cluster) in &snapshot.clusters {
        writeln!(out, "cluster {id} {}", ClusterText(cluster))?;
    }
    for (id, set) in &snapshot.endpoints {
        let none = if set.endpoints.is_empty() { " none" } else { "" };
        writeln!(out, "endpoints {id}{none}")?;
        for endpoint in &set.endpoints {
            writeln!(out, "  {}", EndpointText(endpoint))?;
        }
    }
    Ok(())
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
        listener.route_tables().try_for_each(|table| write!(f, " -> {table}"))
    }
}

fn joined(ports: &[u16]) -> String {
    ports.iter().map(u16::to_string).collect::<Vec<_>>().join(",")
}

struct ClusterText<'s>(&'s Cluster);

impl Display for ClusterText<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(cluster) = self;
        f.write_str(match cluster.balancer {
            Balancer::Random => "RANDOM",
            Balancer::RoundRobin => "ROUND_ROBIN",
            Balancer::LeastRequest => "LEAST_REQUEST",
            Balancer::RingHash { .. } => "RING_HASH",
            Balancer::Maglev { .. } => "MAGLEV",
        })?;
        f.write_str(match cluster.protocol {
            UpstreamProtocol::Http1 => " h1",
            UpstreamProtocol::Http2 => " h2",
            UpstreamProtocol::FromClient => " as-client",
        })?;
        write!(f, " connect {}ms", cluster.connect_timeout_ms)?;
        match cluster.idle_timeout_ms {
            Some(ms) => write!(f, " idle {ms}ms")?,
            None => f.write_str(" idle never")?,
        }
        if cluster.max_requests_per_connection > 0 {
            write!(f, " requests-per-connection {}", cluster.max_requests_per_connection)?;
        }
        write_labels(&cluster.labels, f)
    }
}

struct EndpointText<'s>(&'s Endpoint);

impl Display for EndpointText<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(endpoint) = self;
        write!(f, "{} weight {}", endpoint.address, endpoint.weight)?;
        if !endpoint.locality.is_empty() {
            write!(f, " locality {}", endpoint.locality)?;
        }
        write_labels(&endpoint.labels, f)
    }
}

fn write_labels(labels: &BTreeMap<String, String>, f: &mut Formatter<'_>) -> fmt::Result {
    for (nth, (key, value)) in labels.iter().enumerate() {
        write!(f, "{}{key}={value}", if nth == 0 { " labels " } else { "," })?;
    }
    Ok(())
}
