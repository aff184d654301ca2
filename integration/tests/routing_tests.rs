//! The table of which test holds which rule of routing names tests that exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const TABLE: &str = include_str!("../../docs/routing-tests.md");
const BEGIN: &str = "| rule | tests |";
const CRATES: [&str; 6] = ["shared", "proto", "control", "dataplane", "cli", "integration"];

/// Test functions of all crates, and folders of what objects compile to.
fn existing(workspace: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut folders: Vec<_> = CRATES
        .iter()
        .flat_map(|name| ["src", "tests"].map(|in_| workspace.join(name).join(in_)))
        .collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.expect("a readable folder").path();
            let is_source = path.extension().is_some_and(|extension| extension == "rs");
            if path.is_dir() {
                let name = path.file_name().expect("a name").to_string_lossy().into_owned();
                if folder.ends_with("tests/compile") {
                    names.insert(name);
                }
                folders.push(path);
            } else if is_source {
                names.extend(tests_of(&fs::read_to_string(&path).expect("text")));
            }
        }
    }
    names
}

/// Names of the functions that follow an attribute of a test, or stand in a block of properties.
fn tests_of(source: &str) -> Vec<String> {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let is_test = |line: &&str| line.starts_with("#[test]") || line.starts_with("#[tokio::test");
    let names = lines.windows(2).filter(|pair| is_test(&pair[0])).filter_map(|pair| {
        let line = pair[1].strip_prefix("async ").unwrap_or(pair[1]);
        line.strip_prefix("fn ")?.split_once('(').map(|(name, _)| name.to_owned())
    });
    names.collect()
}

#[test]
fn every_rule_of_routing_names_tests_that_exist() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let existing = existing(&workspace);
    let (_, table) = TABLE.split_once(BEGIN).expect("the table begins");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let (mut count, mut wrong) = (0, Vec::new());
    for row in rows {
        let cells: Vec<&str> = row.split(" | ").collect();
        let [rule, tests] = cells[..] else { panic!("two columns: {row}") };
        let names: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        if names.is_empty() || tests.starts_with("none: ") {
            assert!(tests.starts_with("none: "), "no test, and no reason: {row}");
            continue;
        }
        count += 1;
        let missing = names.iter().filter(|name| !existing.contains(**name));
        wrong.extend(missing.map(|name| format!("{rule}: there is no `{name}`")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 50, "only {count} rows: the table is not read to its end");
}
