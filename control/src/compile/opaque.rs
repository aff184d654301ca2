//! `tls` and `tcp` entries of one VirtualService: where opaque bytes go, and from which Gateway
//! servers (Istio contract 2.11, 9.3).

use std::net::IpAddr;
use std::sync::Arc;

use fairway_shared::id::ClusterId;
use fairway_shared::matching::covers;
use fairway_shared::snapshot::listener::{TcpDestination, TcpRoute};
use fairway_shared::snapshot::route::HashKey;

use super::World;
use super::destinations::{Resolver, SERVER_PORT, WEIGHT_SUM_MAX};
use super::findings::{DUBIOUS, FieldPath, Scope};
use super::names::canonical_pattern;
use super::policy::Pool;
use super::routes::{Gate, read_gate};
use super::rules::Rule;
use crate::object::tcp_route::{self as object, TcpMatch};

/// Silence after which a connection is closed where no rule says otherwise.
const DEFAULT_IDLE_TIMEOUT_MS: u64 = 3_600_000;

/// One match of a `tls` or `tcp` entry with where its bytes go.
#[derive(Debug, Clone)]
pub(super) struct OpaqueRoute {
    gate: Gate,
    /// Server names, canonical; none of a `tcp` entry.
    pub(super) sni_hosts: Vec<String>,
    origin: String,
    destinations: Vec<TcpDestination>,
}

/// The object that entries are read from.
#[derive(Clone, Copy)]
pub(super) struct Owner<'o> {
    /// `namespace/name` of the object.
    pub(super) key: &'o str,
    /// Its hosts, canonical.
    pub(super) hosts: &'o [String],
}

/// Reads `spec.tls[at]`: a route for each match, none if the entry is broken.
pub(super) fn read_tls_entry(
    owner: Owner<'_>,
    (at, entry): (usize, &object::TlsRoute),
    resolver: Resolver<'_, '_>,
    scope: &mut Scope<'_>,
) -> Vec<OpaqueRoute> {
    let origin = format!("{}#tls{at}", owner.key);
    let destinations =
        read_destinations(&entry.route, |nth| FieldPath::TlsRoute(at, nth), resolver, scope);
    if entry.matches.is_empty() {
        scope.invalid("match", "is missing", "name sniHosts in a match");
    }
    let mut routes = Vec::with_capacity(entry.matches.len());
    for (nth, written) in entry.matches.iter().enumerate() {
        let mut part = scope.part(FieldPath::TlsMatch(at, nth));
        let sni_hosts = read_sni_hosts(&written.sni_hosts, owner.hosts, &mut part);
        check_subnets(&written.destination_subnets, &mut part);
        let tests = (written.port, &written.gateways[..]);
        let gate = read_gate(tests, resolver.namespace, &mut part);
        if !part.is_broken() {
            let (origin, destinations) = (origin.clone(), destinations.clone());
            routes.push(OpaqueRoute { gate, sni_hosts, origin, destinations });
        }
    }
    if scope.is_broken() { Vec::new() } else { routes }
}

/// Reads `spec.tcp[at]`: a route for each match, none if the entry is broken.
pub(super) fn read_tcp_entry(
    owner: Owner<'_>,
    (at, entry): (usize, &object::TcpRoute),
    resolver: Resolver<'_, '_>,
    scope: &mut Scope<'_>,
) -> Vec<OpaqueRoute> {
    let origin = format!("{}#tcp{at}", owner.key);
    let destinations =
        read_destinations(&entry.route, |nth| FieldPath::TcpRoute(at, nth), resolver, scope);
    let unconditional = [TcpMatch::default()];
    let matches = match &entry.matches[..] {
        [] => &unconditional[..],
        some => some,
    };
    let mut routes = Vec::with_capacity(matches.len());
    for (nth, written) in matches.iter().enumerate() {
        let mut part = scope.part(FieldPath::TcpMatch(at, nth));
        check_subnets(&written.destination_subnets, &mut part);
        let tests = (written.port, &written.gateways[..]);
        let gate = read_gate(tests, resolver.namespace, &mut part);
        if !part.is_broken() {
            let (origin, destinations) = (origin.clone(), destinations.clone());
            routes.push(OpaqueRoute { gate, sni_hosts: Vec::new(), origin, destinations });
        }
    }
    if scope.is_broken() { Vec::new() } else { routes }
}

/// Reads `route[]`; destinations of weight 0 are left out.
fn read_destinations(
    written: &[object::TcpDestination],
    path: impl Fn(usize) -> FieldPath,
    resolver: Resolver<'_, '_>,
    scope: &mut Scope<'_>,
) -> Vec<TcpDestination> {
    if written.is_empty() {
        scope.invalid("route", "is missing", "name a destination");
    }
    let is_weighted = written.len() > 1;
    let sum: i64 = written.iter().map(|to| to.weight.max(0)).fold(0, i64::saturating_add);
    if is_weighted && !(1..=WEIGHT_SUM_MAX).contains(&sum) {
        let what = format_args!("has weights that sum to {sum}");
        scope.invalid("route", what, "give at least one destination a positive weight");
    }
    let mut kept = Vec::with_capacity(written.len());
    for (nth, to) in written.iter().enumerate() {
        let mut part = scope.part(path(nth));
        if to.weight < 0 {
            part.invalid("weight", format_args!("is {}", to.weight), "use 0 or more");
        }
        let cluster = match &to.destination {
            Some(destination) => Some(resolver.resolve(destination, "destination", &mut part)),
            None => {
                part.invalid("destination", "is missing", "name a host");
                None
            }
        };
        if part.is_broken() {
            scope.mark_broken();
        }
        let weight = if is_weighted { u32::try_from(to.weight).unwrap_or_default() } else { 1 };
        let Some(cluster) = cluster.filter(|_| weight > 0) else { continue };
        let hash = to.destination.as_ref().and_then(|written| resolver.hash(written, &cluster));
        let hash_source_ip = hash.as_deref() == Some(&HashKey::SourceIp);
        kept.push(TcpDestination { cluster, weight, hash_source_ip });
    }
    kept
}

/// Reads `sniHosts`: canonical, each covered by one of the object's hosts.
fn read_sni_hosts(written: &[String], hosts: &[String], scope: &mut Scope<'_>) -> Vec<String> {
    if written.is_empty() {
        scope.invalid("sniHosts", "is empty", "name the server names to match");
    }
    let mut names = Vec::with_capacity(written.len());
    for name in written {
        let Some(canonical) = canonical_pattern(name) else {
            let what = format_args!("holds `{name}`, which is no server name");
            scope.invalid("sniHosts", what, "use a full name or `*.suffix`");
            continue;
        };
        if !hosts.iter().any(|host| covers(host, &canonical)) {
            let what = format_args!("holds `{name}`, which spec.hosts does not cover");
            scope.invalid("sniHosts", what, "add it to hosts, or correct it");
        }
        if canonical.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
            let what = format_args!("holds `{name}`, and no client sends an address");
            scope.warn(DUBIOUS, "sniHosts", what, "use a host name");
        }
        if !names.contains(&canonical) {
            names.push(canonical);
        }
    }
    names
}

fn check_subnets(subnets: &[String], scope: &mut Scope<'_>) {
    for subnet in subnets.iter().filter(|subnet| !is_subnet(subnet)) {
        let what = format_args!("holds `{subnet}`, no subnet");
        scope.invalid("destinationSubnets", what, "write an IP address or a CIDR block");
    }
}

/// An IP address, or one with the length of its prefix.
fn is_subnet(text: &str) -> bool {
    let (address, bits) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
    let Ok(address) = address.parse::<IpAddr>() else { return false };
    let bits_max = if address.is_ipv4() { 32 } else { 128 };
    bits.is_none_or(|bits| bits.parse::<u8>().is_ok_and(|bits| bits <= bits_max))
}

impl OpaqueRoute {
    /// Is it for that Gateway's server with that written port?
    pub(super) fn admits(&self, gateway: &str, written_port: u16) -> bool {
        self.gate.admits(gateway, written_port)
    }

    /// The route of a Gateway server. The first destination's policy decides the timeouts.
    pub(super) fn placed(&self, world: &World<'_>, written_port: u16) -> TcpRoute {
        let mut destinations = self.destinations.clone();
        for to in &mut destinations {
            if to.cluster.service.port == SERVER_PORT {
                to.cluster.service.port = written_port;
            }
        }
        let pool = destinations.first().and_then(|first| pool(world, &first.cluster));
        let idle = pool.as_ref().and_then(|pool| pool.tcp_idle_ms);
        TcpRoute {
            origin: self.origin.clone(),
            destinations,
            idle_timeout_ms: Some(idle.unwrap_or(DEFAULT_IDLE_TIMEOUT_MS)).filter(|ms| *ms > 0),
            max_duration_ms: pool.and_then(|pool| pool.max_connection_duration_ms),
        }
    }
}

/// The `connectionPool` block in force for a cluster.
fn pool(world: &World<'_>, id: &ClusterId) -> Option<Arc<Pool>> {
    let backend = world.index.backend(&id.service.host)?;
    let rule = world.rules.effective(&id.service.host, backend.namespace());
    let subset = rule.and_then(|rule| rule.subsets.get(id.subset.as_str()));
    Rule::blocks(rule, subset, id.service.port, &world.mesh.blocks).pool
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subnets_are_addresses_with_or_without_a_length() {
        for (text, is_one) in [
            ("10.0.0.0/8", true),
            ("10.0.0.1", true),
            ("fd00::/64", true),
            ("10.0.0.0/33", false),
            ("10.0.0/8", false),
            ("10.0.0.0/", false),
            ("", false),
        ] {
            assert_eq!(is_subnet(text), is_one, "{text}");
        }
    }
}
