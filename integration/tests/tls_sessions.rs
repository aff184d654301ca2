//! Sessions are resumed whichever worker a client meets, and never where another server, or
//! stricter demands, would be passed by.

use fairway_integration::certificates::Authority;
use fairway_integration::process;
use fairway_integration::tcp::{gateway, service, virtual_service};
use fairway_integration::tls::{TlsClient, TlsSetup, session};
use fairway_integration::upstream::Upstream;
use fairway_integration::wait;
use fairway_integration::world::{Setup, World};
use rustls::HandshakeKind;
use rustls::version::{TLS12, TLS13};

/// The binary under test.
const FAIRWAY: &str = env!("CARGO_BIN_EXE_fairway-tested");
/// Enough that each of two workers has some.
const CONNECTIONS: usize = 24;

fn server(name: &str, mode: &str) -> String {
    format!(
        "{{port: {{number: 443, name: {name}, protocol: HTTPS}}, hosts: [{name}.shop.example], \
         tls: {{mode: {mode}, credentialName: all}}}}"
    )
}

/// Servers `one`, `two` and `strict` with one certificate.
async fn start(authority: &Authority, upstream: &Upstream, strictness: &str) -> World {
    let pair = authority.issue(&["*.shop.example"], 1);
    let servers =
        [server("one", "SIMPLE"), server("two", "SIMPLE"), server("strict", strictness)].join(", ");
    let setup = Setup::new(FAIRWAY)
        .file("gateway.yaml", gateway("gw", &format!("[{servers}]")))
        .file(
            "routes.yaml",
            virtual_service("all", "gw", "http: [{route: [{destination: {host: web}}]}]"),
        )
        .file("service.yaml", service("web", 80, &[upstream.address()]))
        .file("secret.yaml", pair.secret_with("all", &[("ca.crt", &authority.pem)]))
        .workers(2)
        .flags("--port-map 443:0");
    World::start(setup).await
}

async fn kind(client: &TlsClient, world: &mut World, host: &str) -> Option<HandshakeKind> {
    let address = world.listener(443).await;
    // The answer read, so that tickets have come.
    client.ask(address, host, host).await.ok().map(|answer| answer.session.kind)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_worker_resumes_what_another_has_begun() {
    let (authority, upstream) = (Authority::new("all"), Upstream::start("web").await);
    let mut world = start(&authority, &upstream, "MUTUAL").await;
    let address = world.listener(443).await;
    let instance = world.instance().expect("it is ready");
    for version in [&TLS12, &TLS13] {
        let trusts = [&authority];
        let client = TlsSetup { versions: &[version], ..TlsSetup::trusting(&trusts) }.client();
        let first = kind(&client, &mut world, "one.shop.example").await;
        assert_eq!(first, Some(HandshakeKind::Full));
        let mut open = Vec::new();
        for turn in 0..CONNECTIONS {
            let found = kind(&client, &mut world, "one.shop.example").await;
            assert_eq!(found, Some(HandshakeKind::Resumed), "{version:?}, turn {turn}");
            let stream = client.connect(address, "one.shop.example").await.expect("a handshake");
            let session = session(&stream).expect("it is done");
            assert_eq!(session.kind, HandshakeKind::Resumed, "{version:?}, turn {turn}");
            open.push(stream);
        }
        let pids: Vec<u32> = instance.workers.iter().filter_map(|worker| worker.pid).collect();
        let served = [pids[0], pids[1]].map(|pid| process::client_ports(pid, address.port()).len());
        assert!(!served.contains(&0), "each worker has some: {served:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_of_one_server_is_none_at_another() {
    let (authority, upstream) = (Authority::new("all"), Upstream::start("web").await);
    let mut world = start(&authority, &upstream, "OPTIONAL_MUTUAL").await;
    let address = world.listener(443).await;
    for version in [&TLS12, &TLS13] {
        // The client asks for `two` and `strict` with the session that it has from `one`: the same
        // name goes into the hello of neither, so the ticket is offered by hand.
        let trusts = [&authority];
        let client = TlsSetup { versions: &[version], ..TlsSetup::trusting(&trusts) }.client();
        for host in ["two.shop.example", "strict.shop.example"] {
            client.ask(address, "one.shop.example", "one.shop.example").await.expect("an answer");
            let moved = client.with_sessions_of("one.shop.example", host);
            let answer = moved.ask(address, host, host).await.expect("an answer");
            assert_eq!(answer.session.kind, HandshakeKind::Full, "{host}, {version:?}");
        }
        let moved = client.with_sessions_of("one.shop.example", "one.shop.example");
        client.ask(address, "one.shop.example", "one.shop.example").await.expect("an answer");
        let answer = moved.ask(address, "one.shop.example", "one.shop.example").await;
        assert_eq!(answer.expect("an answer").session.kind, HandshakeKind::Resumed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn demands_that_rise_end_the_sessions_from_before() {
    let (authority, upstream) = (Authority::new("all"), Upstream::start("web").await);
    let mut world = start(&authority, &upstream, "SIMPLE").await;
    let alice = authority.issue(&["alice.example"], 2);
    let trusts = [&authority];
    let stranger = TlsSetup::trusting(&trusts).client();
    let known = TlsSetup { shows: Some(&alice), ..TlsSetup::trusting(&trusts) }.client();
    for client in [&stranger, &known] {
        let kinds = [
            kind(client, &mut world, "strict.shop.example").await,
            kind(client, &mut world, "strict.shop.example").await,
        ];
        assert_eq!(kinds, [Some(HandshakeKind::Full), Some(HandshakeKind::Resumed)]);
    }
    let servers = [server("one", "SIMPLE"), server("strict", "MUTUAL")].join(", ");
    world.write("gateway.yaml", &gateway("gw", &format!("[{servers}]")));
    wait::until("no stranger let in", async || {
        kind(&stranger, &mut world, "strict.shop.example").await.is_none().then_some(())
    })
    .await;
    let instance = world.when("the second snapshot", |i| i.workers.iter().all(|w| w.snapshot == 2));
    instance.await;
    for _ in 0..CONNECTIONS {
        assert_eq!(kind(&stranger, &mut world, "strict.shop.example").await, None);
    }
    let first = kind(&known, &mut world, "strict.shop.example").await;
    assert!(first.is_some(), "a certificate opens it");
}
