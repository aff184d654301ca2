//! Compiles a config set into a snapshot. [`compile`] is the only door.
//!
//! The passes, in order:
//!
//! | pass | takes | makes |
//! | --- | --- | --- |
//! | `index` | the config set | objects by kind, host, name and address |
//! | `mesh`, `settings` | MeshConfig | defaults for all passes, settings of the gateway |
//! | `rules` | DestinationRules | the rule in force for a host |
//! | `gateways` | Gateways | servers with class, port and hosts |
//! | `virtual_services`, `routes`, `delegates`, `opaque` | VirtualServices | flat routes |
//! | `listeners`, `chains` | servers | listeners, conflicts settled |
//! | `secrets` | servers, clusters, Secrets | certificates and authorities by name |
//! | `virtual_hosts` | listeners, flat routes | route tables |
//! | `clusters`, `auto_passthrough`, `endpoints` | what routes name, Services | what can be reached |
//!
//! No pass does I/O, reads a clock or draws a number. What is wrong with an object is a
//! diagnostic; the object, or the broken part of it, is left out and its neighbours serve.

mod actions;
mod auto_passthrough;
mod backends;
mod chains;
mod clusters;
mod cors;
mod delegates;
mod destinations;
mod endpoints;
mod entries;
mod entry_endpoints;
mod faults;
mod findings;
mod gateways;
mod headers;
mod index;
mod listeners;
mod matches;
mod mesh;
mod names;
mod opaque;
mod patterns;
mod places;
mod policy;
mod ports;
mod quantities;
mod regexes;
pub mod render;
mod render_cluster;
mod render_route;
mod render_settings;
mod replies;
mod retries;
mod routes;
mod rule_checks;
mod rules;
mod secrets;
mod server_tls;
mod settings;
mod tls_demands;
mod virtual_hosts;
mod virtual_services;

use std::collections::BTreeMap;
use std::sync::Arc;

use fairway_shared::diagnostic::Diagnostic;
use fairway_shared::id::{ClusterId, ServicePort, SnapshotVersion};
use fairway_shared::snapshot::Snapshot;
use fairway_shared::snapshot::cluster::{Cluster, EndpointSet};

use crate::object::{ConfigSet, DeletedSecrets, Object};
use backends::Backend;
use chains::Sources;
pub(crate) use findings::{
    BAD_CREDENTIAL, NOT_FOUND, SECRET_DELETED, SERVER_CONFLICT, SNI_CONFLICT,
};
use findings::{EMPTY_SUBSET, FieldPath, Findings};
use index::Index;
pub(crate) use index::is_subset;
use mesh::Mesh;
pub(crate) use names::full_host;
use policy::GatewayPlace;
use rules::Rules;
use virtual_hosts::Bindings;

/// What a config set compiles to.
#[derive(Debug, Clone, PartialEq)]
pub struct Compiled {
    /// Version 0; the publisher numbers it.
    pub snapshot: Snapshot,
    /// Everything found, by object and place, the worst first within one object.
    pub diagnostics: Vec<Diagnostic>,
}

/// What routes refer to.
struct World<'a> {
    index: Index<'a>,
    rules: Rules<'a>,
    /// What holds where objects say nothing.
    mesh: Mesh<'a>,
    /// Where the gateway pod runs.
    place: GatewayPlace,
}

/// Compiles a whole configuration. No I/O, no clock, no chance: equal config sets give equal
/// snapshots and diagnostics, byte for byte, in whatever order the objects come.
pub fn compile(config: &ConfigSet) -> Compiled {
    let mut findings = Findings::default();
    let index = Index::new(config, &mut findings);
    let rules = Rules::new(&index, &mut findings);
    let mesh = Mesh::read(&index, &mut findings);
    let place = places::of_gateway(&index);
    let world = World { index, rules, mesh, place };
    let gateways = gateways::read_gateways(&world.index, &world.mesh.tls, &mut findings);
    let services = virtual_services::read_virtual_services(&world, &mut findings);
    virtual_hosts::check_bindings(&services, &gateways, &mut findings);
    let bindings = Bindings::new(&world.index, &services);
    let ports = listeners::merge(&world.index, &gateways, &mut findings);

    let (mut listeners, mut route_tables) = (BTreeMap::new(), BTreeMap::new());
    let sources = Sources { world: &world, bindings: &bindings };
    for port in &ports {
        let Some(plan) = listeners::listener(port, sources, &mut findings) else { continue };
        listeners.insert(plan.id, plan.listener);
        route_tables.extend(plan.tables);
    }
    let mut reachable = clusters::reachable(&route_tables, &listeners);
    reachable.extend(auto_passthrough::reachable(&world, &listeners));
    let clusters = reachable
        .into_iter()
        .filter_map(|id| Some((id.clone(), Arc::new(clusters::cluster(&world, &id)?))))
        .collect();
    let endpoints = endpoint_sets(&world, &clusters, &mut findings);
    let mut secrets = secrets::collect(&world.index, &gateways, &mut findings);
    secrets::collect_upstream(&world, &clusters, &mut secrets, &mut findings);
    let mut settings = settings::gateway_settings(&world.mesh, &mut findings);
    settings.fails_without_secret = config.deleted == DeletedSecrets::Fail;
    let snapshot = Snapshot {
        version: SnapshotVersion(0),
        listeners,
        route_tables,
        clusters,
        endpoints,
        secrets,
        settings: Arc::new(settings),
    };
    assert_eq!(snapshot.check(), Ok(()), "compile made a snapshot that breaks its promises");
    Compiled { snapshot, diagnostics: findings.into_sorted() }
}

/// The objects that make the clusters of a host: its Service or
/// ServiceEntry, and the DestinationRule in force.
pub(crate) fn objects_of<'c>(config: &'c ConfigSet, host: &str) -> Vec<&'c Object> {
    let mut findings = Findings::default();
    let index = Index::new(config, &mut findings);
    let rules = Rules::new(&index, &mut findings);
    let Some(backend) = index.backend(host) else { return Vec::new() };
    let rule = rules.effective(host, backend.namespace());
    std::iter::once(backend.object()).chain(rule.map(|rule| rule.object)).collect()
}

/// The endpoint list of every cluster's service port, perhaps empty.
fn endpoint_sets(
    world: &World<'_>,
    clusters: &BTreeMap<ClusterId, Arc<Cluster>>,
    findings: &mut Findings,
) -> BTreeMap<ServicePort, Arc<EndpointSet>> {
    let mut sets: BTreeMap<ServicePort, Arc<EndpointSet>> = BTreeMap::new();
    for (id, cluster) in clusters {
        let Some(backend) = world.index.backend(&id.service.host) else { continue };
        let set = sets.entry(id.service.clone()).or_insert_with(|| {
            Arc::new(endpoint_set(&world.index, backend, &id.service, findings))
        });
        let mut labels = set.endpoints.iter().map(|endpoint| &endpoint.labels);
        let mut labels_of_names = set.names.iter().map(|name| &name.labels);
        let is_empty = set.endpoints.is_empty() && set.names.is_empty();
        let is_in = |labels| is_subset(&cluster.labels, labels);
        if !is_empty && !labels.any(is_in) && !labels_of_names.any(is_in) {
            let rule = world.rules.effective(&id.service.host, backend.namespace());
            let Some(rule) = rule else { continue };
            findings.scope(rule.object, FieldPath::Spec).error(
                EMPTY_SUBSET,
                "subsets",
                format_args!("`{}` selects no endpoint of `{}`", id.subset, id.service),
                "correct the labels of the subset or of the pods",
            );
        }
    }
    sets
}

fn endpoint_set<'a>(
    index: &Index<'a>,
    backend: Backend<'a>,
    key: &ServicePort,
    findings: &mut Findings,
) -> EndpointSet {
    let Some(port) = backend.port(key.port) else { return EndpointSet::default() };
    match backend {
        Backend::Service(service) => endpoints::of_service(index, service, port.name, findings),
        Backend::Entry(entry) => {
            entry_endpoints::of_entry(index, entry, &key.host, key.port, findings)
        }
    }
}
