//! Delegation: a root entry and a delegate's entry made one (Istio contract 2.7). Pure.
//!
//! Short names belong to the namespace of the object that wrote them, so both sides are spelled
//! out before they meet.

use std::collections::BTreeMap;

use super::names::{GatewayRef, full_host};
use crate::object::virtual_service::{Destination, HttpMatch, HttpRoute, StringMatch};

/// The entry with every name spelled out.
pub(super) fn spelled_out(http: &HttpRoute, namespace: &str, domain: &str) -> HttpRoute {
    let mut http = http.clone();
    let spell = |to: &mut Destination| {
        // An empty host is a mistake, to be reported as it stands.
        if !to.host.is_empty() {
            to.host = full_host(&to.host, namespace, domain);
        }
    };
    http.route.iter_mut().filter_map(|to| to.destination.as_mut()).for_each(spell);
    http.mirrors.iter_mut().filter_map(|mirror| mirror.destination.as_mut()).for_each(spell);
    http.mirror.as_mut().into_iter().for_each(spell);
    for gateway in http.matches.iter_mut().flat_map(|entry| &mut entry.gateways) {
        let resolved = GatewayRef::resolve(gateway, namespace);
        if let Some(key) = resolved.as_ref().and_then(GatewayRef::key) {
            *gateway = key.to_owned();
        }
    }
    http
}

/// The delegate's entry in place of the root's; both spelled out. `None` if no match of the one
/// fits a match of the other, so that the route could never be taken.
pub(super) fn merge(root: &HttpRoute, leaf: &HttpRoute) -> Option<HttpRoute> {
    let matches = merge_matches(&root.matches, &leaf.matches)?;
    let mut merged = leaf.clone();
    merged.matches = matches;
    merged.name = joined(&root.name, &leaf.name);
    merged.timeout = merged.timeout.or_else(|| root.timeout.clone());
    merged.retries = merged.retries.or_else(|| root.retries.clone());
    merged.cors_policy = merged.cors_policy.or_else(|| root.cors_policy.clone());
    merged.headers = merged.headers.or_else(|| root.headers.clone());
    let is_forwarded = leaf.redirect.is_none() && leaf.direct_response.is_none();
    if is_forwarded {
        // A reply of the gateway excludes these; the root meant them for what is forwarded.
        merged.rewrite = merged.rewrite.or_else(|| root.rewrite.clone());
        merged.fault = merged.fault.or_else(|| root.fault.clone());
        if leaf.mirror.is_none() && leaf.mirrors.is_empty() {
            merged.mirror.clone_from(&root.mirror);
            merged.mirrors.clone_from(&root.mirrors);
        }
        merged.mirror_percentage = merged.mirror_percentage.or(root.mirror_percentage);
        merged.mirror_percent = merged.mirror_percent.or(root.mirror_percent);
    }
    Some(merged)
}

fn joined(root: &str, leaf: &str) -> String {
    match (root, leaf) {
        (root, "") => root.to_owned(),
        ("", leaf) => leaf.to_owned(),
        (root, leaf) => format!("{root}-{leaf}"),
    }
}

/// Every compatible pair, in the leaf's order.
fn merge_matches(root: &[HttpMatch], leaf: &[HttpMatch]) -> Option<Vec<HttpMatch>> {
    if root.is_empty() || leaf.is_empty() {
        return Some([root, leaf].concat());
    }
    let mut merged = Vec::new();
    for inner in leaf {
        let before = merged.len();
        let compatible = root.iter().filter(|outer| !conflicts(outer, inner));
        merged.extend(compatible.map(|outer| merge_match(outer, inner)));
        if merged.len() == before {
            return None;
        }
    }
    Some(merged)
}

fn conflicts(root: &HttpMatch, leaf: &HttpMatch) -> bool {
    let texts = [
        (&root.uri, &leaf.uri),
        (&root.scheme, &leaf.scheme),
        (&root.method, &leaf.method),
        (&root.authority, &leaf.authority),
    ];
    let maps = [
        (&root.headers, &leaf.headers),
        (&root.without_headers, &leaf.without_headers),
        (&root.query_params, &leaf.query_params),
    ];
    let differ = |a: &str, b: &str| !a.is_empty() && !b.is_empty() && a != b;
    let labels = &leaf.source_labels;
    root.ignore_uri_case != leaf.ignore_uri_case
        || texts.iter().any(|(root, leaf)| texts_conflict(root.as_ref(), leaf.as_ref()))
        || maps.iter().any(|(root, leaf)| maps_conflict(root, leaf))
        || (root.port != 0 && leaf.port != 0 && root.port != leaf.port)
        || differ(&root.source_namespace, &leaf.source_namespace)
        || root.source_labels.iter().any(|(k, v)| labels.get(k).is_some_and(|own| own != v))
        || (!root.gateways.is_empty() && leaf.gateways.iter().any(|g| !root.gateways.contains(g)))
}

fn maps_conflict(
    root: &BTreeMap<String, StringMatch>,
    leaf: &BTreeMap<String, StringMatch>,
) -> bool {
    root.iter().any(|(key, test)| texts_conflict(Some(test), leaf.get(key)))
}

/// May the leaf's test widen the root's? Regexes cannot be compared, so they always may.
fn texts_conflict(root: Option<&StringMatch>, leaf: Option<&StringMatch>) -> bool {
    let (Some(root), Some(leaf)) = (root, leaf) else { return false };
    if root.regex.is_some() || leaf.regex.is_some() {
        return true;
    }
    match (&root.exact, &root.prefix) {
        (Some(exact), _) => leaf.exact.as_ref() != Some(exact),
        (None, Some(prefix)) => {
            let narrower = leaf.exact.as_ref().or(leaf.prefix.as_ref());
            !narrower.is_some_and(|text| text.starts_with(prefix))
        }
        (None, None) => false,
    }
}

/// The leaf's value where it has one; maps are united.
fn merge_match(root: &HttpMatch, leaf: &HttpMatch) -> HttpMatch {
    let text = |leaf: &Option<StringMatch>, root: &Option<StringMatch>| {
        leaf.clone().or_else(|| root.clone())
    };
    let either = |leaf: &String, root: &String| if leaf.is_empty() { root } else { leaf }.clone();
    HttpMatch {
        name: joined(&root.name, &leaf.name),
        uri: text(&leaf.uri, &root.uri),
        scheme: text(&leaf.scheme, &root.scheme),
        method: text(&leaf.method, &root.method),
        authority: text(&leaf.authority, &root.authority),
        headers: united(&root.headers, &leaf.headers),
        without_headers: united(&root.without_headers, &leaf.without_headers),
        query_params: united(&root.query_params, &leaf.query_params),
        port: if leaf.port == 0 { root.port } else { leaf.port },
        source_labels: united(&root.source_labels, &leaf.source_labels),
        source_namespace: either(&leaf.source_namespace, &root.source_namespace),
        gateways: if leaf.gateways.is_empty() { &root.gateways } else { &leaf.gateways }.clone(),
        ignore_uri_case: leaf.ignore_uri_case,
        stat_prefix: either(&leaf.stat_prefix, &root.stat_prefix),
    }
}

fn united<V: Clone>(root: &BTreeMap<String, V>, leaf: &BTreeMap<String, V>) -> BTreeMap<String, V> {
    let mut all = root.clone();
    all.extend(leaf.iter().map(|(key, value)| (key.clone(), value.clone())));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matching(json: &str) -> HttpMatch {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_leaf_match_may_narrow_but_not_widen_its_root() {
        for (root, leaf, is_compatible) in [
            (r#"{}"#, r#"{"uri":{"prefix":"/a"}}"#, true),
            (r#"{"uri":{"prefix":"/a"}}"#, r#"{}"#, true),
            (r#"{"uri":{"prefix":"/a"}}"#, r#"{"uri":{"prefix":"/a/b"}}"#, true),
            (r#"{"uri":{"prefix":"/a"}}"#, r#"{"uri":{"exact":"/a/b"}}"#, true),
            (r#"{"uri":{"prefix":"/a"}}"#, r#"{"uri":{"prefix":"/b"}}"#, false),
            (r#"{"uri":{"prefix":"/a"}}"#, r#"{"uri":{"regex":"/a/.*"}}"#, false),
            (r#"{"uri":{"exact":"/a"}}"#, r#"{"uri":{"prefix":"/a"}}"#, false),
            (r#"{"uri":{"exact":"/a"}}"#, r#"{"uri":{"exact":"/a"}}"#, true),
            (r#"{"ignoreUriCase":true}"#, r#"{}"#, false),
            (r#"{"port":80}"#, r#"{"port":81}"#, false),
            (r#"{"port":80}"#, r#"{}"#, true),
            (r#"{"headers":{"x":{"exact":"1"}}}"#, r#"{"headers":{"x":{"exact":"2"}}}"#, false),
            (r#"{"headers":{"x":{"exact":"1"}}}"#, r#"{"headers":{"y":{"exact":"2"}}}"#, true),
            (r#"{"gateways":["a/b"]}"#, r#"{"gateways":["a/c"]}"#, false),
            (r#"{"gateways":["a/b"]}"#, r#"{}"#, true),
        ] {
            let found = merge_matches(&[matching(root)], &[matching(leaf)]);
            assert_eq!(found.is_some(), is_compatible, "{root} with {leaf}");
        }
    }

    #[test]
    fn every_compatible_pair_becomes_a_match() {
        let root = [matching(r#"{"uri":{"prefix":"/a"}}"#), matching(r#"{"uri":{"prefix":"/b"}}"#)];
        let leaf = [matching(r#"{"method":{"exact":"GET"}}"#)];
        assert_eq!(merge_matches(&root, &leaf).unwrap().len(), 2);
        assert_eq!(merge_matches(&root, &[]).unwrap(), root);
        assert_eq!(merge_matches(&[], &leaf).unwrap(), leaf);
    }
}
