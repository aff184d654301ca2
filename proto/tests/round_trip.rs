//! Whatever control holds arrives as it is; whatever else arrives is refused with the field named.

mod strategies;

use fairway_proto::from_wire::{self, Problem, UpdateError};
use fairway_proto::to_wire::{delta_update, snapshot as to_wire_snapshot, whole_update};
use fairway_proto::wire::{self, SnapshotUpdate, listener, route};
use fairway_shared::id::SnapshotVersion;
use fairway_shared::snapshot::Snapshot;
use proptest::prelude::*;
use prost::Message;
use strategies::snapshot;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_snapshot_comes_back_as_it_was(sent in snapshot()) {
        let bytes = whole_update(&sent).encode_to_vec();
        let update = SnapshotUpdate::decode(&bytes[..]).unwrap();
        prop_assert_eq!(from_wire::update(update, None), Ok(sent.clone()));
        let whole = to_wire_snapshot(&sent, 7);
        prop_assert_eq!(whole.published_at_unix_ms, 7);
        let mut shown = sent;
        for secret in shown.secrets.values_mut() {
            std::sync::Arc::make_mut(secret).private_key.clear();
        }
        prop_assert_eq!(from_wire::snapshot(whole), Ok(shown));
    }

    #[test]
    fn a_delta_leads_from_its_base_to_the_snapshot(base in snapshot(), sent in snapshot()) {
        let update = delta_update(&base, &sent);
        prop_assert_eq!(from_wire::update(update.clone(), Some(&base)), Ok(sent));
        let is_refused = from_wire::update(update, None).is_err();
        prop_assert!(is_refused);
    }

    #[test]
    fn what_did_not_change_is_not_sent(same in snapshot()) {
        let update = delta_update(&same, &same);
        let expected = SnapshotUpdate {
            version: same.version.0,
            base_version: same.version.0,
            ..Default::default()
        };
        prop_assert_eq!(update, expected);
    }

    /// Bytes that differ from a good update in few places get furthest into the checks.
    #[test]
    fn no_bytes_make_the_reader_panic(
        sent in snapshot(),
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
    ) {
        let mut bytes = whole_update(&sent).encode_to_vec();
        for (place, byte) in edits {
            *place.get_mut(&mut bytes) = byte;
        }
        if let Ok(update) = SnapshotUpdate::decode(&bytes[..]) {
            let _ = from_wire::update(update, Some(&sent));
        }
    }
}

/// A good update with one of everything that the cases below spoil.
fn good() -> SnapshotUpdate {
    let service = wire::ServicePort { host: "user".into(), port: 80 };
    let id = wire::ClusterId { service: Some(service.clone()), subset: String::new() };
    let destination =
        wire::Destination { cluster: Some(id.clone()), weight: 1, ..Default::default() };
    let forward = wire::Forward { destinations: vec![destination], ..Default::default() };
    let route = wire::Route { action: Some(route::Action::Forward(forward)), ..Default::default() };
    let host = wire::VirtualHost { domain: "a".into(), routes: vec![route], https_redirect: false };
    let table = wire::RouteTable { id: "http.80".into(), virtual_hosts: vec![host] };
    let http = wire::HttpListener { route_table: "http.80".into() };
    let listener = wire::Listener {
        id: "0.0.0.0_80".into(),
        port: 80,
        kind: Some(listener::Kind::Http(http)),
        ..Default::default()
    };
    let https = wire::Listener {
        id: "0.0.0.0_443".into(),
        port: 443,
        kind: Some(listener::Kind::Tls(wire::TlsListener { chains: vec![tls_chain()] })),
        ..Default::default()
    };
    let cluster = wire::Cluster { id: Some(id), balancer: 1, protocol: 1, ..Default::default() };
    let endpoint =
        wire::Endpoint { address: "10.0.0.1:80".into(), weight: 1, ..Default::default() };
    let set = wire::EndpointSet {
        service: Some(service),
        endpoints: vec![endpoint],
        ..Default::default()
    };
    SnapshotUpdate {
        version: 2,
        listeners: vec![listener, https],
        secrets: vec![wire::Secret { name: "shop".into(), ..Default::default() }],
        route_tables: vec![table],
        clusters: vec![cluster],
        endpoint_sets: vec![set],
        ..Default::default()
    }
}

fn tls_chain() -> wire::TlsChain {
    let source = Some(wire::certificate_source::Source::Secret("shop".into()));
    let tls = wire::ServerTls {
        certificates: vec![wire::CertificateSource { source }],
        version_min: 1,
        version_max: 2,
        ..Default::default()
    };
    let http = wire::TerminatedHttp { tls: Some(tls), route_table: "https".into() };
    wire::TlsChain {
        server_names: vec!["a".into()],
        action: Some(wire::tls_chain::Action::Http(http)),
        ..Default::default()
    }
}

/// The chain of the second listener of [`good`].
fn http_chain(update: &mut SnapshotUpdate) -> &mut wire::TerminatedHttp {
    let Some(listener::Kind::Tls(tls)) = &mut update.listeners[1].kind else { panic!("no TLS") };
    let Some(wire::tls_chain::Action::Http(http)) = &mut tls.chains[0].action else {
        panic!("not HTTP")
    };
    http
}

fn trust() -> wire::TrustSource {
    wire::TrustSource { source: Some(wire::trust_source::Source::WellKnown(1)) }
}

#[test]
fn a_private_key_is_never_printed() {
    let secret =
        wire::Secret { name: "shop".into(), private_key: b"hush".to_vec(), ..Default::default() };
    let printed = format!("{secret:?}");
    assert!(printed.contains("shop") && !printed.contains("104"), "{printed}");
}

fn spoilt_route(spoil: impl FnOnce(&mut wire::Route)) -> SnapshotUpdate {
    let mut update = good();
    spoil(&mut update.route_tables[0].virtual_hosts[0].routes[0]);
    update
}

fn check(update: SnapshotUpdate, path: &str, problem: Problem) {
    match from_wire::update(update, None) {
        Err(UpdateError::Field(error)) => {
            assert_eq!((error.path.as_str(), error.problem), (path, problem));
        }
        other => panic!("wants {path} refused: {other:?}"),
    }
}

const ROUTE: &str = "route_tables[0].virtual_hosts[0].routes[0]";

#[test]
fn a_bad_field_is_named_by_its_path() {
    assert!(from_wire::update(good(), None).is_ok());
    let spoilt = |spoil: fn(&mut SnapshotUpdate)| {
        let mut update = good();
        spoil(&mut update);
        update
    };
    let range = |value, min, max| Problem::OutOfRange { value, min, max };
    type Case = (fn(&mut SnapshotUpdate), &'static str, Problem);
    let cases: [Case; 15] = [
        (|u| u.version = 0, "version", range(0, 1, u64::MAX)),
        (|u| u.listeners[0].id.clear(), "listeners[0].id", Problem::Missing),
        (|u| u.listeners[0].kind = None, "listeners[0].kind", Problem::Missing),
        (|u| u.listeners[0].port = 65536, "listeners[0].port", range(65536, 0, 65535)),
        (
            |u| u.listeners[0].bind = "here".into(),
            "listeners[0].bind",
            Problem::NotAnAddress { text: "here".into() },
        ),
        (|u| u.secrets[0].name.clear(), "secrets[0].name", Problem::Missing),
        (
            |u| http_chain(u).tls.as_mut().unwrap().certificates.clear(),
            "listeners[1].tls.chains[0].http.tls.certificates",
            Problem::Missing,
        ),
        (
            |u| http_chain(u).tls.as_mut().unwrap().version_min = 9,
            "listeners[1].tls.chains[0].http.tls.version_min",
            Problem::Unknown { value: 9 },
        ),
        (
            |u| {
                let client = wire::ClientCertificate {
                    trust: Some(trust()),
                    spki_sha256: vec![vec![0; 31]],
                    ..Default::default()
                };
                http_chain(u).tls.as_mut().unwrap().client = Some(client);
            },
            "listeners[1].tls.chains[0].http.tls.client.spki_sha256[0]",
            range(31, 32, 32),
        ),
        (|u| u.clusters[0].balancer = 99, "clusters[0].balancer", Problem::Unknown { value: 99 }),
        (|u| u.clusters[0].protocol = 0, "clusters[0].protocol", Problem::Unknown { value: 0 }),
        (
            |u| u.clusters.push(u.clusters[0].clone()),
            "clusters[1]",
            Problem::Duplicate { key: "outbound|80||user".into() },
        ),
        (
            |u| u.endpoint_sets[0].endpoints[0].weight = 0,
            "endpoint_sets[0].endpoints[0].weight",
            range(0, 1, u32::MAX.into()),
        ),
        (
            |u| u.removed_listeners.push("x".into()),
            "removed_listeners[0]",
            Problem::NotInBase { key: "x".into() },
        ),
        (
            |u| {
                let twin = u.route_tables[0].virtual_hosts[0].clone();
                u.route_tables[0].virtual_hosts.push(twin);
            },
            "route_tables[0].virtual_hosts[1].domain",
            Problem::Duplicate { key: "a".into() },
        ),
    ];
    for (spoil, path, problem) in cases {
        check(spoilt(spoil), path, problem);
    }
}

#[test]
fn a_bad_action_is_named_by_its_path() {
    let with = |action| spoilt_route(|route| route.action = action);
    let at = |rest: &str| format!("{ROUTE}.{rest}");
    check(with(None), &at("action"), Problem::Missing);
    let nowhere = route::Action::Forward(wire::Forward::default());
    check(with(Some(nowhere)), &at("forward.destinations"), Problem::Missing);
    let direct = wire::DirectResponse { status: 199, body: Vec::new() };
    let problem = Problem::OutOfRange { value: 199, min: 200, max: 599 };
    check(with(Some(route::Action::Direct(direct))), &at("direct.status"), problem);
    let redirect = wire::Redirect { status: 304, ..Default::default() };
    check(
        with(Some(route::Action::Redirect(redirect))),
        &at("redirect.status"),
        Problem::Forbidden,
    );
    let delay = Some(wire::FaultDelay { delay_ms: 1, share_ppm: 1_000_001 });
    let faulty =
        spoilt_route(|route| route.fault = Some(wire::Fault { delay, ..Default::default() }));
    let problem = Problem::OutOfRange { value: 1_000_001, min: 0, max: 1_000_000 };
    check(faulty, &at("fault.delay.share_ppm"), problem);
}

#[test]
fn a_bad_policy_is_named_by_its_path() {
    type Spoil = fn(&mut wire::Cluster);
    let missing = Problem::Missing;
    let range = |value, min, max| Problem::OutOfRange { value, min, max };
    let cases: [(Spoil, &str, Problem); 9] = [
        (
            |c| (c.balancer, c.ring_size_min) = (4, 9_000_000),
            "ring_size_min",
            range(9_000_000, 1, 8_388_608),
        ),
        (
            |c| (c.balancer, c.maglev_table_size) = (5, 65_536),
            "maglev_table_size",
            Problem::Forbidden,
        ),
        (|c| c.panic_threshold_pct = 101, "panic_threshold_pct", range(101, 0, 100)),
        (|c| c.locality = Some(Default::default()), "locality.policy", missing.clone()),
        (|c| c.warmup = Some(Default::default()), "warmup.duration_ms", range(0, 1, u64::MAX)),
        (
            |c| {
                let outlier = wire::OutlierPolicy {
                    interval_ms: 1,
                    base_ejection_ms: 1,
                    error_statuses: vec![500, 600],
                    ..Default::default()
                };
                c.outlier = Some(outlier);
            },
            "outlier.error_statuses[1]",
            range(600, 100, 599),
        ),
        (|c| c.tls = Some(Default::default()), "tls.trust", missing.clone()),
        (
            |c| {
                let source = Some(wire::trust_source::Source::Secret(String::new()));
                let trust = Some(wire::TrustSource { source });
                c.tls = Some(wire::UpstreamTls { trust, ..Default::default() });
            },
            "tls.trust.secret",
            missing,
        ),
        (|c| c.proxy_protocol = 3, "proxy_protocol", Problem::Unknown { value: 3 }),
    ];
    for (spoil, path, problem) in cases {
        let mut update = good();
        spoil(&mut update.clusters[0]);
        check(update, &format!("clusters[0].{path}"), problem);
    }
}

#[test]
fn a_delta_on_another_base_is_refused() {
    let delta = SnapshotUpdate { base_version: 5, ..good() };
    let base = Snapshot { version: SnapshotVersion(4), ..Snapshot::default() };
    let refused =
        |held| UpdateError::OtherBase { base: SnapshotVersion(5), held: SnapshotVersion(held) };
    assert_eq!(from_wire::update(delta.clone(), Some(&base)), Err(refused(4)));
    assert_eq!(from_wire::update(delta, None), Err(refused(0)));
}
