//! Whether both ends are of one build. Pure.

use std::fmt::Write;

use fairway_shared::ipc::message::{PROTOCOL_VERSION, ToControl};

use crate::publish::view::{Carrier, Subscriber};

/// Who the worker is, or the one line it is refused with.
pub(super) fn judge(first: ToControl, our_schema: &[u8; 32]) -> Result<Subscriber, String> {
    let ToControl::Hello { protocol, schema, node, slot, serving: _ } = first else {
        return Err("the first frame is not hello".to_owned());
    };
    if protocol != PROTOCOL_VERSION {
        return Err(format!(
            "worker speaks protocol {protocol}, control {PROTOCOL_VERSION}: \
             run both from one build, or use gRPC"
        ));
    }
    if schema != *our_schema {
        return Err(format!(
            "worker has schema {}, control {}: run both from one build, or use gRPC",
            hex(&schema),
            hex(our_schema)
        ));
    }
    Ok(Subscriber { node, slot, carrier: Carrier::Unix })
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use fairway_shared::id::{SnapshotVersion, WorkerSlot};
    use fairway_shared::ipc::message::NodeIdentity;

    fn hello(protocol: u32, schema: [u8; 32]) -> ToControl {
        ToControl::Hello {
            protocol,
            schema,
            node: NodeIdentity::default(),
            slot: WorkerSlot(3),
            serving: SnapshotVersion(0),
        }
    }

    #[test]
    fn only_a_worker_of_this_build_is_welcome() {
        let ours = [0xab; 32];
        assert_eq!(judge(hello(PROTOCOL_VERSION, ours), &ours).unwrap().slot, WorkerSlot(3));
        for (first, parts) in [
            (hello(99, ours), ["protocol 99", "control 1"]),
            (hello(PROTOCOL_VERSION, [0xcd; 32]), ["schema cdcdcd", "control ababab"]),
            (ToControl::Ack { version: SnapshotVersion(1) }, ["first frame", "hello"]),
        ] {
            let reason = judge(first, &ours).unwrap_err();
            assert!(parts.iter().all(|part| reason.contains(part)), "{reason}");
        }
    }
}
