//! Virtual hosts: which VirtualServices each merged server gets, under which names, and in what
//! order their routes stand (Istio contract 2.3 to 2.5, 1.8).

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use fairway_shared::snapshot::route::{Route, RouteSpec, RouteTable, VirtualHost};

use super::findings::{FieldPath, Findings, HOST_MISMATCH, NOT_FOUND};
use super::gateways::GatewayPlan;
use super::index::Index;
use super::listeners::MergedServer;
use super::routes::{PlacedRoute, place};
use super::virtual_services::BoundService;

/// VirtualServices by the Gateway they name.
pub(super) struct Bindings<'s, 'a> {
    /// By `namespace/name` of the Gateway, in the order of Istio contract 2.3.
    by_gateway: HashMap<&'s str, Vec<Bound<'s, 'a>>>,
}

/// A VirtualService with its place in the list of all.
#[derive(Clone, Copy)]
struct Bound<'s, 'a> {
    nth: usize,
    service: &'s BoundService<'a>,
}

impl<'s, 'a> Bindings<'s, 'a> {
    /// Sorts the visible ones by Gateway: private ones of the pod's namespace first, then those
    /// exported to it by name, then those exported to all; each group in age order.
    pub(super) fn new(index: &Index<'_>, services: &'s [BoundService<'a>]) -> Self {
        let namespace = index.pod.namespace.as_str();
        let rank = |service: &BoundService<'a>| {
            let is_own = service.service.object.meta.namespace == namespace;
            match &service.visibility {
                super::names::Visibility::Everywhere => 2_u8,
                super::names::Visibility::Only(_) => u8::from(!is_own),
            }
        };
        let visible = services.iter().enumerate();
        let mut visible: Vec<Bound<'s, 'a>> = visible
            .filter(|(_, service)| service.visibility.includes(namespace))
            .map(|(nth, service)| Bound { nth, service })
            .collect();
        visible.sort_by_key(|bound| rank(bound.service));
        let mut by_gateway: HashMap<&'s str, Vec<_>> = HashMap::new();
        for bound in visible {
            for gateway in &bound.service.gateways {
                by_gateway.entry(gateway.as_str()).or_default().push(bound);
            }
        }
        Self { by_gateway }
    }

    /// The VirtualServices whose hosts overlap a server's, in the order of Istio contract 2.3.
    pub(super) fn reaching(
        &self,
        merged: MergedServer<'_, '_>,
    ) -> impl Iterator<Item = &'s BoundService<'a>> {
        let bound = self.of(&merged.gateway.key).iter().map(|bound| bound.service);
        bound.filter(move |service| !names(service, &merged.server.hosts).is_empty())
    }

    fn of(&self, gateway: &str) -> &[Bound<'s, 'a>] {
        self.by_gateway.get(gateway).map_or(&[], Vec::as_slice)
    }
}

/// A virtual host in the making.
#[derive(Default)]
struct HostPlan {
    specific: Vec<Arc<Route>>,
    /// Behind all others at the end; both groups keep their order.
    catch_all: Vec<Arc<Route>>,
    https_redirect: bool,
    /// Routes taken in: two servers may bring the same one, and only its first place counts.
    taken: HashSet<*const Route>,
}

impl HostPlan {
    fn take(&mut self, routes: &[PlacedRoute]) {
        for placed in routes {
            if self.taken.insert(Arc::as_ptr(&placed.route)) {
                let is_last = placed.is_catch_all;
                let group = if is_last { &mut self.catch_all } else { &mut self.specific };
                group.push(Arc::clone(&placed.route));
            }
        }
    }

    fn finish(self, domain: String) -> Arc<VirtualHost> {
        let mut routes = self.specific;
        routes.extend(self.catch_all);
        Arc::new(VirtualHost { domain, routes, https_redirect: self.https_redirect })
    }
}

/// The route table of servers that share one, in merge order; its virtual hosts by name.
pub(super) fn route_table(
    servers: &[MergedServer<'_, '_>],
    bindings: &Bindings<'_, '_>,
) -> RouteTable {
    let mut hosts: BTreeMap<String, HostPlan> = BTreeMap::new();
    let mut placed: HashMap<(usize, &str, u16), Vec<PlacedRoute>> = HashMap::new();
    for merged in servers {
        let (gateway, server) = (&merged.gateway.key, merged.server);
        for bound in bindings.of(gateway) {
            let service = bound.service;
            let routes = placed
                .entry((bound.nth, gateway.as_str(), server.written_port))
                .or_insert_with(|| place(&service.routes, gateway, server.written_port));
            if routes.is_empty() {
                continue;
            }
            for name in names(service, &server.hosts) {
                let host = hosts.entry(name).or_default();
                host.take(routes);
                host.https_redirect |= server.https_redirect;
            }
        }
        if server.https_redirect {
            for host in server.hosts.iter() {
                hosts.entry(host.to_owned()).or_default().https_redirect = true;
            }
        }
    }
    let mut virtual_hosts: Vec<_> =
        hosts.into_iter().map(|(domain, host)| host.finish(domain)).collect();
    share_specs(&mut virtual_hosts);
    RouteTable { virtual_hosts }
}

/// Lets routes that do the same share one specification.
fn share_specs(hosts: &mut [Arc<VirtualHost>]) {
    let mut known: HashSet<Arc<RouteSpec>> = HashSet::new();
    for host in hosts {
        for route in &mut Arc::make_mut(host).routes {
            match known.get(&route.spec) {
                None => drop(known.insert(Arc::clone(&route.spec))),
                Some(same) if Arc::ptr_eq(same, &route.spec) => {}
                Some(same) => Arc::make_mut(route).spec = Arc::clone(same),
            }
        }
    }
}

/// The names under which a VirtualService is reached through a server.
fn names(service: &BoundService<'_>, hosts: &super::patterns::HostIndex) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for host in &service.hosts {
        hosts.intersect(host, &service.service.object.meta.namespace, &mut names);
    }
    names
}

/// Reports VirtualServices whose Gateways are missing or take none of their hosts.
pub(super) fn check_bindings(
    services: &[BoundService<'_>],
    gateways: &[GatewayPlan<'_>],
    findings: &mut Findings,
) {
    let known: HashMap<&str, &GatewayPlan<'_>> =
        gateways.iter().map(|gateway| (gateway.key.as_str(), gateway)).collect();
    for service in services {
        let mut scope = findings.scope(service.service.object, FieldPath::Spec);
        for key in &service.gateways {
            let Some(gateway) = known.get(key.as_str()) else {
                let what = format_args!("names `{key}`, which does not exist");
                let remedy = "create the Gateway, or write `namespace/name`";
                scope.error(NOT_FOUND, "gateways", what, remedy);
                let what = format_args!("fit no host of Gateway `{key}`, which is missing");
                scope.warn(HOST_MISMATCH, "hosts", what, "nothing is served through it");
                continue;
            };
            let is_usable = !gateway.servers.is_empty();
            let fits =
                |server: &super::gateways::ServerPlan| !names(service, &server.hosts).is_empty();
            if is_usable && !gateway.servers.iter().any(fits) {
                let what = format_args!("fit no host of Gateway `{key}`");
                let remedy = "name a host that one of its servers takes from this namespace";
                scope.warn(HOST_MISMATCH, "hosts", what, remedy);
            }
        }
    }
}
