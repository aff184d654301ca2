//! Opaque bytes reach their endpoints whole, in both directions and at the pace of the slower
//! side, and end when they should.

use std::time::{Duration, Instant};

use fairway_integration::client::get_once;
use fairway_integration::scripted::Refusing;
use fairway_integration::tcp::{Script, TcpBackend, service, tcp_port};
use fairway_integration::wait;
use fairway_integration::world::{Setup, World};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The binary under test.
const FAIRWAY: &str = env!("CARGO_BIN_EXE_fairway-tested");

/// One worker with the reference's TCP port on a free one.
async fn start(objects: String) -> (World, TcpStream) {
    let setup =
        Setup::new(FAIRWAY).file("tcp.yaml", objects).workers(1).flags("--port-map 31400:0");
    let mut world = World::start(setup).await;
    let client = connect(&mut world).await;
    (world, client)
}

async fn connect(world: &mut World) -> TcpStream {
    let address = world.listener(31400).await;
    TcpStream::connect(address).await.expect("the gateway accepts")
}

async fn hear_all(client: &mut TcpStream) -> String {
    let mut text = String::new();
    client.read_to_string(&mut text).await.expect("an orderly end");
    text
}

/// Says a byte and hears it back.
async fn ping(client: &mut TcpStream) {
    client.write_all(b"x").await.expect("a living connection");
    assert_eq!(client.read_u8().await.expect("an echo"), b'x');
}

/// Waits for the end of a connection, orderly or not.
async fn gone(client: &mut TcpStream) {
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(wait::PATIENCE, client.read_to_end(&mut rest));
    // A reset is an end too.
    let _ = ended.await.expect("the gateway ends the connection in time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_divided_by_weight() {
    let (a, b) =
        (TcpBackend::start(Script::Echo("a")).await, TcpBackend::start(Script::Echo("b")).await);
    let route = "[{destination: {host: a}, weight: 75}, {destination: {host: b}, weight: 25}]";
    let objects = service("a", 9000, &[a.address()])
        + &service("b", 9000, &[b.address()])
        + &tcp_port(31400, route);
    let (mut world, mut first) = start(objects).await;
    first.read_u8().await.expect("a name");
    for _ in 0..99 {
        let mut client = connect(&mut world).await;
        client.read_u8().await.expect("a name");
    }
    assert!(a.accepted().abs_diff(75) <= 2, "{} and {}", a.accepted(), b.accepted());
    assert_eq!(a.accepted() + b.accepted(), 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_has_said_all_hears_the_answer() {
    let backend = TcpBackend::start(Script::CountThenTell).await;
    let route = "[{destination: {host: db}}]";
    let (_world, mut client) =
        start(service("db", 5432, &[backend.address()]) + &tcp_port(31400, route)).await;
    client.write_all(&vec![7; 3_000_000]).await.expect("room, in time");
    client.shutdown().await.expect("a living connection");
    assert_eq!(hear_all(&mut client).await, "3000000");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_has_said_all_hears_the_rest() {
    let backend = TcpBackend::start(Script::CloseThenCount).await;
    let route = "[{destination: {host: db}}]";
    let (_world, mut client) =
        start(service("db", 5432, &[backend.address()]) + &tcp_port(31400, route)).await;
    assert_eq!(hear_all(&mut client).await, "");
    client.write_all(&vec![7; 1_000_000]).await.expect("room, in time");
    client.shutdown().await.expect("a living connection");
    wait::until("all heard", async || (backend.heard() == 1_000_000).then_some(())).await;
    wait::until("the end heard", async || (backend.ended() == 1).then_some(())).await;
}

/// More than all buffers on the way can hold, by far.
const FLOOD_BYTES: u64 = 128 * 1024 * 1024;
/// Generous for socket buffers (`tcp_wmem`, `tcp_rmem`) and one pipe.
const UNDER_WAY_BYTES_MAX: u64 = 48 * 1024 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_slows_its_writer_down_and_loses_nothing() {
    let backend = TcpBackend::start(Script::Flood(FLOOD_BYTES)).await;
    let route = "[{destination: {host: db}}]";
    let (_world, mut client) =
        start(service("db", 5432, &[backend.address()]) + &tcp_port(31400, route)).await;
    let (mut before, mut same) = (0, 0);
    wait::until("the writer stuck", async || {
        let said = backend.said();
        same = if said > 0 && said == before { same + 1 } else { 0 };
        before = said;
        (same == 30).then_some(())
    })
    .await;
    assert!(backend.said() < UNDER_WAY_BYTES_MAX, "{} bytes wait", backend.said());
    let (mut heard, mut buffer) = (0_u64, vec![0; 1024 * 1024]);
    loop {
        let count = client.read(&mut buffer).await.expect("an orderly end");
        if count == 0 {
            break;
        }
        let is_next = |(place, byte): (usize, &u8)| *byte == (heard + place as u64) as u8;
        assert!(buffer[..count].iter().enumerate().all(is_next), "changed after {heard} bytes");
        heard += count as u64;
    }
    assert_eq!(heard, backend.said());
    assert!(heard >= FLOOD_BYTES);
}

fn db_rule(pool: &str) -> String {
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\n\
         metadata: {{name: db, namespace: shop}}\n\
         spec: {{host: db, trafficPolicy: {{connectionPool: {{tcp: {pool}}}}}}}\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_connection_ends_and_a_talking_one_does_not() {
    let backend = TcpBackend::start(Script::Echo("")).await;
    let objects = service("db", 5432, &[backend.address()])
        + &db_rule("{idleTimeout: 700ms}")
        + &tcp_port(31400, "[{destination: {host: db}}]");
    let (mut world, mut silent) = start(objects).await;
    let mut talking = connect(&mut world).await;
    ping(&mut silent).await;
    let begun = Instant::now();
    let mut ended = tokio::spawn(async move { gone(&mut silent).await });
    while !ended.is_finished() {
        ping(&mut talking).await;
    }
    (&mut ended).await.expect("it ended");
    assert!(begun.elapsed() >= Duration::from_millis(650), "{:?}", begun.elapsed());
    ping(&mut talking).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_talking_connection_ends_at_its_longest_duration() {
    let backend = TcpBackend::start(Script::Echo("")).await;
    let objects = service("db", 5432, &[backend.address()])
        + &db_rule("{maxConnectionDuration: 700ms}")
        + &tcp_port(31400, "[{destination: {host: db}}]");
    let (_world, mut client) = start(objects).await;
    let begun = Instant::now();
    while client.write_all(b"x").await.is_ok() && client.read_u8().await.is_ok() {
        assert!(begun.elapsed() < wait::PATIENCE, "it never ends");
    }
    assert!(begun.elapsed() >= Duration::from_millis(650), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_refuses_is_passed_over() {
    let (dead, live) = (Refusing::new(), TcpBackend::start(Script::Echo("a")).await);
    let objects = service("db", 5432, &[dead.address(), live.address()])
        + &tcp_port(31400, "[{destination: {host: db}}]");
    let (mut world, mut first) = start(objects).await;
    assert_eq!(first.read_u8().await.expect("a name"), b'a');
    for _ in 0..20 {
        let mut client = connect(&mut world).await;
        assert_eq!(client.read_u8().await.expect("a name"), b'a');
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_nowhere_to_go_is_closed_and_counted() {
    let dead = Refusing::new();
    let objects = service("db", 5432, &[dead.address()])
        + &service("empty", 5432, &[])
        + &tcp_port(31400, "[{destination: {host: db}}]")
        + &tcp_port(31401, "[{destination: {host: empty}}]")
        + &tcp_port(31402, "[{destination: {host: unknown}}]");
    let setup = Setup::new(FAIRWAY)
        .file("tcp.yaml", objects)
        .workers(1)
        .flags("--port-map 31400:0 --port-map 31401:0 --port-map 31402:0");
    let mut world = World::start(setup).await;
    for port in [31400, 31401, 31402] {
        let address = world.listener(port).await;
        gone(&mut TcpStream::connect(address).await.expect("the gateway accepts")).await;
    }
    let metrics = world.instance().expect("it is ready").supervisor.metrics;
    let address = metrics.parse().expect("an address");
    for flags in ["UF,URX", "UH", "NC"] {
        wait::until(&format!("closed with {flags}"), async || {
            let body = get_once(address, "localhost", "/stats/prometheus").await.body;
            let page = String::from_utf8_lossy(&body);
            page.lines()
                .any(|line| {
                    line.starts_with("istio_tcp_connections_closed_total{")
                        && line.contains(&format!("response_flags=\"{flags}\""))
                        && line.ends_with(" 1")
                })
                .then_some(())
        })
        .await;
    }
}
