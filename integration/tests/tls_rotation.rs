//! Certificates rotate under load, and no connection, old or new, notices.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fairway_integration::certificates::{Authority, Pair};
use fairway_integration::client::{Http2, get};
use fairway_integration::tcp::{gateway, service, virtual_service};
use fairway_integration::tls::{TlsClient, TlsSetup, session};
use fairway_integration::upstream::Upstream;
use fairway_integration::wait;
use fairway_integration::world::{Setup, World};
use http::Request;
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;

/// The binary under test.
const FAIRWAY: &str = env!("CARGO_BIN_EXE_fairway-tested");
const HOST: &str = "shop.example";
/// Between two certificates.
const EVERY: Duration = Duration::from_millis(100);
/// How many there are.
const CERTIFICATES: u64 = 100;
/// Certificates that clients must have seen: control gathers changes for 100 ms of quiet, and at
/// most `--debounce-max`, so that not each of them is published.
const SEEN_MIN: usize = 20;

/// What clients went through.
#[derive(Debug, Default)]
struct Tally {
    fresh: AtomicU64,
    kept: AtomicU64,
    seen: Mutex<BTreeSet<Vec<u8>>>,
    failures: Mutex<Vec<String>>,
}

impl Tally {
    fn failed(&self, what: &str, error: impl std::fmt::Display) {
        self.failures.lock().expect("no panic").push(format!("{what}: {error}"));
    }
}

async fn start(upstream: &Upstream, first: &Pair) -> World {
    let server = "[{port: {number: 443, name: shop, protocol: HTTPS}, hosts: [shop.example], \
                  tls: {mode: SIMPLE, credentialName: shop}}]";
    let setup = Setup::new(FAIRWAY)
        .file("gateway.yaml", gateway("gw", server))
        .file(
            "routes.yaml",
            virtual_service("all", "gw", "http: [{route: [{destination: {host: web}}]}]"),
        )
        .file("service.yaml", service("web", 80, &[upstream.address()]))
        .file("secret.yaml", first.secret("shop"))
        .workers(2)
        .flags("--port-map 443:0 --debounce-after 10ms --debounce-max 100ms --quiet");
    World::start(setup).await
}

/// New connections, one after the other, until told to stop.
async fn connect_anew(
    client: TlsClient,
    address: std::net::SocketAddr,
    tally: Arc<Tally>,
    stop: Arc<AtomicBool>,
) {
    while !stop.load(Ordering::Relaxed) {
        match client.ask(address, HOST, HOST).await {
            Ok(answer) if answer.status == 200 => {
                tally.fresh.fetch_add(1, Ordering::Relaxed);
                let certificate = answer.session.certificate.to_vec();
                tally.seen.lock().expect("no panic").insert(certificate);
            }
            Ok(answer) => tally.failed("new connection", answer.text),
            Err(error) => tally.failed("new connection", error),
        }
    }
}

/// One HTTP/1.1 connection for the whole time.
async fn keep_http1(
    client: TlsClient,
    address: std::net::SocketAddr,
    tally: Arc<Tally>,
    stop: Arc<AtomicBool>,
) {
    let stream = client.connect(address, HOST).await.expect("a handshake");
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.expect("an HTTP/1.1 connection");
    tokio::spawn(connection);
    while !stop.load(Ordering::Relaxed) {
        let answer = async {
            sender.ready().await?;
            sender.send_request(get(HOST, "/")).await
        };
        match answer.await {
            Ok(response) if response.status() == 200 => {
                tally.kept.fetch_add(1, Ordering::Relaxed);
            }
            Ok(response) => tally.failed("kept connection", response.status()),
            Err(error) => return tally.failed("kept connection", error),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// One HTTP/2 connection for the whole time. Its client panics if anything goes wrong.
async fn keep_http2(
    client: TlsClient,
    address: std::net::SocketAddr,
    tally: Arc<Tally>,
    stop: Arc<AtomicBool>,
) {
    let stream = client.connect(address, HOST).await.expect("a handshake");
    assert_eq!(session(&stream).expect("it is done").alpn, "h2");
    let mut connection = Http2::over(stream).await;
    while !stop.load(Ordering::Relaxed) {
        let uri = format!("https://{HOST}/");
        let request = Request::get(uri).body(Full::<bytes::Bytes>::default());
        connection.send(request.expect("a request")).await.expect_status(200);
        tally.kept.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_rotated_ten_times_a_second_loses_nothing() {
    let upstream = Upstream::start("web").await;
    let authority = Authority::new("servers");
    let certificates: Vec<Pair> =
        (1..=CERTIFICATES).map(|serial| authority.issue(&[HOST], serial)).collect();
    let mut world = start(&upstream, &certificates[0]).await;
    let address = world.listener(443).await;
    let (tally, stop) = (Arc::<Tally>::default(), Arc::<AtomicBool>::default());
    let trusts = [&authority];
    let http1 = || TlsSetup::trusting(&trusts).client();
    let http2 = || TlsSetup { alpn: &["h2"], ..TlsSetup::trusting(&trusts) }.client();
    let mut load = JoinSet::new();
    for _ in 0..3 {
        // Clients without sessions: each sees the certificate of its time.
        let client = http1().without_resumption();
        load.spawn(connect_anew(client, address, Arc::clone(&tally), Arc::clone(&stop)));
        load.spawn(keep_http1(http1(), address, Arc::clone(&tally), Arc::clone(&stop)));
        load.spawn(keep_http2(http2(), address, Arc::clone(&tally), Arc::clone(&stop)));
    }
    load.spawn(connect_anew(http1(), address, Arc::clone(&tally), Arc::clone(&stop)));
    let begun = Instant::now();
    for (number, certificate) in (0_u32..).zip(&certificates) {
        world.write("secret.yaml", &certificate.secret("shop"));
        let rest = (EVERY * (number + 1)).saturating_sub(begun.elapsed());
        tokio::time::sleep(rest).await;
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = load.join_next().await {
        ended.expect("no client panics");
    }
    let failures = tally.failures.lock().expect("no panic");
    assert!(failures.is_empty(), "{} failures, such as {:?}", failures.len(), failures.first());
    let (fresh, kept) = (tally.fresh.load(Ordering::Relaxed), tally.kept.load(Ordering::Relaxed));
    let seen = tally.seen.lock().expect("no panic").len();
    println!("{fresh} new connections, {kept} requests on kept ones, {seen} certificates seen");
    assert!(seen >= SEEN_MIN, "{seen} certificates seen by {fresh} new connections");
    assert!(kept > 500, "{kept} requests on kept connections");
}

/// A version of a mounted Secret, as kubelet writes it: a directory that a link points to.
fn mount(root: &Path, version: &str, pair: &Pair) {
    let directory = root.join(version);
    fs::create_dir(&directory).expect("a directory of its own");
    fs::write(directory.join("tls.crt"), &pair.certificate).expect("a file of its own");
    fs::write(directory.join("tls.key"), &pair.private_key).expect("a file of its own");
    symlink(version, root.join("..new")).expect("a link of its own");
    fs::rename(root.join("..new"), root.join("..data")).expect("the link is swapped");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mounted_certificate_is_served_anew_when_the_mount_changes() {
    let upstream = Upstream::start("web").await;
    let authority = Authority::new("servers");
    let root = tempfile::tempdir().expect("a temporary directory");
    mount(root.path(), "..1", &authority.issue(&[HOST], 1));
    for name in ["tls.crt", "tls.key"] {
        symlink(format!("..data/{name}"), root.path().join(name)).expect("a link of its own");
    }
    let at = root.path().display();
    let server = format!(
        "[{{port: {{number: 443, name: shop, protocol: HTTPS}}, hosts: [{HOST}], tls: \
         {{mode: SIMPLE, serverCertificate: {at}/tls.crt, privateKey: {at}/tls.key}}}}]"
    );
    let setup = Setup::new(FAIRWAY)
        .file("gateway.yaml", gateway("gw", &server))
        .file(
            "routes.yaml",
            virtual_service("all", "gw", "http: [{route: [{destination: {host: web}}]}]"),
        )
        .file("service.yaml", service("web", 80, &[upstream.address()]))
        .workers(1)
        .flags("--port-map 443:0");
    let mut world = World::start(setup).await;
    let address = world.listener(443).await;
    let client = TlsSetup::trusting(&[&authority]).client().without_resumption();
    let shown = async || {
        let answer = client.ask(address, HOST, HOST).await.expect("an answer all along");
        answer.session.certificate
    };
    let first = shown().await;
    mount(root.path(), "..2", &authority.issue(&[HOST], 2));
    let second = wait::until("the next certificate", async || {
        Some(shown().await).filter(|certificate| *certificate != first)
    })
    .await;
    let broken = Pair { private_key: "no key".into(), ..authority.issue(&[HOST], 3) };
    mount(root.path(), "..3", &broken);
    world.logged("TLS of https.443.shop.gw.shop: file").await;
    assert_eq!(shown().await, second, "the last good pair serves on");
    let version = world.instance().expect("it is ready").snapshot.version;
    assert_eq!(version, 1, "none of this needs a snapshot");
}
