//! Files of a configuration, under inputs that are almost right: objects or diagnostics, never a
//! panic, and never longer than a file of that size may take. The seeds are the compile cases.

#[path = "../../shared/tests/fuzz/harness.rs"]
mod harness;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use fairway_control::source::parse::{parse_file, parse_mesh_file};

/// Far above what any input of this size takes, far below what an attack would.
const TIME_MAX: Duration = Duration::from_secs(5);

fn seeds() -> Vec<Vec<u8>> {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compile");
    let folders = fs::read_dir(cases).expect("the compile cases");
    let inputs = folders.filter_map(|folder| fs::read(folder.ok()?.path().join("input.yaml")).ok());
    let bomb = "a: &a [x,x,x,x]\nb: &b [*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b]\nd: [*c,*c,*c,*c]\n";
    let json =
        r#"{"apiVersion":"v1","kind":"Service","metadata":{"name":"a"},"spec":{"ports":[]}}"#;
    inputs.chain([bomb.into(), json.into(), "- ? [{}]\n: !!x |2-\n".into()]).collect()
}

#[test]
fn files_of_a_configuration() {
    let seeds = seeds();
    assert!(seeds.len() > 10, "the compile cases are there");
    harness::run("files", &seeds, |input| {
        let begun = Instant::now();
        let _ = parse_file("all.yaml", input);
        let _ = parse_mesh_file("mesh.yaml", input);
        assert!(begun.elapsed() < TIME_MAX, "took {:?}", begun.elapsed());
    });
}
