//! Destinations and mirrors to cluster keys: the Service meant, its port, the subset, and what
//! of it is missing (Istio contract 2.2, 2.8).
//!
//! What is missing is reported and the key stays: such a request is answered 503 `NC`.

use std::sync::Arc;

use fairway_shared::id::{ClusterId, ServicePort};
use fairway_shared::snapshot::route::{Destination, HashKey, HeaderEdits, Mirror, Share};

use super::World;
use super::backends::Backend;
use super::findings::{DEPRECATED, FieldPath, NOT_FOUND, PORT_NEEDED, Scope};
use super::headers::read_headers;
use super::names::{full_host, is_dns_name, is_label};
use super::quantities::{read_share, read_whole_share};
use crate::object::virtual_service::{self as object, HttpRoute};

/// Stands in a route for the port number that its Gateway server has as written; no real port
/// is zero.
pub(super) const SERVER_PORT: u16 = 0;
/// Largest sum of weights.
pub(super) const WEIGHT_SUM_MAX: i64 = u32::MAX as i64;

/// Resolves the destinations of routes written in one namespace.
#[derive(Clone, Copy)]
pub(super) struct Resolver<'w, 'a> {
    /// What can be referred to.
    pub(super) world: &'w World<'a>,
    /// Where short names belong.
    pub(super) namespace: &'w str,
}

impl<'a> Resolver<'_, 'a> {
    /// The cluster of a destination, and findings for what is missing. Its port may be
    /// [`SERVER_PORT`].
    pub(super) fn resolve(
        &self,
        to: &object::Destination,
        field: &str,
        scope: &mut Scope<'_>,
    ) -> ClusterId {
        check_syntax(to, field, scope);
        let (host, service) = self.service(to, field, scope);
        let port = self.port(to, service, field, scope);
        let service_port = ServicePort { host, port };
        if let Some(service) = service.filter(|_| !to.subset.is_empty() && !scope.is_broken()) {
            let host = &service_port.host;
            let rule = self.world.rules.effective(host, service.namespace());
            if !rule.is_some_and(|rule| rule.subsets.contains_key(to.subset.as_str())) {
                let subset = &to.subset;
                let what = format_args!("`{subset}` of `{host}` is in no DestinationRule in force");
                let remedy = "declare it in the namespace of the service or of the gateway pod";
                scope.error(NOT_FOUND, &format!("{field}.subset"), what, remedy);
            }
        }
        ClusterId { service: service_port, subset: to.subset.clone() }
    }

    /// What the rule in force hashes of a request to a destination.
    pub(super) fn hash(
        &self,
        to: &object::Destination,
        cluster: &ClusterId,
    ) -> Option<Arc<HashKey>> {
        let host = &cluster.service.host;
        let service = self.world.index.backend(host)?;
        let rule = self.world.rules.effective(host, service.namespace())?;
        let named = to.port.as_ref().and_then(|port| u16::try_from(port.number).ok());
        rule.hash(&cluster.subset, named).cloned()
    }

    /// The full host and its Service; an ExternalName gives way to the name it stands for.
    fn service(
        &self,
        to: &object::Destination,
        field: &str,
        scope: &mut Scope<'_>,
    ) -> (String, Option<Backend<'a>>) {
        let index = &self.world.index;
        let host = full_host(&to.host, self.namespace, &index.pod.domain);
        let service = index.backend(&host);
        if service.is_none() && !scope.is_broken() {
            let what = format_args!("`{host}` is no service that the gateway sees");
            scope.error(NOT_FOUND, &format!("{field}.host"), what, "correct the host or create it");
        }
        let Some(name) = service.and_then(|service| service.external_name()) else {
            return (host, service);
        };
        let host = full_host(name, self.namespace, &index.pod.domain);
        let target = index.backend(&host);
        if target.is_none() {
            let what = format_args!("stands for `{host}`, which is no known service");
            let remedy = "an ExternalName cannot be a gateway's destination by itself";
            scope.error(NOT_FOUND, &format!("{field}.host"), what, remedy);
        }
        (host, target.or(service))
    }

    /// The port named, else the Service's only one, else the Gateway server's.
    fn port(
        &self,
        to: &object::Destination,
        service: Option<Backend<'_>>,
        field: &str,
        scope: &mut Scope<'_>,
    ) -> u16 {
        let named = to.port.as_ref().map(|port| port.number);
        let Some(service) = service else {
            return named.and_then(|number| u16::try_from(number).ok()).unwrap_or(SERVER_PORT);
        };
        let mut usable = service.ports();
        let Some(number) = named else {
            return match (usable.next(), usable.next()) {
                (Some(only), None) => only.number,
                (Some(_), Some(_)) => {
                    let what = "names no port, and the service has several";
                    let remedy = "set destination.port.number";
                    scope.error(PORT_NEEDED, field, what, remedy);
                    SERVER_PORT
                }
                (None, _) => {
                    let what = format_args!("means `{}`, which has no TCP port", service.key());
                    scope.error(NOT_FOUND, field, what, "add a TCP port to the Service");
                    SERVER_PORT
                }
            };
        };
        let number = u16::try_from(number).unwrap_or(SERVER_PORT);
        if number != 0 && service.port(number).is_none() {
            let what = format_args!("{number} is no port of `{}`", service.key());
            let remedy = "use a port of the Service, not of its pods";
            scope.error(NOT_FOUND, &format!("{field}.port"), what, remedy);
        }
        number
    }
}

fn check_syntax(to: &object::Destination, field: &str, scope: &mut Scope<'_>) {
    let host = to.host.strip_suffix('.').unwrap_or(&to.host);
    if !is_dns_name(host) {
        let what = format_args!("`{host}` is no service host");
        scope.invalid(&format!("{field}.host"), what, "name a service, without wildcard");
    }
    if !to.subset.is_empty() && !is_label(&to.subset) {
        let what = format_args!("`{}` is no subset name", to.subset);
        scope.invalid(&format!("{field}.subset"), what, "use letters, digits and `-`");
    }
    if to.port.as_ref().is_some_and(|port| !(1..=65_535).contains(&port.number)) {
        scope.invalid(&format!("{field}.port"), "is out of range", "use 1 to 65535");
    }
}

/// A destination with the host name its header operations set.
pub(super) struct WeightedDestination {
    /// With positive weight.
    pub(super) destination: Destination,
    /// New Host upstream.
    pub(super) authority: Option<String>,
}

/// Reads `route[]`: at least one destination, unless the scope says it is broken.
pub(super) fn read_destinations(
    http: &HttpRoute,
    at: usize,
    resolver: Resolver<'_, '_>,
    scope: &mut Scope<'_>,
) -> Vec<WeightedDestination> {
    let is_weighted = http.route.len() > 1;
    let sum: i64 = http.route.iter().map(|to| to.weight.max(0)).fold(0, i64::saturating_add);
    if is_weighted && !(1..=WEIGHT_SUM_MAX).contains(&sum) {
        let what = format_args!("has weights that sum to {sum}");
        scope.invalid("route", what, "give at least one destination a positive weight");
    }
    let mut kept = Vec::with_capacity(http.route.len());
    for (nth, to) in http.route.iter().enumerate() {
        let mut part = scope.part(FieldPath::Route(at, nth));
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
        let plan = read_headers(to.headers.as_ref(), &mut part);
        if part.is_broken() {
            scope.mark_broken();
        }
        let weight = if is_weighted { u32::try_from(to.weight).unwrap_or_default() } else { 1 };
        let Some(cluster) = cluster.filter(|_| weight > 0) else { continue };
        let hash = to.destination.as_ref().and_then(|written| resolver.hash(written, &cluster));
        let destination = Destination { cluster, weight, headers: plan.ops, hash };
        kept.push(WeightedDestination { destination, authority: plan.authority });
    }
    kept
}

/// Marks a host name of one destination among several, where the route as a whole cannot say it.
pub(super) fn set_authority(edits: &mut HeaderEdits, authority: String) {
    edits.set.push((":authority".to_owned(), authority));
}

/// Reads `mirror` and `mirrors`; those that are switched off are left out.
pub(super) fn read_mirrors(
    http: &HttpRoute,
    resolver: Resolver<'_, '_>,
    scope: &mut Scope<'_>,
) -> Vec<Mirror> {
    if http.mirror.is_some() && !http.mirrors.is_empty() {
        scope.invalid("mirror", "excludes mirrors", "keep one");
    }
    let mut mirrors = Vec::new();
    if let Some(to) = &http.mirror {
        let share = match (http.mirror_percentage, http.mirror_percent) {
            (Some(percentage), _) => read_share(percentage, "mirrorPercentage", scope),
            (None, Some(percent)) => {
                scope.warn(DEPRECATED, "mirrorPercent", "is deprecated", "use mirrorPercentage");
                read_whole_share(percent, "mirrorPercent", scope)
            }
            (None, None) => Share::ALL,
        };
        mirrors.push(Mirror { cluster: resolver.resolve(to, "mirror", scope), share });
    }
    for mirror in &http.mirrors {
        let Some(to) = &mirror.destination else {
            scope.invalid("mirrors", "has an entry without destination", "name a host");
            continue;
        };
        let share = match mirror.percentage {
            Some(percentage) => read_share(percentage, "mirrors.percentage", scope),
            None => Share::ALL,
        };
        let cluster = resolver.resolve(to, "mirrors.destination", scope);
        mirrors.push(Mirror { cluster, share });
    }
    mirrors.retain(|mirror| mirror.share > Share(0));
    mirrors
}
