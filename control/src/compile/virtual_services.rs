//! VirtualServices checked and flattened, delegates put in place of the entries that name them
//! (Istio contract 2.1, 2.7). Which Gateway gets which of them is decided in `virtual_hosts`.

use std::collections::{BTreeSet, HashMap};

use super::World;
use super::actions::check_lent;
use super::delegates;
use super::destinations::Resolver;
use super::findings::{DELEGATE_CONFLICT, DUBIOUS, FieldPath, Findings, NOT_FOUND, Scope};
use super::index::Named;
use super::names::{GatewayRef, Visibility, canonical_pattern, export_to_problem, full_host};
use super::opaque::{OpaqueRoute, Owner, read_tcp_entry, read_tls_entry};
use super::patterns::PatternMap;
use super::routes::{Entry, FlatRoute, Reachability, flatten};
use crate::object::virtual_service::{Delegate, HttpRoute, VirtualService};

/// A usable VirtualService with hosts.
pub(super) struct BoundService<'a> {
    /// The object.
    pub(super) service: Named<'a, VirtualService>,
    /// Who sees it.
    pub(super) visibility: Visibility,
    /// Canonical patterns.
    pub(super) hosts: Vec<String>,
    /// `namespace/name`, the mesh left out, without repeats.
    pub(super) gateways: BTreeSet<String>,
    /// In the order written.
    pub(super) routes: Vec<FlatRoute>,
    /// Of `tls`, in the order written.
    pub(super) tls: Vec<OpaqueRoute>,
    /// Of `tcp`, in the order written.
    pub(super) tcp: Vec<OpaqueRoute>,
}

/// A usable VirtualService without hosts.
struct DelegateService<'a> {
    service: Named<'a, VirtualService>,
    visibility: Visibility,
    /// Which entries of `spec.http` stand on their own feet.
    is_usable: Vec<bool>,
}

type Delegates<'a> = HashMap<String, DelegateService<'a>>;

/// Reads all VirtualServices, in age order.
pub(super) fn read_virtual_services<'a>(
    world: &World<'a>,
    findings: &mut Findings,
) -> Vec<BoundService<'a>> {
    let (leaves, roots): (Vec<Named<'a, VirtualService>>, Vec<_>) = world
        .index
        .virtual_services
        .iter()
        .copied()
        .partition(|service| service.spec.hosts.is_empty());
    let mut delegates = Delegates::new();
    for service in leaves {
        if let Some(delegate) = read_delegate(world, service, findings) {
            delegates.insert(service.key(), delegate);
        }
    }
    roots
        .into_iter()
        .filter_map(|service| read_root(world, service, &delegates, findings))
        .collect()
}

fn read_root<'a>(
    world: &World<'a>,
    service: Named<'a, VirtualService>,
    delegates: &Delegates<'a>,
    findings: &mut Findings,
) -> Option<BoundService<'a>> {
    let (object, spec) = (service.object, service.spec);
    let mut scope = findings.scope(object, FieldPath::Spec);
    let gateways = read_gateways(&service, &mut scope);
    let hosts = read_hosts(world, &service, &mut scope);
    check_common(spec, &mut scope);
    let is_broken = scope.is_broken();
    let reader = Reader { world, service };
    let mut routes = Vec::new();
    let mut reachability = Reachability::default();
    for (at, http) in spec.http.iter().enumerate() {
        let flat = match &http.delegate {
            None => reader.own_entry(at, http, findings),
            Some(delegate) => reader.delegated_entry(at, http, delegate, delegates, findings),
        };
        reachability.visit(at, &flat, &mut findings.scope(object, FieldPath::Http(at)));
        routes.extend(flat);
    }
    let (tls, tcp) = reader.opaque_entries(&hosts, findings);
    let default = &world.index.mesh().default_virtual_service_export_to;
    let visibility = Visibility::of_object(&spec.export_to, default, &object.meta.namespace);
    let bound = BoundService { service, visibility, hosts, gateways, routes, tls, tcp };
    (!is_broken).then_some(bound)
}

fn read_delegate<'a>(
    world: &World<'a>,
    service: Named<'a, VirtualService>,
    findings: &mut Findings,
) -> Option<DelegateService<'a>> {
    let (object, spec) = (service.object, service.spec);
    let mut scope = findings.scope(object, FieldPath::Spec);
    for (field, is_set) in [
        ("gateways", !spec.gateways.is_empty()),
        ("tls", !spec.tls.is_empty()),
        ("tcp", !spec.tcp.is_empty()),
    ] {
        if is_set {
            let remedy = "add hosts, or remove it";
            scope.invalid(field, "is not allowed in a delegate, which has no hosts", remedy);
        }
    }
    check_common(spec, &mut scope);
    for (at, _) in spec.http.iter().enumerate().filter(|(_, http)| http.delegate.is_some()) {
        let remedy = "let the root name that delegate";
        scope.part(FieldPath::Http(at)).invalid("delegate", "stands inside a delegate", remedy);
    }
    let is_broken = scope.is_broken();
    let reader = Reader { world, service };
    let mut is_usable = Vec::with_capacity(spec.http.len());
    for (at, http) in spec.http.iter().enumerate() {
        is_usable.push(http.delegate.is_none() && reader.flat(at, http, findings).is_some());
    }
    let default = &world.index.mesh().default_virtual_service_export_to;
    let visibility = Visibility::of_object(&spec.export_to, default, &object.meta.namespace);
    (!is_broken).then_some(DelegateService { service, visibility, is_usable })
}

/// What roots and delegates have in common.
fn check_common(spec: &VirtualService, scope: &mut Scope<'_>) {
    if spec.http.is_empty() && spec.tls.is_empty() && spec.tcp.is_empty() {
        scope.invalid("", "has none of http, tls and tcp", "add routes");
    }
    if let Some(problem) = export_to_problem(&spec.export_to) {
        scope.invalid("exportTo", problem, "list namespaces once, or `*` alone");
    }
}

fn read_gateways(service: &Named<'_, VirtualService>, scope: &mut Scope<'_>) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    let mut is_in_mesh = service.spec.gateways.is_empty();
    for written in &service.spec.gateways {
        match GatewayRef::resolve(written, &service.object.meta.namespace) {
            Some(GatewayRef::Mesh) => is_in_mesh = true,
            Some(GatewayRef::Named(key)) => {
                keys.insert(key);
            }
            Some(GatewayRef::Legacy(key)) => {
                let what = format_args!("`{written}` is an outdated form");
                scope.warn(DUBIOUS, "gateways", what, &format!("write `{key}`"));
                keys.insert(key);
            }
            None => {
                let what = format_args!("holds `{written}`, no gateway name");
                scope.invalid("gateways", what, "write `namespace/name` or `name`");
            }
        }
    }
    if is_in_mesh && service.spec.hosts.iter().any(|host| host == "*") {
        scope.invalid("hosts", "holds `*`, which the mesh does not take", "name gateways only");
    }
    keys
}

fn read_hosts(
    world: &World<'_>,
    service: &Named<'_, VirtualService>,
    scope: &mut Scope<'_>,
) -> Vec<String> {
    let mut hosts = Vec::with_capacity(service.spec.hosts.len());
    for written in &service.spec.hosts {
        let full = full_host(written, &service.object.meta.namespace, &world.index.pod.domain);
        match canonical_pattern(&full).filter(|_| !written.is_empty()) {
            Some(host) => hosts.push(host),
            None => {
                let what = format_args!("holds `{written}`, which is no host");
                scope.invalid("hosts", what, "use a name, `*.suffix` or `*`");
            }
        }
    }
    let mut known: PatternMap<Option<usize>> = PatternMap::default();
    for (at, host) in hosts.iter().enumerate() {
        known.entry(host).get_or_insert(at);
    }
    for (at, host) in hosts.iter().enumerate() {
        if known.covering(host).any(|other| other.is_some_and(|other| other != at)) {
            let what = format_args!("holds `{host}`, which another of them covers");
            scope.invalid("hosts", what, "keep the wider one");
        }
    }
    hosts
}

/// Reads the entries of one object.
struct Reader<'w, 'a> {
    world: &'w World<'a>,
    service: Named<'a, VirtualService>,
}

impl<'a> Reader<'_, 'a> {
    fn resolver(&self) -> Resolver<'_, 'a> {
        Resolver { world: self.world, namespace: &self.service.object.meta.namespace }
    }

    fn flat(&self, at: usize, http: &HttpRoute, findings: &mut Findings) -> Option<Vec<FlatRoute>> {
        let origin = format!("{}#{at}", self.service.key());
        let mut scope = findings.scope(self.service.object, FieldPath::Http(at));
        flatten(Entry { at, origin: &origin, http }, self.resolver(), &mut scope)
    }

    /// The routes of `tls` and of `tcp`.
    fn opaque_entries(
        &self,
        hosts: &[String],
        findings: &mut Findings,
    ) -> (Vec<OpaqueRoute>, Vec<OpaqueRoute>) {
        let Named { object, spec } = self.service;
        let key = self.service.key();
        let (owner, resolver) = (Owner { key: &key, hosts }, self.resolver());
        let (mut tls, mut tcp) = (Vec::new(), Vec::new());
        for (at, entry) in spec.tls.iter().enumerate() {
            let mut scope = findings.scope(object, FieldPath::Tls(at));
            tls.extend(read_tls_entry(owner, (at, entry), resolver, &mut scope));
        }
        for (at, entry) in spec.tcp.iter().enumerate() {
            let mut scope = findings.scope(object, FieldPath::Tcp(at));
            tcp.extend(read_tcp_entry(owner, (at, entry), resolver, &mut scope));
        }
        (tls, tcp)
    }

    fn own_entry(&self, at: usize, http: &HttpRoute, findings: &mut Findings) -> Vec<FlatRoute> {
        self.flat(at, http, findings).unwrap_or_default()
    }

    /// The delegate's routes in place of the root's entry, or nothing.
    fn delegated_entry(
        &self,
        at: usize,
        http: &HttpRoute,
        to: &Delegate,
        delegates: &Delegates<'a>,
        findings: &mut Findings,
    ) -> Vec<FlatRoute> {
        let mut scope = findings.scope(self.service.object, FieldPath::Http(at));
        if !http.route.is_empty() || http.redirect.is_some() || http.direct_response.is_some() {
            let remedy = "remove the other action";
            scope.invalid("delegate", "excludes route, redirect and directResponse", remedy);
        }
        check_lent(http, self.resolver(), &mut scope);
        let Some(delegate) = self.find(to, delegates, &mut scope) else { return Vec::new() };
        if scope.is_broken() {
            return Vec::new();
        }
        let domain = &self.world.index.pod.domain;
        let root = delegates::spelled_out(http, &self.service.object.meta.namespace, domain);
        let mut flat = Vec::new();
        for leaf_at in 0..delegate.is_usable.len() {
            match self.merged_entry((at, &root), (leaf_at, delegate)) {
                Some(routes) => flat.extend(routes),
                None => {
                    let key = delegate.service.key();
                    let what = format_args!("does not fit spec.http[{leaf_at}] of `{key}`");
                    let remedy = "that route is left out; let its match narrow this one";
                    scope.warn(DELEGATE_CONFLICT, "delegate", what, remedy);
                }
            }
        }
        flat
    }

    /// One entry of a delegate merged with the root's, spelled out. `None` if they do not fit.
    fn merged_entry(
        &self,
        (at, root): (usize, &HttpRoute),
        (leaf_at, delegate): (usize, &DelegateService<'a>),
    ) -> Option<Vec<FlatRoute>> {
        // What is broken by itself was reported as such and is no conflict.
        if delegate.is_usable.get(leaf_at) != Some(&true) {
            return Some(Vec::new());
        }
        let Named { object, spec } = delegate.service;
        let domain = &self.world.index.pod.domain;
        let leaf = delegates::spelled_out(spec.http.get(leaf_at)?, &object.meta.namespace, domain);
        let merged = delegates::merge(root, &leaf)?;
        let origin = format!("{}#{at}>{}#{leaf_at}", self.service.key(), delegate.service.key());
        // Both sides were reported on by themselves; only that they do not fit is news.
        let mut quiet = Findings::default();
        let mut scope = quiet.scope(object, FieldPath::Http(leaf_at));
        let entry = Entry { at: leaf_at, origin: &origin, http: &merged };
        flatten(entry, self.resolver(), &mut scope)
    }

    fn find<'d>(
        &self,
        to: &Delegate,
        delegates: &'d Delegates<'a>,
        scope: &mut Scope<'_>,
    ) -> Option<&'d DelegateService<'a>> {
        let own = self.service.object.meta.namespace.as_str();
        let namespace = if to.namespace.is_empty() { own } else { &to.namespace };
        let key = format!("{namespace}/{}", to.name);
        let found = delegates.get(&key);
        let visible = found.filter(|delegate| delegate.visibility.includes(own));
        if visible.is_none() {
            let what = match found {
                Some(_) => format!("`{key}` is not exported to `{own}`"),
                None => format!("`{key}` is no usable VirtualService without hosts"),
            };
            scope.error(NOT_FOUND, "delegate", what, "this entry is skipped; correct the name");
        }
        visible
    }
}
