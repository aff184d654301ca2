//! What comes over gRPC, under inputs that are almost right: decoded or refused, never a panic.

#[path = "../../shared/tests/fuzz/harness.rs"]
mod harness;
#[allow(dead_code)]
mod strategies;

use fairway_proto::from_wire;
use fairway_proto::to_wire::whole_update;
use fairway_proto::wire::SnapshotUpdate;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use prost::Message;

/// Snapshots that make use of every field.
const SEEDS: usize = 12;

#[test]
fn snapshots_from_the_wire() {
    let mut runner = TestRunner::deterministic();
    let seeds: Vec<Vec<u8>> = (0..SEEDS)
        .map(|_| {
            let tree = strategies::snapshot().new_tree(&mut runner).expect("a snapshot");
            whole_update(&tree.current()).encode_to_vec()
        })
        .collect();
    harness::run("snapshots from the wire", &seeds, |input| {
        let Ok(update) = SnapshotUpdate::decode(input) else { return };
        // What is taken can be said again and is the same then.
        if let Ok(snapshot) = from_wire::update(update, None) {
            let again = SnapshotUpdate::decode(&whole_update(&snapshot).encode_to_vec()[..]);
            let again = from_wire::update(again.expect("ours"), None);
            assert_eq!(again, Ok(snapshot));
        }
    });
}
