//! The reference deployment's configuration does what it did: its host reaches subset v1 with the
//! headers a client saw, any other host gets 404.

use fairway_integration::client::{Http1, get, get_once, get_once_http2, raw};
use fairway_integration::dk_shop::DkShop;
use fairway_integration::manifests::DK_SHOP_HOST;
use fairway_integration::world::is_serving;

/// The binary under test.
const FAIRWAY: &str = env!("CARGO_BIN_EXE_fairway-tested");

const REQUESTS: usize = 40;

async fn check(workers: u16, flags: &str) {
    let mut shop = DkShop::start(FAIRWAY, workers, flags).await;
    let instance = shop.world.when("ready", |instance| instance.ready).await;
    assert_eq!(instance.workers.len(), usize::from(workers));
    assert!(instance.workers.iter().all(|worker| is_serving(worker, 1)), "{instance:#?}");
    assert_eq!(instance.listeners.len(), 1, "{instance:#?}");
    assert_eq!(instance.listeners[0].gateways, ["dk-shop/dk-shop"]);

    // Fresh connections spread over the workers.
    for _ in 0..REQUESTS {
        expect_reference_answer(&get_once(shop.address, DK_SHOP_HOST, "/").await);
    }
    let mut kept = Http1::connect(shop.address).await;
    for _ in 0..REQUESTS {
        expect_reference_answer(&kept.send(get(DK_SHOP_HOST, "/some/path?q=1")).await);
    }
    assert_eq!(shop.v1.last().path, "/some/path?q=1");
    assert_eq!(shop.v1.last().host, DK_SHOP_HOST);
    assert_eq!((shop.v1.total(), shop.v2.total()), (2 * REQUESTS as u64, 0));

    get_once(shop.address, "other.example", "/").await.expect_status(404);
    assert_eq!(shop.v1.total(), 2 * REQUESTS as u64);
}

fn expect_reference_answer(reply: &fairway_integration::client::Reply) {
    let reply = reply.clone().expect_status(200);
    assert_eq!(reply.body, "hello");
    assert_eq!(reply.header("x-upstream"), "v1");
    assert_eq!(reply.header("server"), "istio-envoy");
    assert_eq!(reply.header("content-type"), "application/json; charset=utf-8");
    assert_eq!(reply.header("content-length"), "5");
    let took = reply.header("x-envoy-upstream-service-time");
    assert!(took.parse::<u64>().is_ok(), "x-envoy-upstream-service-time: {took}");
    assert!(reply.header("date").ends_with(" GMT"), "date: {}", reply.header("date"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_worker_over_the_unix_socket() {
    check(1, "--transport unix").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_workers_over_the_unix_socket() {
    check(4, "--transport unix").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_worker_over_grpc() {
    check(1, "--transport grpc").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_workers_over_grpc() {
    check(4, "--transport grpc").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http2_without_tls_needs_no_configuration() {
    let shop = DkShop::start(FAIRWAY, 1, "").await;
    let reply = get_once_http2(shop.address, DK_SHOP_HOST, "/two").await.expect_status(200);
    assert_eq!(reply.version, http::Version::HTTP_2);
    assert_eq!(reply.header("server"), "istio-envoy");
    assert_eq!(
        (shop.v1.last().path.as_str(), shop.v1.last().host.as_str()),
        ("/two", DK_SHOP_HOST)
    );
    get_once_http2(shop.address, "other.example", "/").await.expect_status(404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bytes_on_the_wire_are_those_of_the_reference() {
    let shop = DkShop::start(FAIRWAY, 1, "").await;
    let request = format!("GET / HTTP/1.1\r\nHost: {DK_SHOP_HOST}\r\nConnection: close\r\n\r\n");
    let answer = String::from_utf8(raw(shop.address, request.as_bytes()).await).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let mut lines = head.split("\r\n");
    assert_eq!(lines.next(), Some("HTTP/1.1 200 OK"));
    let lines: Vec<&str> = lines.collect();
    for wanted in ["content-type: application/json; charset=utf-8", "server: istio-envoy"] {
        assert_eq!(lines.iter().filter(|line| **line == wanted).count(), 1, "{answer}");
    }
    for once in ["date: ", "content-length: ", "x-envoy-upstream-service-time: "] {
        assert_eq!(lines.iter().filter(|line| line.starts_with(once)).count(), 1, "{answer}");
    }
    assert_eq!(body, "hello");
}
