//! `localityLbSetting`: which endpoints come first, seen from the gateway's own place
//! (Istio contract 3.3).

use std::collections::{BTreeMap, BTreeSet};

use fairway_shared::snapshot::cluster::{LocalityPolicy, LocalityShare};

use super::super::findings::{DUBIOUS, Scope};
use crate::object::traffic_policy::{Distribute, LocalityLbSetting};

/// Where the gateway pod runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::compile) struct GatewayPlace {
    /// `region/zone/subzone`; empty if unknown.
    pub(in crate::compile) locality: String,
    /// The pod's labels, plus the synthetic ones (Istio contract 4.3).
    pub(in crate::compile) labels: BTreeMap<String, String>,
}

/// The setting, read. The default is failover by locality alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::compile) struct LocalitySetting {
    /// Else all endpoints are equal.
    pub(in crate::compile) is_enabled: bool,
    /// Shares by the localities they are for.
    pub(in crate::compile) distribute: Vec<(String, Vec<LocalityShare>)>,
    /// Region to region.
    pub(in crate::compile) failover: Vec<(String, String)>,
    /// `label` or `label=value`.
    pub(in crate::compile) priority: Vec<String>,
    /// Failover acts without `outlierDetection` too.
    pub(in crate::compile) is_forced: bool,
}

impl Default for LocalitySetting {
    fn default() -> Self {
        Self {
            is_enabled: true,
            distribute: Vec::new(),
            failover: Vec::new(),
            priority: Vec::new(),
            is_forced: false,
        }
    }
}

impl LocalitySetting {
    /// What the setting means for a gateway at this place. Failover needs `outlierDetection`,
    /// unless it is forced.
    pub(in crate::compile) fn policy(
        &self,
        place: &GatewayPlace,
        has_outlier: bool,
    ) -> LocalityPolicy {
        if !self.is_enabled {
            return LocalityPolicy::Flat;
        }
        let is_known = !place.locality.is_empty();
        if !self.distribute.is_empty() {
            let own = self.distribute.iter().find(|(from, _)| covers(from, &place.locality));
            return match own.filter(|_| is_known) {
                Some((_, shares)) => LocalityPolicy::Distribute { shares: shares.clone() },
                None => LocalityPolicy::Flat,
            };
        }
        if !has_outlier && !self.is_forced {
            return LocalityPolicy::Flat;
        }
        if !self.priority.is_empty() {
            let labels = self.priority.iter().map(|label| preferred(label, place)).collect();
            return LocalityPolicy::FailoverByLabels { labels };
        }
        if !is_known {
            return LocalityPolicy::Flat;
        }
        let [region, ..] = locality_parts(&place.locality);
        let next = self.failover.iter().find(|(from, _)| *from == region);
        LocalityPolicy::Failover {
            own: place.locality.clone(),
            region: next.map(|(_, to)| to.clone()),
        }
    }
}

/// The label and the value preferred: the one written, else the gateway's own.
fn preferred(label: &str, place: &GatewayPlace) -> (String, String) {
    match label.split_once('=') {
        Some((name, value)) => (name.to_owned(), value.to_owned()),
        None => (label.to_owned(), place.labels.get(label).cloned().unwrap_or_default()),
    }
}

/// Region, zone and subzone, written with `/` or `.`; absent parts are empty.
pub(in crate::compile) fn locality_parts(text: &str) -> [&str; 3] {
    let separator = if text.contains('/') { '/' } else { '.' };
    let mut parts = text.splitn(3, separator);
    [(); 3].map(|()| parts.next().unwrap_or_default())
}

/// Is `locality` in `pattern`, whose missing parts and `*` stand for anything?
fn covers(pattern: &str, locality: &str) -> bool {
    let wanted = pattern.split('/').chain(std::iter::repeat("*"));
    let found = locality.split('/').chain(std::iter::repeat(""));
    wanted.zip(found).take(3).all(|(wanted, found)| wanted == "*" || wanted == found)
}

/// Reads the setting, which stands below `prefix`.
pub(in crate::compile) fn read_locality(
    setting: &LocalityLbSetting,
    prefix: &str,
    scope: &mut Scope<'_>,
) -> LocalitySetting {
    let field = |name: &str| format!("{prefix}localityLbSetting.{name}");
    if !setting.distribute.is_empty() {
        let others = [
            ("failover", &setting.failover.is_empty()),
            ("failoverPriority", &setting.failover_priority.is_empty()),
        ];
        for (name, _) in others.iter().filter(|(_, is_empty)| !**is_empty) {
            scope.invalid(&field("distribute"), format_args!("excludes {name}"), "keep one");
        }
    }
    if !setting.failover.is_empty() && !setting.failover_priority.is_empty() {
        let what = "has no effect beside failoverPriority";
        scope.warn(DUBIOUS, &field("failover"), what, "remove it");
    }
    check_origins(&setting.distribute, &field("distribute"), scope);
    let distribute =
        setting.distribute.iter().map(|entry| read_shares(entry, &field("distribute"), scope));
    let distribute = distribute.collect();
    check_failover(setting, &field("failover"), scope);
    if setting.failover_priority.iter().any(|label| label.split('=').next() == Some("")) {
        scope.invalid(&field("failoverPriority"), "has an empty label", "name the label");
    }
    LocalitySetting {
        is_enabled: setting.enabled.unwrap_or(true),
        distribute,
        failover: setting.failover.iter().map(|f| (f.from.clone(), f.to.clone())).collect(),
        priority: setting.failover_priority.clone(),
        is_forced: false,
    }
}

fn read_shares(
    entry: &Distribute,
    field: &str,
    scope: &mut Scope<'_>,
) -> (String, Vec<LocalityShare>) {
    check_locality(&entry.from, field, scope);
    let sum: u64 = entry.to.values().map(|percent| u64::from(*percent)).sum();
    if sum != 100 {
        let what = format_args!("has weights from `{}` that sum to {sum}", entry.from);
        scope.invalid(field, what, "make them sum to 100");
    }
    for (to, percent) in &entry.to {
        check_locality(to, field, scope);
        if !(1..=100).contains(percent) {
            let what = format_args!("gives `{to}` {percent} %");
            scope.invalid(field, what, "use 1 to 100, and leave out what is to get nothing");
        }
    }
    let names: Vec<&String> = entry.to.keys().collect();
    if let Some((a, b)) = first_overlap(&names) {
        let what = format_args!("has `{a}` and `{b}`, which overlap");
        scope.invalid(field, what, "name each locality once");
    }
    let share = |(locality, percent): (&String, &u32)| LocalityShare {
        locality: locality.clone(),
        percent: *percent,
    };
    (entry.from.clone(), entry.to.iter().map(share).collect())
}

/// Two entries must not be for the same gateway.
fn check_origins(entries: &[Distribute], field: &str, scope: &mut Scope<'_>) {
    let names: Vec<&String> = entries.iter().map(|entry| &entry.from).collect();
    if let Some((a, b)) = first_overlap(&names) {
        let what = format_args!("has entries from `{a}` and `{b}`, which overlap");
        scope.invalid(field, what, "keep one");
    }
}

fn first_overlap<'n>(names: &[&'n String]) -> Option<(&'n String, &'n String)> {
    let pairs = names.iter().enumerate();
    let mut pairs = pairs.flat_map(|(at, a)| names[at + 1..].iter().map(move |b| (*a, *b)));
    pairs.find(|(a, b)| covers(a, b) || covers(b, a))
}

fn check_locality(locality: &str, field: &str, scope: &mut Scope<'_>) {
    let parts: Vec<&str> = locality.split('/').collect();
    let is_inner_star = parts.iter().rev().skip(1).any(|part| part.contains('*'));
    let is_partial_star = parts.last().is_some_and(|part| part.contains('*') && *part != "*");
    if parts.len() > 3 || parts.contains(&"") || is_inner_star || is_partial_star {
        let what = format_args!("holds `{locality}`, no locality");
        scope.invalid(field, what, "write region/zone/subzone, perhaps with `*` at the end");
    }
}

fn check_failover(setting: &LocalityLbSetting, field: &str, scope: &mut Scope<'_>) {
    let mut seen = BTreeSet::new();
    for entry in &setting.failover {
        if entry.from == entry.to {
            let what = format_args!("leads from `{}` to itself", entry.from);
            scope.invalid(field, what, "name another region");
        }
        for region in [&entry.from, &entry.to] {
            if region.is_empty() || region.contains(['/', '*']) {
                let what = format_args!("holds `{region}`, no region");
                scope.invalid(field, what, "name regions, without zone or `*`");
            }
        }
        if !seen.insert(&entry.from) {
            let what = format_args!("has two entries from `{}`", entry.from);
            scope.invalid(field, what, "keep one");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_covers_what_it_leaves_open() {
        for (pattern, locality, expected) in [
            ("*", "r/z/s", true),
            ("r", "r/z/s", true),
            ("r/*", "r/z", true),
            ("r/z/*", "r/z/s", true),
            ("r/z", "r", false),
            ("r/z", "r/y", false),
            ("r2/*", "r/z", false),
            ("r/z/s", "r/z/s", true),
        ] {
            assert_eq!(covers(pattern, locality), expected, "{pattern} {locality}");
        }
    }

    #[test]
    fn failover_needs_outliers_and_a_known_place() {
        let place = |locality: &str| GatewayPlace { locality: locality.into(), ..<_>::default() };
        let setting = LocalitySetting {
            failover: vec![("r".into(), "r2".into())],
            ..LocalitySetting::default()
        };
        let expected = LocalityPolicy::Failover { own: "r/z".into(), region: Some("r2".into()) };
        assert_eq!(setting.policy(&place("r/z"), true), expected);
        assert_eq!(setting.policy(&place("r/z"), false), LocalityPolicy::Flat);
        assert_eq!(setting.policy(&place(""), true), LocalityPolicy::Flat);
        let forced = LocalitySetting { is_forced: true, ..setting };
        assert_eq!(forced.policy(&place("r/z"), false), expected);
        let off = LocalitySetting { is_enabled: false, ..forced };
        assert_eq!(off.policy(&place("r/z"), true), LocalityPolicy::Flat);
    }
}
