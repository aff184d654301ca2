//! `fairway analyze`: silent on what is right, one line with code, place and remedy for what is
//! not.

use std::io::Write;
use std::process::{Command, Output, Stdio};

/// The binary under test.
const FAIRWAY: &str = env!("CARGO_BIN_EXE_fairway-tested");
const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/examples");

const ORPHAN: &str = "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: user, namespace: shop}
spec:
  hosts: [user.example]
  gateways: [nowhere]
  http: [{redirect: {uri: /}}]
";

fn fairway(args: &[&str], stdin: &str) -> Output {
    let mut child = Command::new(FAIRWAY)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("fairway starts");
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(stdin.as_bytes()).expect("fairway reads");
    drop(input);
    child.wait_with_output().expect("fairway ends")
}

/// Exit code and stdout.
fn check(args: &[&str], stdin: &str, code: i32) -> String {
    let output = fairway(args, stdin);
    let text = String::from_utf8(output.stdout).expect("text");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {text}{stderr}");
    text
}

#[test]
fn the_reference_configuration_is_passed_in_silence() {
    for example in std::fs::read_dir(EXAMPLES).expect("examples") {
        let path = example.expect("an entry").path().display().to_string();
        assert_eq!(check(&["analyze", "--failure-threshold", "info", &path], "", 0), "", "{path}");
    }
}

#[test]
fn a_finding_is_one_line_with_code_place_and_remedy() {
    let text = check(&["analyze", "-"], ORPHAN, 1);
    let first = text.lines().next().expect("a line");
    let expected = "Error [IST0101] (VirtualService shop/user stdin:1) spec.gateways names \
                    `shop/nowhere`, which does not exist: create the Gateway, or write \
                    `namespace/name`";
    assert_eq!(first, expected);
}

#[test]
fn a_files_name_is_as_it_was_typed() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("a.yaml");
    std::fs::write(&file, ORPHAN).expect("a file");
    let place = format!("{}:1)", file.display());
    for path in [file.as_path(), directory.path()] {
        let text = check(&["analyze", &path.display().to_string()], "", 1);
        assert!(text.contains(&place), "{text}");
    }
    let text = check(&["analyze", "-o", "json", &file.display().to_string()], "", 1);
    let found: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(found[0]["code"], "IST0101");
    let text = check(&["analyze", "-o", "sarif", &file.display().to_string()], "", 1);
    let found: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(found["runs"][0]["results"][0]["ruleId"], "IST0101");
}

#[test]
fn the_threshold_decides_the_exit_code_and_usage_is_2() {
    let warned = ORPHAN.replace("[nowhere]", "[mesh]").replace("spec:", "spec:\n  strange: 1");
    check(&["analyze", "-"], &warned, 0);
    check(&["analyze", "--failure-threshold", "warning", "-"], &warned, 1);
    check(&["analyze"], "", 2);
    check(&["analyze", "--failure-threshold", "fatal", "-"], "", 2);
    check(&["analyze", "/no/such/path"], "", 2);
}
