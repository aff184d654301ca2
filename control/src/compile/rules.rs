//! DestinationRules by host: which one is in force for a Service, and what it says for a port
//! and subset (Istio contract 3.1, 3.2).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use fairway_shared::snapshot::route::HashKey;

use super::findings::{DUBIOUS, FieldPath, Findings, UNKNOWN_RULE_HOST};
use super::index::{Index, Named, is_subset};
use super::names::{Visibility, export_to_problem, full_host};
use super::patterns::PatternMap;
use super::policy::{Blocks, Policy};
use super::rule_checks::{ReadRule, ReadSubset, is_host, read_rule};
use crate::object::destination_rule::{DestinationRule, WorkloadSelector};
use crate::object::{GatewayPod, Object};

/// Rules of one host and one visibility, merged.
#[derive(Debug)]
pub(super) struct Rule<'a> {
    /// The oldest of the merged rules.
    pub(super) object: &'a Object,
    /// Base policy.
    policy: Option<Arc<Policy>>,
    /// By name.
    pub(super) subsets: BTreeMap<&'a str, ReadSubset<'a>>,
    visibility: Visibility,
}

#[derive(Default)]
struct NamespaceRules<'a> {
    /// With a `workloadSelector` that takes the gateway pod.
    selected: PatternMap<Vec<Rule<'a>>>,
    general: PatternMap<Vec<Rule<'a>>>,
}

/// All usable rules.
pub(super) struct Rules<'a> {
    pod_namespace: &'a str,
    root_namespace: &'a str,
    by_namespace: HashMap<&'a str, NamespaceRules<'a>>,
}

impl<'a> Rules<'a> {
    /// Checks and merges all rules, in age order.
    pub(super) fn new(index: &Index<'a>, findings: &mut Findings) -> Self {
        let mut rules = Self {
            pod_namespace: &index.pod.namespace,
            root_namespace: index.root_namespace(),
            by_namespace: HashMap::new(),
        };
        for rule in &index.destination_rules {
            rules.add(index, *rule, findings);
        }
        rules
    }

    fn add(
        &mut self,
        index: &Index<'a>,
        rule: Named<'a, DestinationRule>,
        findings: &mut Findings,
    ) {
        let Named { object, spec } = rule;
        let mut scope = findings.scope(object, FieldPath::Spec);
        let read = read_rule(spec, &mut scope);
        let read = match scope.is_broken() {
            false => Some(read),
            true => read.into_tls_alone().filter(|_| is_host(&spec.host)),
        };
        let Some(read) = read else { return };
        let namespace = object.meta.namespace.as_str();
        let host = full_host(&spec.host, namespace, &index.pod.domain);
        if !host.contains('*') && index.backend(&host).is_none() {
            let what = format_args!("`{host}` is no known service");
            let remedy = "correct the host or create the Service";
            scope.warn(UNKNOWN_RULE_HOST, "host", what, remedy);
        }
        let of_namespace = self.by_namespace.entry(namespace).or_default();
        let (map, visibility) = match &spec.workload_selector {
            // Never exported, whatever `exportTo` says.
            Some(selector) if is_for_pod(object, selector, index.pod) => {
                (&mut of_namespace.selected, Visibility::read(["."], namespace))
            }
            Some(_) => return,
            None => {
                let default = &index.mesh().default_destination_rule_export_to;
                let is_read = export_to_problem(&spec.export_to).is_none();
                let written = if is_read { &spec.export_to[..] } else { &[] };
                let seen_by = Visibility::of_object(written, default, namespace);
                (&mut of_namespace.general, seen_by)
            }
        };
        let same_host = map.entry(&host);
        match same_host.iter_mut().find(|older| older.visibility == visibility) {
            Some(older) => older.absorb(object, read, findings),
            None => same_host.push(Rule {
                object,
                policy: read.policy,
                subsets: read.subsets.into_iter().map(|s| (s.name, s)).collect(),
                visibility,
            }),
        }
    }

    /// The rule in force for a full host whose Service lives in `service_namespace`: from the
    /// pod's namespace, then the Service's, then the root namespace.
    pub(super) fn effective(&self, host: &str, service_namespace: &str) -> Option<&Rule<'a>> {
        self.own(host)
            .or_else(|| self.exported(host, service_namespace))
            .or_else(|| self.exported(host, self.root_namespace))
    }

    /// Rules of the pod's namespace. In the root namespace only its private ones count here, as
    /// its public ones are the last resort of everyone.
    fn own(&self, host: &str) -> Option<&Rule<'a>> {
        let namespace = self.by_namespace.get(self.pod_namespace)?;
        let is_root = self.pod_namespace == self.root_namespace;
        let counts = |rule: &&Rule<'a>| match is_root {
            true => rule.visibility.is_only(self.pod_namespace),
            false => rule.visibility != Visibility::Only(Default::default()),
        };
        let mut candidates =
            namespace.selected.covering(host).chain(namespace.general.covering(host)).flatten();
        candidates.find(counts)
    }

    fn exported(&self, host: &str, namespace: &str) -> Option<&Rule<'a>> {
        let rules = &self.by_namespace.get(namespace)?.general;
        rules.covering(host).flatten().find(|rule| rule.visibility.includes(self.pod_namespace))
    }
}

/// A rule with a selector is for the pods of its own namespace that carry the labels.
fn is_for_pod(object: &Object, selector: &WorkloadSelector, pod: &GatewayPod) -> bool {
    object.meta.namespace == pod.namespace && is_subset(&selector.match_labels, &pod.labels)
}

impl<'a> Rule<'a> {
    /// Merges a younger rule of the same host: subsets are united, the first policy stays.
    fn absorb(&mut self, younger: &Object, read: ReadRule<'a>, findings: &mut Findings) {
        let mut scope = findings.scope(younger, FieldPath::Spec);
        let holder = &self.object.meta.name;
        let remedy = "keep one rule per host";
        if self.policy.is_none() {
            self.policy = read.policy;
        } else if read.policy.is_some() {
            let what = format_args!("is ignored: `{holder}` has one for the same host");
            scope.warn(DUBIOUS, "trafficPolicy", what, remedy);
        }
        for subset in read.subsets {
            if self.subsets.contains_key(subset.name) {
                let what = format_args!("`{}` is ignored: `{holder}` declares it", subset.name);
                scope.warn(DUBIOUS, "subsets", what, remedy);
            } else {
                self.subsets.insert(subset.name, subset);
            }
        }
    }

    /// The blocks in force for a service port and, if named, a subset. `fallback` fills the
    /// connection pool and the ejection that the base leaves unset.
    pub(super) fn blocks(
        rule: Option<&Self>,
        subset: Option<&ReadSubset<'_>>,
        port: u16,
        fallback: &Blocks,
    ) -> Blocks {
        let base = rule.and_then(|rule| rule.policy.as_ref());
        let mut blocks = base.map(|policy| policy.at_port(port)).unwrap_or_default();
        blocks.pool = blocks.pool.or_else(|| fallback.pool.clone());
        blocks.outlier = blocks.outlier.or_else(|| fallback.outlier.clone());
        match subset.and_then(|subset| subset.policy.as_ref()) {
            Some(own) => own.override_blocks(blocks, port),
            None => blocks,
        }
    }

    /// What is hashed of a request to a destination: the narrowest level that has a key says it.
    /// Settings of a port count only where the destination names that port
    /// (Istio contract 3.3, last sentence before `localityLbSetting`).
    pub(super) fn hash(&self, subset: &str, named_port: Option<u16>) -> Option<&Arc<HashKey>> {
        let base = self.policy.as_deref();
        let own = self.subsets.get(subset).and_then(|subset| subset.policy.as_ref());
        [own, base].into_iter().flatten().find_map(|policy| {
            let of_port = named_port.and_then(|port| policy.hash_at_port(port));
            of_port.or_else(|| policy.hash())
        })
    }
}
