//! A DestinationRule read and checked (Istio contract 3, 9.3). A broken subset is left out; a
//! broken base policy leaves the rule out, but for its TLS.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::findings::{FieldPath, Scope};
use super::names::{export_to_problem, is_dns_name, is_label};
use super::policy::{Policy, read_policy};
use crate::object::destination_rule::{DestinationRule, Subset};

/// What a rule says, read.
pub(super) struct ReadRule<'r> {
    /// Base policy.
    pub(super) policy: Option<Arc<Policy>>,
    /// The usable ones, in the order written.
    pub(super) subsets: Vec<ReadSubset<'r>>,
}

impl ReadRule<'_> {
    /// What stays of a broken rule: its TLS, lest endpoints that were to be called over TLS are
    /// called in plaintext. Routes to its subsets find none.
    pub(super) fn into_tls_alone(self) -> Option<Self> {
        let policy = Arc::unwrap_or_clone(self.policy?).into_tls_alone()?;
        Some(Self { policy: Some(Arc::new(policy)), subsets: Vec::new() })
    }
}

/// A usable subset.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ReadSubset<'r> {
    /// Unique in its rule.
    pub(super) name: &'r str,
    /// What an endpoint must carry.
    pub(super) labels: &'r BTreeMap<String, String>,
    /// Overrides blocks of the base.
    pub(super) policy: Option<Policy>,
}

/// Reads a rule; if the scope is broken afterwards, only [`ReadRule::into_tls_alone`] may be used.
pub(super) fn read_rule<'r>(rule: &'r DestinationRule, scope: &mut Scope<'_>) -> ReadRule<'r> {
    check_head(rule, scope);
    let policy = rule.traffic_policy.as_ref().map(|policy| {
        let mut part = scope.part(FieldPath::Policy);
        let read = read_policy(policy, FieldPath::PolicyPort, &mut part);
        if part.is_broken() {
            scope.mark_broken();
        }
        Arc::new(read)
    });
    let mut names = BTreeSet::new();
    let mut subsets = Vec::with_capacity(rule.subsets.len());
    for (at, subset) in rule.subsets.iter().enumerate() {
        subsets.extend(read_subset(subset, at, &mut names, scope));
    }
    ReadRule { policy, subsets }
}

fn check_head(rule: &DestinationRule, scope: &mut Scope<'_>) {
    if !is_host(&rule.host) {
        let what = format_args!("`{}` is no host", rule.host);
        scope.invalid("host", what, "name a service, or `*.suffix`");
    }
    if let Some(problem) = export_to_problem(&rule.export_to) {
        scope.invalid("exportTo", problem, "list namespaces once, or `*` alone");
    }
    let is_public = rule.export_to.iter().any(|value| value != ".");
    if rule.workload_selector.is_some() && is_public {
        let remedy = "export it to `.` only";
        scope.invalid("exportTo", "goes beyond the namespace of workloadSelector", remedy);
    }
}

/// May a rule be for it?
pub(super) fn is_host(host: &str) -> bool {
    let name = host.strip_prefix("*.").unwrap_or(host);
    host == "*" || is_dns_name(name.strip_suffix('.').unwrap_or(name))
}

fn read_subset<'r>(
    subset: &'r Subset,
    at: usize,
    names: &mut BTreeSet<&'r str>,
    scope: &mut Scope<'_>,
) -> Option<ReadSubset<'r>> {
    let mut part = scope.part(FieldPath::Subset(at));
    if !is_label(&subset.name) {
        let what = format_args!("`{}` is no subset name", subset.name);
        part.invalid("name", what, "use letters, digits and `-`");
    } else if !names.insert(&subset.name) {
        let what = format_args!("`{}` is taken by an earlier subset", subset.name);
        part.invalid("name", what, "give every subset its own name");
    }
    if subset.labels.keys().any(String::is_empty) {
        part.invalid("labels", "has an empty key", "name the label");
    }
    let mut is_broken = part.is_broken();
    let policy = subset.traffic_policy.as_ref().map(|policy| {
        let mut policy_part = part.part(FieldPath::SubsetPolicy(at));
        let port_path = |port| FieldPath::SubsetPolicyPort(at, port);
        let read = read_policy(policy, port_path, &mut policy_part);
        is_broken |= policy_part.is_broken();
        read
    });
    (!is_broken).then_some(ReadSubset { name: &subset.name, labels: &subset.labels, policy })
}
