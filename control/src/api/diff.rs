//! What differs between two snapshots, resource by resource, as lines for people. Pure.

use std::collections::{BTreeMap, HashMap};

use fairway_proto::wire::{self, ChangeKind};
use fairway_shared::snapshot::Snapshot;
use fairway_shared::snapshot::diff::diff;

use crate::compile::render::render;

/// Lines of one resource that are told; the rest is counted.
const LINES_MAX: usize = 1_000;

/// A resource's lines, by its kind and name.
type Blocks<'t> = BTreeMap<(&'t str, &'t str), Vec<&'t str>>;

/// Compares two snapshots.
pub(super) fn changes(old: &Snapshot, new: &Snapshot) -> Vec<wire::ResourceChange> {
    let (old_text, new_text) = (render(old), render(new));
    let (before, after) = (blocks(&old_text), blocks(&new_text));
    let mut keys: Vec<_> = before.keys().chain(after.keys()).copied().collect();
    keys.sort_unstable();
    keys.dedup();
    let differs = |key: &(&str, &str)| before.get(key) != after.get(key);
    let change = |key: (&str, &str)| {
        let (was, is) = (before.get(&key), after.get(&key));
        let kind = match (was, is) {
            (None, _) => ChangeKind::Added,
            (_, None) => ChangeKind::Removed,
            _ => ChangeKind::Changed,
        };
        let empty = Vec::new();
        let lines = lines(was.unwrap_or(&empty), is.unwrap_or(&empty));
        one(key.0, key.1, kind, lines)
    };
    let mut changes: Vec<_> = keys.into_iter().filter(differs).map(change).collect();
    changes.extend(secrets(old, new));
    changes
}

fn one(resource: &str, name: &str, kind: ChangeKind, lines: Vec<String>) -> wire::ResourceChange {
    let (resource, name) = (resource.to_owned(), name.to_owned());
    wire::ResourceChange { resource, name, change: kind.into(), lines }
}

/// Secrets by name alone: nothing of their content is shown.
fn secrets(old: &Snapshot, new: &Snapshot) -> Vec<wire::ResourceChange> {
    let changes = diff(old, new).secrets;
    let kind = |name| match old.secrets.contains_key(name) {
        true => ChangeKind::Changed,
        false => ChangeKind::Added,
    };
    let upserted = changes.upserted.iter().map(|name| one("secret", &name.0, kind(name), vec![]));
    let gone = changes.removed.iter();
    let removed = gone.map(|name| one("secret", &name.0, ChangeKind::Removed, vec![]));
    upserted.chain(removed).collect()
}

/// A rendered snapshot taken apart: a resource starts at a line without indent, with its kind and
/// name.
fn blocks(text: &str) -> Blocks<'_> {
    let mut blocks = Blocks::new();
    let mut key = ("", "");
    for line in text.lines() {
        if !line.starts_with(' ') {
            let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
            key = (kind, rest.split(' ').next().unwrap_or_default());
        }
        blocks.entry(key).or_default().push(line);
    }
    // Secrets are told by name below, whether or not they are rendered.
    blocks.retain(|(kind, _), _| *kind != "secret");
    blocks
}

/// Lines in one of both only: first what went, then what came. A line that only moved is told as
/// such.
fn lines(was: &[&str], is: &[&str]) -> Vec<String> {
    let only = |these: &[&str], those: &[&str], mark: char| {
        let mut others: HashMap<&str, usize> = HashMap::new();
        those.iter().for_each(|line| *others.entry(line).or_default() += 1);
        let mut left = Vec::new();
        for line in these {
            match others.get_mut(line).filter(|count| **count > 0) {
                Some(count) => *count -= 1,
                None => left.push(format!("{mark}{line}")),
            }
        }
        left
    };
    let mut lines = only(was, is, '-');
    lines.extend(only(is, was, '+'));
    if lines.is_empty() {
        lines.push("~ the same lines in another order".to_owned());
    }
    let more = lines.len().saturating_sub(LINES_MAX);
    lines.truncate(LINES_MAX);
    if more > 0 {
        lines.push(format!("~ and {more} lines more"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::publish::testing::{cluster, snapshot_with};

    /// Kind of change, resource and name of every change.
    fn told(old: &Snapshot, new: &Snapshot) -> Vec<String> {
        let kind = |change: &wire::ResourceChange| match change.change() {
            ChangeKind::Added => '+',
            ChangeKind::Removed => '-',
            ChangeKind::Changed => '~',
            ChangeKind::Unspecified => '?',
        };
        let line = |change: &wire::ResourceChange| {
            format!("{}{} {}", kind(change), change.resource, change.name)
        };
        changes(old, new).iter().map(line).collect()
    }

    #[test]
    fn what_came_went_and_changed_is_told_by_name() {
        let (old, new) = (snapshot_with(&["a", "b"]), snapshot_with(&["b", "c"]));
        assert_eq!(
            told(&old, &new),
            [
                "-cluster outbound|80||a",
                "+cluster outbound|80||c",
                "-endpoints a:80",
                "+endpoints c:80",
                "~table http.80",
            ]
        );
        assert_eq!(told(&old, &old), Vec::<String>::new());
    }

    #[test]
    fn a_change_shows_the_lines_of_either_side() {
        let old = snapshot_with(&["a"]);
        let mut new = old.clone();
        let mut set = (*new.endpoints[&cluster("a").service]).clone();
        set.endpoints[0].weight = 7;
        new.endpoints.insert(cluster("a").service, Arc::new(set));
        let found = changes(&old, &new);
        assert_eq!(found.len(), 1);
        let marks: Vec<_> = found[0].lines.iter().map(|line| line.chars().next()).collect();
        assert_eq!(marks, [Some('-'), Some('+')]);
        assert!(found[0].lines[1].contains("weight 7"), "{:?}", found[0].lines);
    }

    #[test]
    fn lines_that_only_moved_are_no_silence() {
        assert_eq!(lines(&["a", "b"], &["b", "a"]), ["~ the same lines in another order"]);
    }
}
