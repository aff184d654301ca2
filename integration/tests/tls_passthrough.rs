//! TLS that does not end at the gateway: the server name in the client hello chooses the backend,
//! which shows its own certificate (Istio contract 2.11, 7).

use std::fs;
use std::net::SocketAddr;

use fairway_integration::certificates::Authority;
use fairway_integration::tcp::{gateway, service};
use fairway_integration::tls::{TlsBackend, TlsClient, TlsSetup};
use fairway_integration::wait;
use fairway_integration::world::{Setup, World};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The binary under test.
const FAIRWAY: &str = env!("CARGO_BIN_EXE_fairway-tested");

/// Connects for `server_name`, and hears the backend's name and an echo; `None` if refused.
async fn greet(client: &TlsClient, address: SocketAddr, server_name: &str) -> Option<String> {
    let mut stream = client.connect(address, server_name).await.ok()?;
    let mut name = [0; 2];
    stream.read_exact(&mut name).await.ok()?;
    stream.write_all(b"ping").await.ok()?;
    let mut echo = [0; 4];
    stream.read_exact(&mut echo).await.ok()?;
    assert_eq!(&echo, b"ping");
    Some(String::from_utf8_lossy(&name).into_owned())
}

fn tls_routes(rules: &str) -> String {
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\n\
         metadata: {{name: secure, namespace: shop}}\n\
         spec: {{hosts: [\"*.shop.example\"], gateways: [gw], tls: [{rules}]}}\n"
    )
}

fn to(names: &str, host: &str) -> String {
    format!("{{match: [{{sniHosts: [{names}]}}], route: [{{destination: {{host: {host}}}}}]}}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_name_chooses_the_backend_and_its_tls_stays_whole() {
    let authority = Authority::new("backends");
    let (exact, wild) = (
        TlsBackend::start("ex", &authority.issue(&["a.shop.example"], 1)).await,
        TlsBackend::start("wi", &authority.issue(&["*.shop.example", "*.x.shop.example"], 2)).await,
    );
    let server = "[{port: {number: 443, name: tls, protocol: TLS}, hosts: [\"*.shop.example\"], \
                  tls: {mode: PASSTHROUGH}}]";
    let rules = to("a.shop.example", "exact") + ", " + &to("\"*.shop.example\"", "wild");
    let setup = Setup::new(FAIRWAY)
        .file("gateway.yaml", gateway("gw", server))
        .file("routes.yaml", tls_routes(&rules))
        .file("exact.yaml", service("exact", 443, &[exact.address()]))
        .file("wild.yaml", service("wild", 443, &[wild.address()]))
        .workers(1)
        .flags("--port-map 443:0");
    let mut world = World::start(setup).await;
    let address = world.listener(443).await;
    let client = TlsSetup::trusting(&[&authority]).client();
    for (name, expected) in [
        ("a.shop.example", Some("ex")),
        ("A.Shop.Example", Some("ex")),
        ("b.shop.example", Some("wi")),
        ("b.x.shop.example", Some("wi")),
        ("shop.example", None),
        ("a.other.example", None),
        ("127.0.0.1", None),
    ] {
        assert_eq!(greet(&client, address, name).await.as_deref(), expected, "{name}");
    }
    counted(&world, "no_chain", 3).await;
    counted(&world, "success", 4).await;
}

/// Waits until that many connections have ended their handshake, or been handed on, so.
async fn counted(world: &World, outcome: &str, count: u64) {
    let end = format!("outcome=\"{outcome}\"}} {count}");
    wait::until(&end, async || {
        let metrics = world.metrics().await;
        let mut lines = metrics.lines().filter(|l| l.starts_with("fairway_tls_handshakes_total"));
        lines.any(|line| line.ends_with(&end)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_client_hello_is_refused() {
    let server = "[{port: {number: 443, name: tls, protocol: TLS}, hosts: [\"*\"], \
                  tls: {mode: PASSTHROUGH}}]";
    let authority = Authority::new("backends");
    let backend = TlsBackend::start("ex", &authority.issue(&["a.shop.example"], 1)).await;
    let setup = Setup::new(FAIRWAY)
        .file("gateway.yaml", gateway("gw", server))
        .file("routes.yaml", tls_routes(&to("a.shop.example", "db")))
        .file("service.yaml", service("db", 443, &[backend.address()]))
        .workers(1)
        .flags("--port-map 443:0");
    let mut world = World::start(setup).await;
    let address = world.listener(443).await;
    for bytes in
        [&b"GET / HTTP/1.1\r\nhost: a.shop.example\r\n\r\n"[..], &[22, 3, 1, 0, 0], &[0; 600]]
    {
        let mut stream = TcpStream::connect(address).await.expect("the gateway accepts");
        stream.write_all(bytes).await.expect("room");
        let mut answer = Vec::new();
        // A reset is an end too.
        let ended = tokio::time::timeout(wait::PATIENCE, stream.read_to_end(&mut answer)).await;
        assert!(ended.is_ok(), "{bytes:?} is waited for");
        assert!(answer.is_empty() || answer[0] == 21, "no alert: {answer:?}");
    }
    let client = TlsSetup::trusting(&[&authority]).client();
    assert_eq!(greet(&client, address, "a.shop.example").await.as_deref(), Some("ex"));
}

/// A Service with a subset for each version of its pods.
fn versioned(backends: &[(&str, SocketAddr)]) -> String {
    let mut text = service("db", 5432, &[]);
    for (version, address) in backends {
        let (ip, port) = (address.ip(), address.port());
        text += &format!(
            "---\napiVersion: v1\nkind: Pod\n\
             metadata: {{name: db-{version}, namespace: shop, labels: {{version: {version}}}}}\n\
             status: {{podIP: {ip}}}\n\
             ---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
             metadata: {{name: db-{version}, namespace: shop, labels: \
             {{kubernetes.io/service-name: db}}}}\naddressType: IPv4\n\
             endpoints: [{{addresses: [{ip}], targetRef: {{kind: Pod, name: db-{version}, \
             namespace: shop}}}}]\nports: [{{name: tcp, port: {port}, protocol: TCP}}]\n"
        );
    }
    text + "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\n\
            metadata: {name: db, namespace: shop}\nspec:\n  host: db\n  subsets:\n  \
            - {name: v1, labels: {version: v1}}\n  - {name: v2, labels: {version: v2}}\n"
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_name_may_spell_port_subset_and_host() {
    let authority = Authority::new("backends");
    let name = |subset: &str| format!("outbound_.5432_.{subset}_.db.shop.svc.cluster.local");
    let names = [name("v1"), name("v2"), name("")];
    let pair = authority.issue(&names.each_ref().map(String::as_str), 1);
    let (v1, v2) = (TlsBackend::start("v1", &pair).await, TlsBackend::start("v2", &pair).await);
    let server = "[{port: {number: 15443, name: tls, protocol: TLS}, hosts: [\"*.local\"], \
                  tls: {mode: AUTO_PASSTHROUGH}}]";
    let log = tempfile::NamedTempFile::new().expect("a temporary file");
    let setup = Setup::new(FAIRWAY)
        .file("gateway.yaml", gateway("gw", server))
        .file("service.yaml", versioned(&[("v1", v1.address()), ("v2", v2.address())]))
        .workers(1)
        .flags(&format!("--port-map 15443:0 --access-log {}", log.path().display()));
    let mut world = World::start(setup).await;
    let address = world.listener(15443).await;
    let client = TlsSetup::trusting(&[&authority]).client();
    for (name, expected) in [
        (name("v1"), Some("v1")),
        (name("v2"), Some("v2")),
        (name("V2").to_uppercase(), Some("v2")),
        (name("v3"), None),
        ("outbound_.80_.v1_.db.shop.svc.cluster.local".to_owned(), None),
        ("outbound_.5432_.v1_.web.shop.svc.cluster.local".to_owned(), None),
        ("db.shop.svc.cluster.local".to_owned(), None),
        ("a.shop.example".to_owned(), None),
    ] {
        assert_eq!(greet(&client, address, &name).await.as_deref(), expected, "{name}");
    }
    let either = greet(&client, address, &name("")).await;
    assert!(["v1", "v2"].map(Some).contains(&either.as_deref()), "{either:?}");
    counted(&world, "no_chain", 5).await;
    counted(&world, "success", 4).await;
    wait::until("a line for each that was refused", async || {
        let lines = fs::read_to_string(log.path()).ok()?;
        let refused = |name: &&str| {
            let is_its =
                |line: &str| line.contains(name) && line.contains("filter_chain_not_found");
            lines.lines().any(|line| is_its(line) && line.contains(" NR "))
        };
        // The first is outside of the chain's names, the second within them.
        let names = ["a.shop.example", "outbound_.5432_.v3_.db.shop.svc.cluster.local"];
        names.iter().all(refused).then_some(())
    })
    .await;
}
