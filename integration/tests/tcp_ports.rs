//! The reference deployment's ports come and go with Gateway objects, and what the others carry
//! does not notice.

use fairway_integration::client::get_once;
use fairway_integration::tcp::{Script, TcpBackend, gateway, service, tcp_port};
use fairway_integration::wait;
use fairway_integration::world::{Setup, World};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The binary under test.
const FAIRWAY: &str = env!("CARGO_BIN_EXE_fairway-tested");

/// Those of the reference's Service that no HTTP of the shop uses.
const PORTS: [u16; 6] = [31400, 15443, 15029, 15030, 15031, 15032];

async fn ping(client: &mut TcpStream) {
    client.write_all(b"x").await.expect("a living connection");
    assert_eq!(client.read_u8().await.expect("an echo"), b'x');
}

async fn start(workers: u16) -> (World, TcpBackend) {
    let backend = TcpBackend::start(Script::Echo("")).await;
    let map: String = PORTS.iter().map(|port| format!("--port-map {port}:0 ")).collect();
    let setup = Setup::new(FAIRWAY)
        .file("service.yaml", service("db", 5432, &[backend.address()]))
        .file("31400.yaml", tcp_port(31400, "[{destination: {host: db}}]"))
        .workers(workers)
        .flags(&map);
    (World::start(setup).await, backend)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_port_of_the_reference_comes_and_goes_while_the_others_serve() {
    let (mut world, _backend) = start(2).await;
    let address = world.listener(31400).await;
    let mut lasting = TcpStream::connect(address).await.expect("the gateway accepts");
    ping(&mut lasting).await;
    for port in &PORTS[1..] {
        world.write(&format!("{port}.yaml"), &tcp_port(*port, "[{destination: {host: db}}]"));
    }
    for port in &PORTS[1..] {
        let address = world.listener(*port).await;
        ping(&mut TcpStream::connect(address).await.expect("the gateway accepts")).await;
    }
    for port in &PORTS[1..] {
        world.remove(&format!("{port}.yaml"));
    }
    world.when("down to one port", |instance| instance.listeners.len() == 1).await;
    ping(&mut lasting).await;
    assert_eq!(world.listener(31400).await, address, "its socket is the same");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_changes_its_kind_keeps_its_socket() {
    let (mut world, _backend) = start(1).await;
    let address = world.listener(31400).await;
    let mut lasting = TcpStream::connect(address).await.expect("the gateway accepts");
    ping(&mut lasting).await;
    let http = "[{port: {number: 31400, name: http, protocol: HTTP}, hosts: [\"*\"]}]";
    world.write("31400.yaml", &gateway("http", http));
    world
        .when("HTTP", |i| i.listeners.iter().any(|l| l.protocol == "HTTP" && l.port == 31400))
        .await;
    get_once(address, "any.example", "/").await.expect_status(404);
    ping(&mut lasting).await;
    world.write("31400.yaml", &tcp_port(31400, "[{destination: {host: db}}]"));
    world.when("TCP", |i| i.listeners.iter().any(|l| l.protocol == "TCP")).await;
    wait::until("opaque bytes again", async || {
        let mut client = TcpStream::connect(address).await.ok()?;
        client.write_all(b"x").await.ok()?;
        (client.read_u8().await.ok()? == b'x').then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_route_there_is_no_listener() {
    let (mut world, _backend) = start(1).await;
    world.listener(31400).await;
    let server = "[{port: {number: 31400, name: tcp, protocol: TCP}, hosts: [\"*\"]}]";
    world.write("31400.yaml", &gateway("tcp-31400", server));
    world.when("without listeners", |instance| instance.listeners.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_may_finish_after_its_gateway_is_gone() {
    let (mut world, backend) = start(1).await;
    let address = world.listener(31400).await;
    let mut lasting = TcpStream::connect(address).await.expect("the gateway accepts");
    ping(&mut lasting).await;
    world.remove("31400.yaml");
    world.when("without listeners", |instance| instance.listeners.is_empty()).await;
    wait::until("refused", async || TcpStream::connect(address).await.is_err().then_some(())).await;
    ping(&mut lasting).await;
    lasting.shutdown().await.expect("a living connection");
    assert_eq!(lasting.read(&mut [0; 8]).await.expect("an orderly end"), 0);
    wait::until("the end at the endpoint", async || (backend.ended() > 0).then_some(())).await;
}
