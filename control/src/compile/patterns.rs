//! Host patterns by the hash: which patterns cover a name, and which names a pattern covers,
//! without walking all of them.
//!
//! Patterns are canonical: lower case, an exact name, `*.suffix` or `*` (Istio contract 1.3).

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Values by host pattern.
#[derive(Debug, Clone)]
pub(super) struct PatternMap<V> {
    exact: HashMap<String, V>,
    /// By what follows the `*`: `.example.com`, or nothing for `*` itself.
    wild: HashMap<String, V>,
}

impl<V> Default for PatternMap<V> {
    fn default() -> Self {
        Self { exact: HashMap::new(), wild: HashMap::new() }
    }
}

impl<V: Default> PatternMap<V> {
    /// The value of exactly this pattern, made if absent.
    pub(super) fn entry(&mut self, pattern: &str) -> &mut V {
        match pattern.strip_prefix('*') {
            Some(suffix) => self.wild.entry(suffix.to_owned()).or_default(),
            None => self.exact.entry(pattern.to_owned()).or_default(),
        }
    }

    /// Values of all patterns that cover `name` (a name or a pattern), the most specific first.
    pub(super) fn covering<'m, 'n>(
        &'m self,
        name: &'n str,
    ) -> impl Iterator<Item = &'m V> + use<'m, 'n, V> {
        let exact = self.exact.get(name);
        // A pattern needs something in front of its suffix, hence not at index 0.
        let suffixes = name.match_indices('.').filter(|(at, _)| *at > 0);
        let wild = suffixes.filter_map(|(at, _)| self.wild.get(name.get(at..).unwrap_or("")));
        exact.into_iter().chain(wild).chain(self.wild.get(""))
    }
}

/// Who may bind through one host of a Gateway server.
#[derive(Debug, Clone, Default)]
struct Binders {
    anyone: bool,
    namespaces: BTreeSet<String>,
}

impl Binders {
    fn admits(&self, namespace: &str) -> bool {
        self.anyone || self.namespaces.contains(namespace)
    }
}

/// The hosts of one Gateway server, each open to all namespaces or to some.
#[derive(Debug, Clone, Default)]
pub(super) struct HostIndex {
    patterns: PatternMap<Binders>,
    /// By the pattern spelled backwards, so that what a wildcard covers is one range.
    reversed: BTreeMap<String, String>,
}

impl HostIndex {
    /// Adds a host that VirtualServices of `namespace` may use, or of any namespace.
    pub(super) fn add(&mut self, pattern: &str, namespace: Option<&str>) {
        let binders = self.patterns.entry(pattern);
        match namespace {
            Some(namespace) => {
                binders.namespaces.insert(namespace.to_owned());
            }
            None => binders.anyone = true,
        }
        self.reversed.insert(pattern.chars().rev().collect(), pattern.to_owned());
    }

    /// Every host pattern, without namespaces.
    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.reversed.values().map(String::as_str)
    }

    /// Puts the narrower name of every pair of one of these hosts and `host` into `names`, as
    /// far as a VirtualService of `namespace` may use it (Istio contract 2.4).
    pub(super) fn intersect(&self, host: &str, namespace: &str, names: &mut BTreeSet<String>) {
        if self.patterns.covering(host).any(|binders| binders.admits(namespace)) {
            names.insert(host.to_owned());
        }
        let Some(suffix) = host.strip_prefix('*') else { return };
        let prefix: String = suffix.chars().rev().collect();
        let covered = self.reversed.range(prefix.clone()..);
        for (_, pattern) in covered.take_while(|(reversed, _)| reversed.starts_with(&prefix)) {
            let narrower = pattern != host && self.is_open(pattern, namespace);
            if narrower {
                names.insert(pattern.clone());
            }
        }
    }

    fn is_open(&self, pattern: &str, namespace: &str) -> bool {
        let binders = match pattern.strip_prefix('*') {
            Some(suffix) => self.patterns.wild.get(suffix),
            None => self.patterns.exact.get(pattern),
        };
        binders.is_some_and(|binders| binders.admits(namespace))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn intersect(hosts: &[(&str, Option<&str>)], host: &str, namespace: &str) -> Vec<String> {
        let mut index = HostIndex::default();
        for (pattern, namespace) in hosts {
            index.add(pattern, *namespace);
        }
        let mut names = BTreeSet::new();
        index.intersect(host, namespace, &mut names);
        names.into_iter().collect()
    }

    #[test]
    fn the_narrower_name_of_each_pair_is_kept() {
        for (hosts, host, names) in [
            (vec!["*.foo.com"], "a.foo.com", vec!["a.foo.com"]),
            (vec!["a.foo.com", "b.foo.com"], "*", vec!["a.foo.com", "b.foo.com"]),
            (vec!["*"], "*", vec!["*"]),
            (vec!["*.foo.com", "foo.com"], "*.com", vec!["*.foo.com", "foo.com"]),
            (vec!["*.foo.com"], "foo.com", vec![]),
            (vec!["*", "*.foo.com"], "a.foo.com", vec!["a.foo.com"]),
            (vec!["a.foo.com"], "b.foo.com", vec![]),
            (vec!["[::1]"], "[::1]", vec!["[::1]"]),
        ] {
            let open: Vec<_> = hosts.iter().map(|host| (*host, None)).collect();
            assert_eq!(intersect(&open, host, "any"), names, "{hosts:?} with {host}");
        }
    }

    #[test]
    fn a_host_bound_to_a_namespace_is_closed_to_others() {
        let hosts = [("a.foo.com", Some("ns1")), ("*.bar.com", Some("ns2"))];
        assert_eq!(intersect(&hosts, "*", "ns1"), ["a.foo.com"]);
        assert_eq!(intersect(&hosts, "x.bar.com", "ns2"), ["x.bar.com"]);
        assert_eq!(intersect(&hosts, "x.bar.com", "ns1"), Vec::<String>::new());
    }

    proptest! {
        #[test]
        fn the_index_agrees_with_comparing_every_pair(
            hosts in prop::collection::vec("(\\*|(\\*\\.)?[ab](\\.[ab]){0,2})", 0..6),
            host in "(\\*|(\\*\\.)?[ab](\\.[ab]){0,2})",
        ) {
            let open: Vec<_> = hosts.iter().map(|host| (host.as_str(), None)).collect();
            let pairs: BTreeSet<_> = hosts
                .iter()
                .filter_map(|server| fairway_shared::matching::intersect(server, &host))
                .map(str::to_owned)
                .collect();
            prop_assert_eq!(intersect(&open, &host, "any"), pairs.into_iter().collect::<Vec<_>>());
        }
    }
}
