//! Property tests: golden inputs with some of their values replaced by odd ones. Whatever the
//! values, compile does not panic and keeps its promises.

use std::fs;
use std::sync::Arc;

use fairway_control::compile::compile;
use fairway_control::compile::render::render;
use fairway_control::object::{ConfigSet, Object};
use fairway_control::source::parse::{Entry, parse_file};
use fairway_shared::snapshot::route::{PathMatch, RouteMatch};
use proptest::prelude::*;
use serde_json::Value;

use super::{cases, gateway_pod};

/// Texts that are special to some field or other.
const ODD_TEXTS: [&str; 34] = [
    "",
    " ",
    "*",
    "*.",
    "**",
    ".",
    "..",
    "/",
    "//",
    "a/b/c",
    "./",
    "~",
    "mesh",
    "%",
    "%%",
    "%(",
    "\\",
    "\\9",
    "(",
    "a)(b",
    "(?x) #",
    ".*",
    "[",
    "[::1]",
    "::",
    "é.example.com",
    "\u{0}",
    "\u{202e}",
    "-1s",
    "0s",
    "99999999999h",
    "65536",
    "@request.auth.claims",
    "host",
];

/// One change: which value, counted over all of the input, and what it becomes.
#[derive(Debug, Clone)]
struct Change {
    nth: prop::sample::Index,
    text: String,
    number: f64,
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let text = prop_oneof![
        prop::sample::select(ODD_TEXTS.to_vec()).prop_map(str::to_owned),
        any::<String>(),
        "[a-z*./]{0,12}",
        "[(-+a-c\\[\\]{}|?^$]{0,8}",
        (1_000_usize..1_100).prop_map(|length| "x".repeat(length)),
    ];
    let number = prop_oneof![
        prop::sample::select(vec![-1.0, 0.0, 65_535.0, 65_536.0, 4_294_967_295.0, 1e18, 0.5]),
        any::<f64>(),
    ];
    let change = (any::<prop::sample::Index>(), text, number)
        .prop_map(|(nth, text, number)| Change { nth, text, number });
    prop::collection::vec(change, 1..6)
}

/// Every text and number of a document, in order.
fn leaves<'v>(value: &'v mut Value, found: &mut Vec<&'v mut Value>) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| leaves(item, found)),
        Value::Object(fields) => {
            // What the document is must stay, or it would not even be read.
            let kept = |name: &str| matches!(name, "apiVersion" | "kind");
            fields.iter_mut().filter(|(name, _)| !kept(name)).for_each(|(_, v)| leaves(v, found));
        }
        Value::String(_) | Value::Number(_) => found.push(value),
        Value::Null | Value::Bool(_) => {}
    }
}

fn changed(input: &str, changes: &[Change]) -> Vec<Arc<Object>> {
    let mut documents: Vec<Value> =
        input.split("\n---\n").map(|text| serde_saphyr::from_str(text).unwrap()).collect();
    let mut found = Vec::new();
    documents.iter_mut().for_each(|document| leaves(document, &mut found));
    for change in changes {
        let at = change.nth.index(found.len());
        *found[at] = match found[at] {
            Value::Number(_) => serde_json::json!(change.number),
            _ => Value::String(change.text.clone()),
        };
    }
    let texts = documents.iter().map(Value::to_string);
    let entries = texts.flat_map(|text| parse_file("odd.json", text.as_bytes()).entries);
    entries
        .filter_map(|entry| match entry {
            Entry::Valid(object) => Some(object),
            Entry::Invalid(_) => None,
        })
        .collect()
}

/// What may only stand at the end of a virtual host.
fn takes_all(matches: &RouteMatch) -> bool {
    let takes_all_paths = match &matches.path {
        PathMatch::Any => true,
        PathMatch::Prefix(prefix) => prefix == "/",
        PathMatch::Regex(regex) => regex == ".*",
        PathMatch::Exact(_) => false,
    };
    takes_all_paths && matches.headers.is_empty() && matches.query.is_empty()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn odd_values_never_panic_and_never_break_a_promise(
        case in any::<prop::sample::Index>(),
        changes in changes(),
    ) {
        let cases = cases();
        let input = fs::read_to_string(case.get(&cases).join("input.yaml")).unwrap();
        let config = ConfigSet { pod: gateway_pod(&input), objects: changed(&input, &changes), ..ConfigSet::default() };
        let compiled = compile(&config);
        prop_assert_eq!(compiled.snapshot.check(), Ok(()));
        prop_assert_eq!(&compile(&config), &compiled);
        for table in compiled.snapshot.route_tables.values() {
            let hosts = &table.virtual_hosts;
            let is_sorted = hosts.windows(2).all(|pair| pair[0].domain < pair[1].domain);
            prop_assert!(is_sorted, "{}", render(&compiled.snapshot));
            for host in hosts {
                let mut routes = host.routes.iter().map(|route| takes_all(&route.spec.matches));
                let is_last = routes.by_ref().skip_while(|takes_all| !takes_all).all(|all| all);
                prop_assert!(is_last, "{}", render(&compiled.snapshot));
            }
        }
    }
}
