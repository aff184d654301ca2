//! Behind a load balancer that says who its clients are, upstreams hear of the clients, and
//! whoever does not say so is not served.

use fairway_integration::mesh::{Mesh, Serving};
use fairway_integration::tcp::{Script, TcpBackend, service, tcp_port};
use fairway_integration::upstream::Upstream;
use fairway_integration::wait;
use fairway_integration::world::{Setup, World};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The binary under test.
const FAIRWAY: &str = env!("CARGO_BIN_EXE_fairway-tested");

/// MeshConfig that makes every listener expect a header.
const BEHIND_PROXY: &str = "\
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |
    defaultConfig:
      gatewayTopology: {proxyProtocol: {}}
";

/// Version 2, TCP over IPv4, 203.0.113.7:40000 to 198.51.100.1:443.
const VERSION_2: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x07\xc6\x33\x64\x01\x9c\x40\x01\xbb";
const VERSION_1: &[u8] = b"PROXY TCP4 203.0.113.7 198.51.100.1 40000 443\r\n";
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: a.example\r\nconnection: close\r\n\r\n";

async fn start(upstream: &Upstream) -> Serving {
    Mesh::default()
        .service("web", "http", &[upstream.address()])
        .host_to("a.example", "web", "")
        .object(BEHIND_PROXY)
        .start(FAIRWAY)
        .await
}

/// What comes back until the gateway closes.
async fn exchange(serving: &Serving, parts: &[&[u8]]) -> String {
    let mut stream = TcpStream::connect(serving.address).await.expect("the gateway accepts");
    for part in parts {
        // Closed by what came before, perhaps.
        if stream.write_all(part).await.is_err() {
            break;
        }
    }
    let mut answer = Vec::new();
    let reading = tokio::time::timeout(wait::PATIENCE, stream.read_to_end(&mut answer));
    // Closed on unread bytes it is a reset, and an end all the same.
    let _ = reading.await.expect("the gateway closes in time");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_address_in_the_header_is_the_one_that_upstreams_hear_of() {
    let upstream = Upstream::start("web").await;
    let serving = start(&upstream).await;
    for header in [VERSION_1, VERSION_2] {
        let answer = exchange(&serving, &[header, REQUEST]).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert_eq!(upstream.last().header("x-forwarded-for"), "203.0.113.7");
    }
    let pieces = [&VERSION_1[..9], &VERSION_1[9..], REQUEST];
    assert!(exchange(&serving, &pieces).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_header_nothing_is_served() {
    let upstream = Upstream::start("web").await;
    let serving = start(&upstream).await;
    assert_eq!(exchange(&serving, &[REQUEST]).await, "");
    assert_eq!(exchange(&serving, &[b"PROXY TCP4 nonsense\r\n", REQUEST]).await, "");
    assert_eq!(upstream.total(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opaque_bytes_begin_behind_the_header() {
    let backend = TcpBackend::start(Script::Echo("")).await;
    let objects = service("db", 5432, &[backend.address()])
        + &tcp_port(31400, "[{destination: {host: db}}]")
        + "---\n"
        + BEHIND_PROXY;
    let setup =
        Setup::new(FAIRWAY).file("tcp.yaml", objects).workers(1).flags("--port-map 31400:0");
    let mut world = World::start(setup).await;
    let address = world.listener(31400).await;
    let mut stream = TcpStream::connect(address).await.expect("the gateway accepts");
    stream.write_all(&[VERSION_2, b"hello"].concat()).await.expect("room");
    stream.shutdown().await.expect("a living connection");
    let mut echo = String::new();
    stream.read_to_string(&mut echo).await.expect("an orderly end");
    assert_eq!(echo, "hello");
}
