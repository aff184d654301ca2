//! Decoders and parsers of this crate under inputs that are almost right.

mod harness;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use bincode::{Decode, Encode};
use fairway_shared::ipc::codec;
use fairway_shared::ipc::message::{FromControl, FromWorker, ToControl, ToWorker, WorkerSettings};
use fairway_shared::matching::canonical_host;
use fairway_shared::path::canonical_path;
use fairway_shared::snapshot::Snapshot;
use fairway_shared::snapshot::settings::PathNormalization;
use fairway_shared::{duration, log_format};

fn seeds(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn frame<T: Encode>(message: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec::encode(message, &mut bytes).expect("a small message");
    bytes
}

/// What decodes takes no more than is there, and encodes to what decodes to the same.
fn check_frame<T: Encode + Decode<()>>(input: &[u8]) {
    if let Ok(Some((message, used))) = codec::decode::<T>(input) {
        assert!(used <= input.len());
        let again = frame(&message);
        let (message, used) = codec::decode::<T>(&again).expect("ours").expect("whole");
        assert_eq!((used, frame(&message)), (again.len(), again));
    }
}

#[test]
fn frames_between_processes() {
    let wanted = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 80);
    let seeds = [
        frame(&ToWorker::Configure(Box::default())),
        frame(&ToWorker::ListenerRefused { wanted, reason: "why".into() }),
        frame(&FromWorker::ListenerWanted { wanted }),
        frame(&FromWorker::ControlConnected(true)),
    ];
    harness::run("frames", &seeds, |input| {
        check_frame::<ToWorker>(input);
        check_frame::<FromWorker>(input);
        check_frame::<ToControl>(input);
        check_frame::<FromControl>(input);
    });
}

#[test]
fn snapshots_as_bytes() {
    let whole = |value: &dyn Fn() -> Vec<u8>| value();
    let seeds = [
        whole(&|| codec::encode_whole(&Snapshot::default()).expect("a snapshot")),
        whole(&|| codec::encode_whole(&WorkerSettings::default()).expect("settings")),
    ];
    harness::run("snapshots", &seeds, |input| {
        if let Ok(snapshot) = codec::decode_whole::<Snapshot>(input) {
            let _ = snapshot.check();
        }
    });
}

#[test]
fn paths() {
    let seeds = seeds(&[
        "/a/./b/../c",
        "/%2e%2e/%2f%5c/%41",
        "//a\\b/..;/%00",
        "/%zz%",
        "/a%2F..%2fb/.",
        "/\u{e4}/%c3%a4",
        "*",
    ]);
    let modes = [
        PathNormalization::None,
        PathNormalization::Base,
        PathNormalization::MergeSlashes,
        PathNormalization::DecodeAndMergeSlashes,
    ];
    harness::run("paths", &seeds, |input| {
        let Ok(raw) = std::str::from_utf8(input) else { return };
        for mode in modes {
            let Ok(once) = canonical_path(raw, mode) else { continue };
            assert_eq!(canonical_path(&once, mode).as_deref(), Ok(&*once), "{mode:?}");
            if mode != PathNormalization::None && raw.starts_with('/') {
                let is_dots = |segment: &str| segment == "." || segment == "..";
                assert!(!once.split('/').any(is_dots), "{mode:?}: {once}");
                assert!(once.starts_with('/') && !once.contains('\\'), "{mode:?}: {once}");
            }
        }
    });
}

#[test]
fn access_log_formats() {
    let seeds = seeds(&[
        "[%START_TIME(%Y-%m-%dT%H:%M:%S.%3fZ)%] \"%REQ(:METHOD)% %PROTOCOL%\" %%",
        "%REQ(X-A?X-B):10% %DURATION% %RESP(a)% %TRAILER(b)%",
        "%DYNAMIC_METADATA(a:b:c):3% %FILTER_STATE(x:PLAIN)%",
        "%ROUTE_NAME% %COMMON_DURATION(a:b:ms)%",
    ]);
    harness::run("access-log formats", &seeds, |input| {
        let Ok(text) = std::str::from_utf8(input) else { return };
        let _ = log_format::parse(text);
    });
}

#[test]
fn hosts_and_durations() {
    let seeds = seeds(&["A.b.:80", "[::1]:443", "a:b:c", "1h2m3.5s", "0", "-1ms", "1e9h"]);
    harness::run("hosts and durations", &seeds, |input| {
        let Ok(text) = std::str::from_utf8(input) else { return };
        let host = canonical_host(text);
        assert!(host.len() <= text.len());
        let _ = duration::parse(text);
    });
}
