//! What connections of opaque bytes say of an endpoint's health (Istio contract 3.5, last line).

use fairway_integration::tcp::{Script, TcpBackend, service, tcp_port};
use fairway_integration::wait;
use fairway_integration::world::{Setup, World};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The binary under test.
const FAIRWAY: &str = env!("CARGO_BIN_EXE_fairway-tested");

const RULE: &str = "\
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: db, namespace: shop}
spec:
  host: db
  trafficPolicy:
    loadBalancer: {simple: ROUND_ROBIN}
    outlierDetection: {consecutive5xxErrors: 3, maxEjectionPercent: 100, baseEjectionTime: 1h}
";

/// Says a byte and waits for the end, however it comes; whether something was heard.
async fn visit(world: &mut World) -> bool {
    let address = world.listener(31400).await;
    let mut client = TcpStream::connect(address).await.expect("the gateway accepts");
    // An endpoint that resets may do so before.
    let _ = client.write_all(b"x").await;
    let _ = client.shutdown().await;
    let mut heard = Vec::new();
    let _ = tokio::time::timeout(wait::PATIENCE, client.read_to_end(&mut heard)).await;
    !heard.is_empty()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_resets_in_a_row_is_ejected_and_one_that_serves_never() {
    let good = TcpBackend::start(Script::Echo("good")).await;
    let socket = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let resetting = socket.local_addr().expect("a bound socket has an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = socket.accept().await {
            // What was not read when a socket closes makes it a reset.
            let _ = stream.readable().await;
            drop(stream);
        }
    });
    let objects = service("db", 5432, &[good.address(), resetting])
        + &tcp_port(31400, "[{destination: {host: db}}]")
        + RULE;
    let setup =
        Setup::new(FAIRWAY).file("tcp.yaml", objects).workers(1).flags("--port-map 31400:0");
    let mut world = World::start(setup).await;
    wait::until("the one that resets is ejected", async || {
        visit(&mut world).await;
        let metrics = world.metrics().await;
        let mut lines = metrics.lines();
        lines.any(|l| l.starts_with("fairway_endpoint_ejected{") && l.ends_with(" 1")).then_some(())
    })
    .await;
    for _ in 0..8 {
        assert!(visit(&mut world).await, "only the good one is left");
    }
}
