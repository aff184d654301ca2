//! Paths and path prefixes of one virtual host, asked with a request's path.
//!
//! A trie laid flat: keys in byte order, each with the longest other key that is its prefix. All
//! keys that are a prefix of a path are then the chain of parents of the greatest key not above
//! that path. One binary search and one short walk, whatever the number of rules.

const NO_PARENT: u32 = u32::MAX;

/// The rules that test for one text.
#[derive(Debug)]
struct Key {
    text: Box<str>,
    parent: u32,
    /// Rules for which the path must equal `text`, ascending.
    exact: Box<[u32]>,
    /// Rules for which the path must start with `text`, ascending.
    prefix: Box<[u32]>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct PathIndex {
    keys: Box<[Key]>,
}

/// One rule to index.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The path, or the prefix.
    pub text: String,
    /// The whole path must equal `text`.
    pub is_exact: bool,
    /// The rule's place in its virtual host: lower wins.
    pub rule: u32,
}

impl PathIndex {
    /// Builds the index; the order of `entries` does not matter.
    pub fn new(mut entries: Vec<Entry>) -> Self {
        entries.sort_unstable();
        let mut keys: Vec<Key> = Vec::new();
        let mut open: Vec<u32> = Vec::new();
        for group in entries.chunk_by(|a, b| a.text == b.text) {
            let text = &group[0].text;
            while open.last().is_some_and(|last| !text.starts_with(&*keys[*last as usize].text)) {
                open.pop();
            }
            let rules = |exact: bool| {
                group.iter().filter(move |entry| entry.is_exact == exact).map(|entry| entry.rule)
            };
            let parent = open.last().copied().unwrap_or(NO_PARENT);
            open.push(keys.len() as u32);
            keys.push(Key {
                text: text.as_str().into(),
                parent,
                exact: rules(true).collect(),
                prefix: rules(false).collect(),
            });
        }
        Self { keys: keys.into() }
    }

    /// No rule is indexed.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Lists of rules whose path test holds for `path`, each ascending, longest text first.
    pub fn candidates<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a [u32]> {
        let above = self.keys.partition_point(|key| &*key.text <= path);
        let nearest = above.checked_sub(1).map(|index| &self.keys[index]);
        let exact = nearest.filter(|key| &*key.text == path).map(|key| &*key.exact);
        let mut next = nearest;
        let prefixes = std::iter::from_fn(move || {
            // Keys below the path in order need not be its prefixes; their parents may be.
            while let Some(key) = next {
                next = self.keys.get(key.parent as usize);
                if path.starts_with(&*key.text) {
                    return Some(&*key.prefix);
                }
            }
            None
        });
        exact.into_iter().chain(prefixes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(index: &PathIndex, path: &str) -> Vec<u32> {
        let mut rules: Vec<u32> = index.candidates(path).flatten().copied().collect();
        rules.sort_unstable();
        rules
    }

    #[test]
    fn a_path_meets_the_rules_for_itself_and_for_its_prefixes() {
        let entry = |text: &str, is_exact, rule| Entry { text: text.into(), is_exact, rule };
        let index = PathIndex::new(vec![
            entry("/", false, 9),
            entry("/api", false, 3),
            entry("/api", true, 4),
            entry("/api/v1", false, 5),
            entry("/apz", false, 6),
        ]);
        for (path, rules) in [
            ("/", vec![9]),
            ("/api", vec![3, 4, 9]),
            ("/api/v1/x", vec![3, 5, 9]),
            ("/api/v0", vec![3, 9]),
            ("/apy", vec![9]),
            ("x", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(found(&index, path), rules, "{path}");
        }
    }

    proptest! {
        #[test]
        fn it_finds_what_a_scan_of_all_rules_finds(
            texts in proptest::collection::vec(("[ab/]{0,6}", any::<bool>()), 0..24),
            path in "[ab/]{0,8}",
        ) {
            let entries: Vec<Entry> = texts
                .iter()
                .enumerate()
                .map(|(rule, (text, is_exact))| Entry {
                    text: text.clone(),
                    is_exact: *is_exact,
                    rule: rule as u32,
                })
                .collect();
            let scanned: Vec<u32> = entries
                .iter()
                .filter(|e| if e.is_exact { path == e.text } else { path.starts_with(&e.text) })
                .map(|e| e.rule)
                .collect();
            prop_assert_eq!(found(&PathIndex::new(entries), &path), scanned);
        }
    }
}
