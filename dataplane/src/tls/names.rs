//! From the server name in a client hello to a chain: exact name, longest wildcard, `*`
//! (Istio contract 1.7). Pure; a lookup allocates nothing.

use std::collections::HashMap;

/// The names of a listener's chains.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct NameIndex {
    exact: HashMap<Box<str>, usize>,
    /// By what follows the `*`: `.example.com`.
    suffixes: HashMap<Box<str>, usize>,
    any: Option<usize>,
}

impl NameIndex {
    /// Indexes the names of each chain, in order. The first chain to claim a name keeps it.
    pub fn new<'n>(chains: impl IntoIterator<Item = &'n [String]>) -> Self {
        let mut index = Self::default();
        for (chain, names) in chains.into_iter().enumerate() {
            for name in names {
                if name == "*" {
                    index.any.get_or_insert(chain);
                } else if let Some(suffix) = name.strip_prefix('*') {
                    index.suffixes.entry(suffix.into()).or_insert(chain);
                } else {
                    index.exact.entry(name.as_str().into()).or_insert(chain);
                }
            }
        }
        index
    }

    /// The chain for a lower-case server name, or for a client that sends none. A wildcard stands
    /// for one or more labels.
    pub fn find(&self, name: Option<&str>) -> Option<usize> {
        let Some(name) = name else { return self.any };
        if let Some(chain) = self.exact.get(name) {
            return Some(*chain);
        }
        // From the first dot on, so that something stands in front of it: the longest first.
        let dots = name.match_indices('.').filter(|(at, _)| *at > 0 && !self.suffixes.is_empty());
        let mut suffixes = dots.map(|(at, _)| &name[at..]);
        suffixes.find_map(|suffix| self.suffixes.get(suffix)).copied().or(self.any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn index(chains: &[&[&str]]) -> NameIndex {
        let chains: Vec<Vec<String>> =
            chains.iter().map(|names| names.iter().map(ToString::to_string).collect()).collect();
        NameIndex::new(chains.iter().map(Vec::as_slice))
    }

    #[test]
    fn the_most_specific_chain_is_chosen() {
        let some = index(&[
            &["a.example.com"],
            &["*.example.com"],
            &["*.b.example.com", "other.org"],
            &["*"],
        ]);
        for (name, expected) in [
            (Some("a.example.com"), 0),
            (Some("x.a.example.com"), 1),
            (Some("c.example.com"), 1),
            (Some("x.y.example.com"), 1),
            (Some("b.example.com"), 1),
            (Some("x.b.example.com"), 2),
            (Some("other.org"), 2),
            (Some("x.other.org"), 3),
            (Some("example.com"), 3),
            (Some(".example.com"), 3),
            (Some("localhost"), 3),
            (None, 3),
        ] {
            assert_eq!(some.find(name), Some(expected), "{name:?}");
        }
    }

    #[test]
    fn without_a_chain_for_all_some_find_none() {
        let some = index(&[&["a.example.com", "*.org"]]);
        for name in [None, Some("b.example.com"), Some("org"), Some("")] {
            assert_eq!(some.find(name), None, "{name:?}");
        }
    }

    /// Reads the rule off the page: tries every name of every chain.
    fn model(chains: &[Vec<String>], name: &str) -> Option<usize> {
        let rank = |pattern: &str| match pattern.strip_prefix('*') {
            None => (pattern == name).then_some(usize::MAX),
            Some("") => Some(0),
            Some(suffix) => {
                (name.ends_with(suffix) && name.len() > suffix.len()).then_some(suffix.len())
            }
        };
        let all = chains.iter().enumerate();
        let ranked = all.flat_map(|(at, names)| {
            names.iter().filter_map(move |name| Some((rank(name)?, usize::MAX - at)))
        });
        ranked.max().map(|(_, at)| usize::MAX - at)
    }

    proptest! {
        #[test]
        fn the_index_agrees_with_the_rule(
            chains in proptest::collection::vec(
                proptest::collection::vec("(\\*|(\\*\\.)?[ab](\\.[ab]){0,2})", 0..3), 0..4),
            name in "[ab](\\.[ab]){0,3}",
        ) {
            let index = NameIndex::new(chains.iter().map(Vec::as_slice));
            prop_assert_eq!(index.find(Some(&name)), model(&chains, &name));
        }
    }
}
