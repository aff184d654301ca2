//! When one match entry of a VirtualService takes all that another takes. Pure.

use crate::object::virtual_service::{HttpMatch, StringMatch};

/// How an entry relates to an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overlap {
    /// It asks for the same.
    Same,
    /// Its path lies under the earlier one's prefix, all else being the same.
    Under,
}

/// How `later` relates to `earlier`, if the earlier takes all that it takes.
pub(super) fn overlap(earlier: &HttpMatch, later: &HttpMatch) -> Option<Overlap> {
    let rest = |entry: &HttpMatch| HttpMatch {
        name: String::new(),
        stat_prefix: String::new(),
        uri: None,
        ..entry.clone()
    };
    if rest(earlier) != rest(later) {
        return None;
    }
    if earlier.uri == later.uri {
        return Some(Overlap::Same);
    }
    let is_under = match (&earlier.uri, &later.uri) {
        (None, Some(_)) => true,
        (Some(prefix), Some(uri)) => is_under(prefix, uri),
        (_, None) => false,
    };
    is_under.then_some(Overlap::Under)
}

fn is_under(earlier: &StringMatch, later: &StringMatch) -> bool {
    let Some(prefix) = &earlier.prefix else { return false };
    later.exact.iter().chain(&later.prefix).any(|text| text.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> HttpMatch {
        let uri = StringMatch { prefix: Some(text.into()), ..Default::default() };
        HttpMatch { uri: Some(uri), ..Default::default() }
    }

    #[test]
    fn a_prefix_covers_what_lies_under_it_if_all_else_is_the_same() {
        let exact = |text: &str| HttpMatch {
            uri: Some(StringMatch { exact: Some(text.into()), ..Default::default() }),
            ..Default::default()
        };
        let port = |entry: HttpMatch| HttpMatch { port: 80, ..entry };
        for (earlier, later, expected) in [
            (prefix("/a"), prefix("/a"), Some(Overlap::Same)),
            (prefix("/a"), prefix("/ab"), Some(Overlap::Under)),
            (prefix("/a"), exact("/a/b"), Some(Overlap::Under)),
            (prefix("/ab"), prefix("/a"), None),
            (exact("/a"), prefix("/a"), None),
            (prefix("/a"), port(prefix("/a")), None),
            (HttpMatch::default(), prefix("/a"), Some(Overlap::Under)),
            (prefix("/"), HttpMatch::default(), None),
        ] {
            assert_eq!(overlap(&earlier, &later), expected, "{earlier:?} then {later:?}");
        }
    }
}
