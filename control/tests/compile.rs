//! Golden tests of compile: every folder below `tests/compile` holds objects and what they
//! compile to. `FAIRWAY_BLESS=1` rewrites the expectations; the diff is to be reviewed.

// Helpers of tests may unwrap like tests; clippy only knows the attribute.
#![allow(clippy::unwrap_used)]

#[path = "compile/oddities.rs"]
mod oddities;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use fairway_control::compile::render::render;
use fairway_control::compile::{Compiled, compile};
use fairway_control::object::{ConfigSet, GatewayPod};
use fairway_control::source::parse::{Entry, parse_file};

/// The folder, from the crate's root.
const CASES: &str = "tests/compile";
/// First line of an input that is compiled for another pod: `# pod: namespace label=value …`;
/// `@node=name` is no label but names its Node, `@scoped=` limits it to Gateways of its namespace.
const POD_LINE: &str = "# pod: ";

fn gateway_pod(input: &str) -> GatewayPod {
    let line = input.lines().next().and_then(|line| line.strip_prefix(POD_LINE));
    let words = line.unwrap_or("istio-system istio=ingressgateway app=istio-ingressgateway");
    let mut words = words.split_whitespace();
    let namespace = words.next().unwrap().to_owned();
    let labels: BTreeMap<String, String> = words
        .map(|pair| pair.split_once('=').unwrap())
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    // What is no label of Kubernetes stands for the pod's Node.
    let mut labels = labels;
    let node = labels.remove("@node").unwrap_or_default();
    let takes_own_namespace_only = labels.remove("@scoped").is_some();
    let domain = "cluster.local".to_owned();
    let locality = String::new();
    GatewayPod { labels, namespace, domain, node, locality, takes_own_namespace_only }
}

/// The parser has tests of its own: here its findings would only mean a mistyped case.
fn config_set(input: &str) -> ConfigSet {
    let parsed = parse_file("input.yaml", input.as_bytes());
    assert!(parsed.diagnostics.is_empty(), "{:?}", parsed.diagnostics);
    let mut objects: Vec<_> = parsed
        .entries
        .into_iter()
        .map(|entry| match entry {
            Entry::Valid(object) => object,
            Entry::Invalid(finding) => panic!("{finding:?}"),
        })
        .collect();
    objects.sort_by_key(|object| object.reference());
    ConfigSet { pod: gateway_pod(input), objects, ..ConfigSet::default() }
}

fn diagnostics_text(compiled: &Compiled) -> String {
    compiled.diagnostics.iter().fold(String::new(), |mut text, finding| {
        writeln!(text, "{finding}").unwrap();
        text
    })
}

fn cases() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(CASES);
    let mut cases: Vec<PathBuf> = fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    cases.sort();
    cases
}

fn check(path: &Path, found: &str, failures: &mut String) {
    if std::env::var_os("FAIRWAY_BLESS").is_some() {
        fs::write(path, found).unwrap();
        return;
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    if expected != found {
        write!(failures, "{}\n--- expected\n{expected}--- found\n{found}\n", path.display())
            .unwrap();
    }
}

#[test]
fn every_case_compiles_to_what_is_written_beside_it() {
    let cases = cases();
    assert!(cases.len() >= 25, "only {} cases found", cases.len());
    let mut failures = String::new();
    for case in cases {
        let input = fs::read_to_string(case.join("input.yaml")).unwrap();
        let compiled = compile(&config_set(&input));
        check(&case.join("snapshot.txt"), &render(&compiled.snapshot), &mut failures);
        check(&case.join("diagnostics.txt"), &diagnostics_text(&compiled), &mut failures);
    }
    assert!(failures.is_empty(), "FAIRWAY_BLESS=1 accepts these:\n{failures}");
}

#[test]
fn the_order_of_objects_makes_no_difference() {
    for case in cases() {
        let input = fs::read_to_string(case.join("input.yaml")).unwrap();
        let mut config = config_set(&input);
        let expected = compile(&config);
        for _ in 0..config.objects.len() {
            config.objects.rotate_left(1);
            assert_eq!(compile(&config), expected, "{}", case.display());
        }
        config.objects.reverse();
        assert_eq!(compile(&config), expected, "{}", case.display());
    }
}
