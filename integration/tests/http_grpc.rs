//! gRPC with a public client and server: calls, streams, metadata, deadlines, and the gateway's own
//! refusals in gRPC's form (Istio contract 2.9, 2.12).

use std::net::SocketAddr;
use std::time::Duration;

use fairway_integration::mesh::{Mesh, Serving};
use fairway_integration::scripted::Refusing;
use fairway_integration::upstream::{Reply, Upstream};
use fairway_integration::wait::PATIENCE;
use http::Version;
use tokio::time::timeout;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Code, Request};
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::server::{HealthReporter, health_reporter};

/// The binary under test.
const FAIRWAY: &str = env!("CARGO_BIN_EXE_fairway-tested");

async fn start_health() -> (SocketAddr, HealthReporter) {
    let (reporter, service) = health_reporter();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound socket has an address");
    let server = Server::builder().add_service(service);
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    (address, reporter)
}

fn client(serving: &Serving, host: &str) -> HealthClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{}", serving.address)).expect("a URI");
    let endpoint = endpoint.origin(format!("http://{host}").parse().expect("a URI"));
    HealthClient::new(endpoint.timeout(PATIENCE).connect_lazy())
}

fn asks(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.to_owned() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_and_streams_pass() {
    let (address, reporter) = start_health().await;
    let mesh = Mesh::default().service("health", "grpc-main", &[address]).host_to(
        "health.test",
        "health",
        "",
    );
    let serving = mesh.start(FAIRWAY).await;
    let mut client = client(&serving, "health.test");
    let answer = client.check(asks("")).await.expect("an answer").into_inner();
    assert_eq!(answer.status, ServingStatus::Serving as i32);
    let refused = client.check(asks("unknown")).await.expect_err("an unknown service");
    assert_eq!(refused.code(), Code::NotFound, "{refused:?}");

    let mut changes = client.watch(asks("")).await.expect("a stream").into_inner();
    // The first message says how things stand, each later one what has changed.
    for (number, status) in
        [ServingStatus::Serving, ServingStatus::NotServing, ServingStatus::Serving]
            .into_iter()
            .enumerate()
    {
        if number > 0 {
            reporter.set_service_status("", status).await;
        }
        let change = timeout(PATIENCE, changes.message()).await.expect("in time");
        let change = change.expect("a message").expect("a stream that goes on");
        assert_eq!(change.status, status as i32);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_of_the_gateway_itself_become_grpc_statuses() {
    let refusing = Refusing::new();
    let slow = Upstream::start("slow").await;
    slow.reply_with(Reply { delay: PATIENCE * 2, ..Reply::default() });
    let mesh = Mesh::default()
        .service("dead", "grpc", &[refusing.address()])
        .service("empty", "grpc", &[])
        .service("slow", "grpc", &[slow.address()])
        .host_to("dead.test", "dead", "")
        .host_to("empty.test", "empty", "")
        .host_to("missing.test", "missing", "")
        .host_to("slow.test", "slow", "timeout: 100ms");

    let serving = mesh.start(FAIRWAY).await;
    for (host, code, message) in [
        ("nowhere.test", Code::Unimplemented, ""),
        ("missing.test", Code::Unavailable, ""),
        ("empty.test", Code::Unavailable, "no healthy upstream"),
        ("slow.test", Code::Unavailable, "upstream request timeout"),
        ("dead.test", Code::Unavailable, "upstream connect error"),
    ] {
        let refused = client(&serving, host).check(asks("")).await.expect_err(host);
        assert_eq!(refused.code(), code, "{host}: {refused:?}");
        assert!(refused.message().starts_with(message), "{host}: {refused:?}");
    }
    let text = "POST /a%00b | content-type: application/grpc";
    let reply = serving.ask("dead.test", text).await;
    assert_eq!((reply.status.as_u16(), reply.header("grpc-status")), (200, "13"), "{reply:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_deadline_of_the_client_is_honoured() {
    let slow = Upstream::start("slow").await;
    slow.reply_with(Reply { delay: PATIENCE * 2, ..Reply::default() });
    let mesh =
        Mesh::default().service("slow", "grpc", &[slow.address()]).host_to("slow.test", "slow", "");
    let serving = mesh.start(FAIRWAY).await;
    // Sent without a client that would enforce it itself.
    let text = "POST /a.B/C | content-type: application/grpc | grpc-timeout: 200m";
    let asking = serving.ask("slow.test", text);
    let reply = timeout(Duration::from_secs(5), asking).await.expect("an answer in time");
    assert_eq!((reply.status.as_u16(), reply.header("grpc-status")), (200, "14"), "{reply:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_with_metadata_keeps_it() {
    let upstream = Upstream::start("u").await;
    let mesh =
        Mesh::default().service("u", "grpc", &[upstream.address()]).host_to("u.test", "u", "");
    let serving = mesh.start(FAIRWAY).await;
    let mut request = Request::new(asks(""));
    request.metadata_mut().insert("x-mine", "1".parse().unwrap());
    // The upstream is no gRPC server; what matters is what it was asked.
    drop(client(&serving, "u.test").check(request).await);
    let received = upstream.last();
    for (name, expected) in
        [("content-type", "application/grpc"), ("te", "trailers"), ("x-mine", "1")]
    {
        assert_eq!(received.header(name), expected, "{name}");
    }
    assert_eq!(received.version, Version::HTTP_2);
    assert_eq!((&*received.host, &*received.path), ("u.test", "/grpc.health.v1.Health/Check"));
}
