//! Timeouts, retries and what a client gets when an upstream fails (Istio contract 2.9, 2.12).

use std::time::{Duration, Instant};

use fairway_integration::client::{Http1, Wire, get_once, request};
use fairway_integration::mesh::{Mesh, Serving};
use fairway_integration::scripted::{Refusing, Scripted};
use fairway_integration::upstream::{Reply, Upstream};
use fairway_integration::wait;

/// The binary under test.
const FAIRWAY: &str = env!("CARGO_BIN_EXE_fairway-tested");

const RESET: &str = "upstream connect error or disconnect/reset before headers. reset reason:";

/// One upstream behind hosts that differ in their `retries`.
async fn start(upstream: &Upstream, hosts: &[(&str, &str)]) -> Serving {
    let mesh = Mesh::default().service("u", "http", &[upstream.address()]);
    let mesh = hosts.iter().fold(mesh, |mesh, (host, fields)| mesh.host_to(host, "u", fields));
    mesh.start(FAIRWAY).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_retried_as_the_route_says() {
    let upstream = Upstream::start("u").await;
    let serving = start(
        &upstream,
        &[
            ("default.test", ""),
            ("5xx.test", "retries: {attempts: 2, retryOn: 5xx, backoff: 1ms}"),
            ("gateway.test", "retries: {attempts: 2, retryOn: gateway-error, backoff: 1ms}"),
            ("409.test", "retries: {attempts: 2, retryOn: retriable-4xx, backoff: 1ms}"),
            ("codes.test", "retries: {attempts: 2, retryOn: 'connect-failure,418,503'}"),
            ("zero.test", "retries: {attempts: 0}"),
            ("reset.test", "retries: {attempts: 2, retryOn: reset, backoff: 1ms}"),
        ],
    )
    .await;
    let mut connection = Http1::connect(serving.address).await;
    for (host, first, tries, status) in [
        // A plain 503 is not retried by default.
        ("default.test", &[503][..], 1, 503),
        ("5xx.test", &[503], 2, 200),
        ("5xx.test", &[500, 502], 3, 200),
        ("5xx.test", &[500, 501, 502], 3, 502),
        ("5xx.test", &[404], 1, 404),
        ("gateway.test", &[504], 2, 200),
        ("gateway.test", &[500], 1, 500),
        ("409.test", &[409], 2, 200),
        ("409.test", &[503], 1, 503),
        ("codes.test", &[418, 503], 3, 200),
        ("codes.test", &[500], 1, 500),
        ("zero.test", &[503], 1, 503),
        ("reset.test", &[503], 1, 503),
    ] {
        upstream.take_records();
        upstream.reply_once_each(first.iter().map(|code| Reply::status(*code)));
        let reply = connection.send(request(host, "GET /path?q")).await;
        let records = upstream.take_records();
        assert_eq!(
            (reply.status.as_u16(), records.len()),
            (status, tries),
            "{host}, the upstream says {first:?} first"
        );
        for (number, record) in (1..).zip(&records) {
            assert_eq!(record.header("x-envoy-attempt-count"), number.to_string(), "{host}");
            assert_eq!((&*record.path, &*record.host), ("/path?q", host));
        }
        if status != 200 {
            let last = first.last().expect("one at least").to_string();
            assert_eq!(reply.body, last, "the last answer is the client's: {host}");
        }
    }
    assert!(upstream.total() > 20, "the upstream was asked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_is_sent_again_whole_or_the_request_is_not_retried() {
    let upstream = Upstream::start("u").await;
    let fields = "retries: {attempts: 2, retryOn: 5xx, backoff: 1ms}";
    let serving = start(&upstream, &[("5xx.test", fields)]).await;
    for (length, tries, status) in [(5, 3, 200), (900_000, 3, 200), (2_000_000, 1, 503)] {
        let body: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
        upstream.reply_once_each([Reply::status(503), Reply::status(500)]);
        let reply = serving.ask_with("5xx.test", "POST /form", body.clone()).await;
        let records = upstream.take_records();
        let found = (reply.status.as_u16(), records.len());
        assert_eq!(found, (status, tries), "{length} bytes");
        for record in records {
            assert!(record.body == body, "{length} bytes became {}", record.body.len());
            assert_eq!((record.method.as_str(), &*record.path), ("POST", "/form"));
        }
        upstream.reply_once_each([]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_connection_is_retried_on_another_endpoint() {
    let (alive, dead) = (Upstream::start("alive").await, Refusing::new());
    let fields = "retries: {attempts: 0}";
    let mesh = Mesh::default()
        .service("half", "http", &[alive.address(), dead.address()])
        .host_to("half.test", "half", "")
        .host_to("never.test", "half", fields);
    let serving = mesh.start(FAIRWAY).await;
    for _ in 0..20 {
        let reply = serving.ask_with("half.test", "POST /", "body").await.expect_status(200);
        assert_eq!((reply.header("x-upstream"), &upstream_body(&alive)[..]), ("alive", "body"));
    }
    let mut statuses = [0, 0];
    for _ in 0..20 {
        let reply = get_once(serving.address, "never.test", "/").await;
        statuses[usize::from(reply.status.is_success())] += 1;
    }
    assert!(statuses.iter().all(|count| *count > 0), "without retries both show: {statuses:?}");
}

fn upstream_body(upstream: &Upstream) -> String {
    String::from_utf8(upstream.last().body.to_vec()).expect("text")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_have_the_status_and_the_body_that_operators_know() {
    let hangs_up = Upstream::start("hangs up").await;
    hangs_up.reply_with(Reply { hang_up: true, ..Reply::default() });
    let (refusing, garbage) = (Refusing::new(), Scripted::start(b"what?\r\n\r\n").await);
    let half_head = Scripted::start(b"HTTP/1.1 200 OK\r\ncontent-le").await;
    let slow = Upstream::start("slow").await;
    slow.reply_with(Reply { delay: wait::PATIENCE, ..Reply::default() });
    let subset = "route: [{destination: {host: slow, subset: none}}]";
    let mut mesh = Mesh::default()
        .service("hangs-up", "http", &[hangs_up.address()])
        .service("refusing", "http", &[refusing.address()])
        .service("garbage", "http", &[garbage.address()])
        .service("half-head", "http", &[half_head.address()])
        .service("slow", "http", &[slow.address()])
        .service("empty", "http", &[])
        .host("subset.test", &format!("[{{{subset}}}]"))
        .host_to("once.test", "refusing", "retries: {attempts: 0}")
        .host_to("slow.test", "slow", "timeout: 0.2s")
        .host_to("slow-try.test", "slow", "retries: {attempts: 1, perTryTimeout: 100ms}");
    for service in ["hangs-up", "refusing", "garbage", "half-head", "empty", "missing"] {
        mesh = mesh.host_to(&format!("{service}.test"), service, "");
    }
    let serving = mesh.start(FAIRWAY).await;
    let (unknown, timeout) = (String::new(), "upstream request timeout".to_owned());
    let reset = |reason: &str| format!("{RESET} {reason}");
    let retried = RESET.replace("reset reason", "retried and the latest reset reason");
    for (host, status, body, flags) in [
        ("missing.test", 503, unknown.clone(), "NC"),
        ("subset.test", 503, unknown.clone(), "NC"),
        ("empty.test", 503, "no healthy upstream".to_owned(), "UH"),
        ("once.test", 503, reset("remote connection failure"), "UF"),
        ("refusing.test", 503, format!("{retried} remote connection failure"), "UF,URX"),
        ("hangs-up.test", 503, reset("connection termination"), "UC"),
        ("half-head.test", 503, reset("connection termination"), "UC"),
        ("garbage.test", 502, reset("protocol error"), "UPE"),
        ("slow.test", 504, timeout.clone(), "UT"),
        ("slow-try.test", 504, timeout, "UT"),
        ("nowhere.test", 404, unknown, "NR"),
    ] {
        let reply = serving.ask(host, "GET /").await;
        assert_eq!((reply.status.as_u16(), &reply.body[..]), (status, body.as_bytes()), "{host}");
        assert_eq!(reply.header("server"), "istio-envoy", "{host}");
        assert_eq!(reply.header("x-envoy-upstream-service-time"), "", "{host}");
        let kind = if body.is_empty() { "" } else { "text/plain" };
        assert_eq!(reply.header("content-type"), kind, "{host}");
        counted(&serving, status, flags).await;
        // The same for HEAD, without the body.
        let head = serving.ask(host, "HEAD /").await.expect_status(status);
        assert_eq!(head.body, "", "{host}");
    }
}

/// Waits until requests with that status and those flags are in the metrics.
async fn counted(serving: &Serving, status: u16, flags: &str) {
    let instance = serving.world.instance().expect("it is up");
    let metrics = instance.supervisor.metrics.parse().expect("an address");
    let labels = [format!("response_code=\"{status}\""), format!("response_flags=\"{flags}\"")];
    wait::until(&format!("a request with {labels:?} in the metrics"), async || {
        let page = get_once(metrics, "localhost", "/stats/prometheus").await;
        let text = String::from_utf8(page.body.to_vec()).expect("text");
        let mut lines = text.lines().filter(|line| line.starts_with("istio_requests_total"));
        lines.any(|line| labels.iter().all(|label| line.contains(label))).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timeout_covers_all_tries_and_per_try_timeout_each() {
    let upstream = Upstream::start("u").await;
    let retries = "retries: {attempts: 3, perTryTimeout: 150ms, retryOn: 5xx, backoff: 1ms}";
    let serving = start(
        &upstream,
        &[
            ("plain.test", "timeout: 300ms"),
            ("each.test", retries),
            ("both.test", &format!("timeout: 250ms, {retries}")),
            ("none.test", "timeout: 0s"),
        ],
    )
    .await;
    let slow = Reply { delay: wait::PATIENCE, ..Reply::default() };
    for (host, expected_timeout, slow_tries, status, tries, at_least, at_most) in [
        ("plain.test", "300", 1, 504, 1, 300, 5_000),
        ("each.test", "150", 4, 504, 4, 600, 8_000),
        ("each.test", "150", 2, 200, 3, 300, 8_000),
        ("both.test", "150", 4, 504, 2, 250, 5_000),
        ("plain.test", "300", 0, 200, 1, 0, 5_000),
        ("none.test", "", 0, 200, 1, 0, 5_000),
    ] {
        upstream.take_records();
        upstream.reply_once_each(vec![slow.clone(); slow_tries]);
        let started = Instant::now();
        let reply = serving.ask(host, "GET /").await.expect_status(status);
        let taken = started.elapsed();
        let records = upstream.take_records();
        assert_eq!(records.len(), tries, "{host} with {slow_tries} slow tries");
        let bounds = Duration::from_millis(at_least)..Duration::from_millis(at_most);
        assert!(bounds.contains(&taken), "{host} took {taken:?}, not {bounds:?}");
        if status == 504 {
            assert_eq!(reply.body, "upstream request timeout", "{host}");
        }
        let told = records[0].header("x-envoy-expected-rq-timeout-ms");
        assert_eq!(told, expected_timeout, "{host}");
        upstream.reply_once_each([]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timeout_starts_when_the_request_is_complete() {
    let upstream = Upstream::start("u").await;
    let serving = start(&upstream, &[("slow-client.test", "timeout: 200ms")]).await;
    let mut wire = Wire::connect(serving.address).await;
    wire.say("POST / HTTP/1.1\r\nHost: slow-client.test\r\nContent-Length: 4\r\n").await;
    wire.say("Connection: close\r\n\r\nab").await;
    // The client itself is slower than the timeout.
    tokio::time::sleep(Duration::from_millis(500)).await;
    wire.say("cd").await;
    let answer = wire.hear_all().await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert_eq!(upstream.last().body, "abcd");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooled_connection_that_the_upstream_closed_costs_no_request() {
    let closes =
        Scripted::start(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nkeep-alive: timeout=1\r\n\r\nok")
            .await;
    let mesh = Mesh::default().service("u", "http", &[closes.address()]).host_to("u.test", "u", "");
    let serving = mesh.start(FAIRWAY).await;
    let mut connection = Http1::connect(serving.address).await;
    for number in 0..30 {
        let reply = connection.send(request("u.test", "GET /")).await;
        assert_eq!((reply.status.as_u16(), &reply.body[..]), (200, &b"ok"[..]), "{number}");
        // The upstream says by closing that it is done with this connection.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_breaks_off_is_not_made_to_look_whole() {
    let short = Scripted::start(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort").await;
    let open =
        Scripted::start(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc").await;
    let until_close = Scripted::start(b"HTTP/1.1 200 OK\r\n\r\nall until the end").await;
    let mesh = Mesh::default()
        .service("short", "http", &[short.address()])
        .service("open", "http", &[open.address()])
        .service("until-close", "http", &[until_close.address()])
        .host_to("short.test", "short", "")
        .host_to("open.test", "open", "")
        .host_to("until-close.test", "until-close", "");
    let serving = mesh.start(FAIRWAY).await;
    for host in ["short.test", "open.test"] {
        let mut connection = Http1::connect(serving.address).await;
        let ended = connection.try_send(request(host, "GET /")).await;
        assert!(ended.is_err(), "{host}: {ended:?}");
    }
    let reply = serving.ask("until-close.test", "GET /").await.expect_status(200);
    assert_eq!(reply.body, "all until the end");
}
