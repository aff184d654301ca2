//! Every way in which a request can fail has its status, body, response flag and details (Istio
//! contract 2.12). What Envoy 1.40 answers was seen by asking one; where Fairway differs, the row
//! says so. `LR` has no row: the gateway gives an upstream's stream up only with its client.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fairway_integration::client::{Http1, Wire, get, request};
use fairway_integration::mesh::{Mesh, Serving};
use fairway_integration::scripted::{Refusing, Scripted};
use fairway_integration::upstream::{Reply, Upstream};
use fairway_integration::wait;
use fairway_integration::world::{Setup, World};
use tempfile::TempDir;

/// The binary under test.
const FAIRWAY: &str = env!("CARGO_BIN_EXE_fairway-tested");

/// Of every route here: Envoy 1.40 carries it out on its own answers too, once a route is found.
const MARKED: &str = "headers: {response: {set: {x-route: r}}}";
const NO_RETRY: &str = "retries: {attempts: 0}";
const RESET: &str = "upstream connect error or disconnect/reset before headers. ";
const BEFORE: &str = "upstream_reset_before_response_started";
const AFTER: &str = "upstream_reset_after_response_started";

/// An instance that logs to a file of its own.
struct Logging {
    serving: Serving,
    log: PathBuf,
    _dir: TempDir,
}

impl Logging {
    async fn start(mesh: Mesh) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let log = dir.path().join("access.log");
        let flags = format!("--access-log {}", log.display());
        let setup = Setup::new(FAIRWAY).file("mesh.yaml", mesh.yaml()).workers(1).flags(&flags);
        let mut world = World::start(setup).await;
        let address = world.listener(80).await;
        Self { serving: Serving { world, address }, log, _dir: dir }
    }

    /// Status, flags and details of the request for that path, once it is over.
    async fn logged(&self, path: &str) -> String {
        logged(&self.log, path).await
    }

    /// Asks for `path` and holds answer and log against what is expected. A gRPC client is to get
    /// the same as a status of its own.
    async fn check(&self, host: &str, path: &str, expected: &Expected<'_>) {
        let Expected { status, flag, details, body, grpc } = expected;
        let reply = self.serving.ask(host, &format!("GET {path}")).await.expect_status(*status);
        assert_eq!((&*reply.body, reply.header("x-route")), (body.as_bytes(), "r"), "{path}");
        let is_plain = reply.header("content-type") == "text/plain";
        assert_eq!((is_plain, reply.header("server")), (!body.is_empty(), "istio-envoy"));
        assert_eq!(self.logged(path).await, format!("{status} {flag} {details}"), "{path}");

        let path = format!("{path}-grpc");
        let asked = format!("POST {path} | content-type: application/grpc");
        let reply = self.serving.ask(host, &asked).await.expect_status(200);
        let told = ["grpc-status", "grpc-message", "x-route"].map(|name| reply.header(name));
        assert_eq!(told, [grpc, body, "r"], "{path}");
        assert_eq!(self.logged(&path).await, format!("200 {flag} {details}"), "{path}");
    }
}

async fn logged(log: &Path, path: &str) -> String {
    let path = format!(" {path} HTTP/1.1\" ");
    wait::until(&format!("a line with `{path}`"), async || {
        let log = fs::read_to_string(log).unwrap_or_default();
        let (_, rest) = log.lines().find_map(|line| line.split_once(&path))?;
        Some(rest.split(' ').take(3).collect::<Vec<_>>().join(" "))
    })
    .await
}

struct Expected<'a> {
    status: u16,
    flag: &'a str,
    details: &'a str,
    body: &'a str,
    grpc: &'a str,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upstreams_that_fail_are_told_apart() {
    let (refusing, resetting) = (Refusing::new(), Upstream::start("resetting").await);
    let (closing, talking) =
        (Scripted::start(b"").await, Scripted::start(b"not HTTP\r\n\r\n").await);
    let silent = Upstream::start("silent").await;
    // On HTTP/2 this resets the stream.
    resetting.reply_with(Reply { hang_up: true, ..Reply::default() });
    silent.reply_with(Reply { delay: Duration::from_secs(60), ..Reply::default() });
    let with = |fields: &str| format!("{MARKED}, {fields}");
    let mesh = Mesh::default()
        .service("empty", "http", &[])
        .service("refusing", "http", &[refusing.address()])
        .service("closing", "http", &[closing.address()])
        .service("talking", "http", &[talking.address()])
        .service("resetting", "http2", &[resetting.address()])
        .service("silent", "http", &[silent.address()])
        .host_to("nc.test", "nowhere", MARKED)
        .host_to("uh.test", "empty", MARKED)
        .host_to("uf.test", "refusing", &with(NO_RETRY))
        .host_to("uf-urx.test", "refusing", &with("retries: {attempts: 1, backoff: 1ms}"))
        .host_to("uc.test", "closing", MARKED)
        .host_to("uc-urx.test", "closing", &with("retries: {attempts: 1, retryOn: reset}"))
        // A closed connection is not a 503 of the upstream.
        .host_to("uc-503.test", "closing", &with("retries: {attempts: 1, retryOn: '503'}"))
        .host_to("ur.test", "resetting", &with(NO_RETRY))
        .host_to("upe.test", "talking", MARKED)
        .host_to("ut.test", "silent", &with("timeout: 50ms"))
        .host_to(
            "ut-try.test",
            "silent",
            &with("retries: {attempts: 1, retryOn: reset, perTryTimeout: 50ms, backoff: 1ms}"),
        );
    let logging = Logging::start(mesh).await;
    let first = |reason: &str| format!("{RESET}reset reason: {reason}");
    // Envoy 1.40 says so in the body once there was more than one try.
    let again = |reason: &str| format!("{RESET}retried and the latest reset reason: {reason}");
    let before = |reason: &str| format!("{BEFORE}{{{reason}}}");
    // Envoy 1.40 writes the flags in the order in which they arose: `URX,UF`.
    for (host, status, flag, details, body) in [
        ("nc.test", 503, "NC", "cluster_not_found".into(), String::new()),
        ("uh.test", 503, "UH", "no_healthy_upstream".into(), "no healthy upstream".into()),
        (
            "uf.test",
            503,
            "UF",
            before("remote_connection_failure"),
            first("remote connection failure"),
        ),
        (
            "uf-urx.test",
            503,
            "UF,URX",
            before("remote_connection_failure"),
            again("remote connection failure"),
        ),
        ("uc.test", 503, "UC", before("connection_termination"), first("connection termination")),
        (
            "uc-urx.test",
            503,
            "UC,URX",
            before("connection_termination"),
            again("connection termination"),
        ),
        (
            "uc-503.test",
            503,
            "UC",
            before("connection_termination"),
            first("connection termination"),
        ),
        ("ur.test", 503, "UR", before("remote_reset"), first("remote reset")),
        ("upe.test", 502, "UPE", before("protocol_error"), first("protocol error")),
        ("ut.test", 504, "UT", "response_timeout".into(), "upstream request timeout".into()),
        (
            "ut-try.test",
            504,
            "UT,URX",
            "upstream_per_try_timeout".into(),
            "upstream request timeout".into(),
        ),
    ] {
        let expected = Expected { status, flag, details: &details, body: &body, grpc: "14" };
        logging.check(host, &format!("/{host}"), &expected).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_of_the_destination_is_told_as_overload() {
    let upstream = Upstream::start("u").await;
    upstream.reply_once_each([Reply { delay: Duration::from_secs(60), ..Reply::default() }]);
    let limit = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\n\
                 metadata: {name: u, namespace: shop}\n\
                 spec: {host: u, trafficPolicy: {connectionPool: {http: {http2MaxRequests: 1}}}}\n";
    let mesh = Mesh::default()
        .service("u", "http", &[upstream.address()])
        .object(limit)
        .host_to("uo.test", "u", MARKED);
    let logging = Logging::start(mesh).await;
    let mut running = Http1::connect(logging.serving.address).await;
    let running = tokio::spawn(async move { running.send(get("uo.test", "/running")).await });
    wait::until("a running request", async || (upstream.total() == 1).then_some(())).await;
    let reply = logging.serving.ask("uo.test", "GET /over").await;
    assert_eq!(reply.header("x-envoy-overloaded"), "true", "{reply:?}");
    let (details, body) =
        (format!("{BEFORE}{{overflow}}"), format!("{RESET}reset reason: overflow"));
    let expected = Expected { status: 503, flag: "UO", details: &details, body: &body, grpc: "14" };
    logging.check("uo.test", "/overflow", &expected).await;
    running.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_fails_after_its_head_keeps_its_status_and_gets_a_flag() {
    let short = Scripted::start(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n12345").await;
    let garbled =
        Scripted::start(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\nzz\r\n")
            .await;
    let exhausted = Upstream::start("busy").await;
    exhausted.reply_with(Reply::status(503));
    let mesh = Mesh::default()
        .service("short", "http", &[short.address()])
        .service("garbled", "http", &[garbled.address()])
        .service("busy", "http", &[exhausted.address()])
        .host_to("short.test", "short", "")
        .host_to("garbled.test", "garbled", "")
        .host_to("busy.test", "busy", "retries: {attempts: 1, retryOn: 5xx, backoff: 1ms}");
    let logging = Logging::start(mesh).await;
    for (host, expected) in [
        // Envoy 1.40 calls this UPE and protocol_error, whoever closed.
        ("short.test", format!("200 UC {AFTER}{{connection_termination}}")),
        ("garbled.test", format!("200 UPE {AFTER}{{protocol_error}}")),
    ] {
        let mut client = Http1::connect(logging.serving.address).await;
        let sent = client.try_send(get(host, &format!("/{host}"))).await;
        assert!(sent.is_err(), "a broken answer looks whole: {sent:?}");
        assert_eq!(logging.logged(&format!("/{host}")).await, expected);
    }
    // The upstream's own answer after the last try.
    let reply = logging.serving.ask("busy.test", "GET /busy").await.expect_status(503);
    assert_eq!(reply.body, "503");
    assert_eq!(logging.logged("/busy").await, "503 URX via_upstream");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_client_does_wrong_is_the_clients() {
    let silent = Upstream::start("silent").await;
    silent.reply_with(Reply { delay: Duration::from_secs(60), ..Reply::default() });
    let mesh = Mesh::default()
        .service("silent", "http", &[silent.address()])
        .host_to("u.test", "silent", "");
    let logging = Logging::start(mesh).await;
    let address = logging.serving.address;
    let head =
        |line: &str, fields: &str| format!("{line} HTTP/1.1\r\nHost: u.test\r\n{fields}\r\n");
    let chunked = "Transfer-Encoding: chunked\r\n";
    for (path, bytes, status, flag, details, body) in [
        // Envoy 1.40 gives no body here either.
        (
            "/lost",
            "GET /lost HTTP/1.1\r\nHost: other.test\r\n\r\n".into(),
            404,
            "NR",
            "route_not_found",
            "",
        ),
        ("/hostless", "GET /hostless HTTP/1.1\r\n\r\n".into(), 400, "-", "missing_host_header", ""),
        (
            "/chunk",
            head("POST /chunk", chunked) + "zz\r\n",
            400,
            "DPE",
            "http1.codec_error",
            "Bad Request",
        ),
        // Envoy 1.40 says DPE where the contract has no flag, and gives this body.
        (
            "/old",
            "GET /old HTTP/1.0\r\nHost: u.test\r\n\r\n".into(),
            426,
            "DPE",
            "low_version",
            "Upgrade Required",
        ),
        ("/%00", head("GET /%00", ""), 400, "-", "path_normalization_failed", ""),
        (
            "/upgrade",
            head("GET /upgrade", "Upgrade: foo\r\nConnection: upgrade\r\n"),
            403,
            "-",
            "upgrade_failed",
            "",
        ),
    ] {
        let mut wire = Wire::connect(address).await;
        wire.say(bytes).await;
        let answer = wire.hear(&format!("\r\n\r\n{body}")).await;
        let (_, rest) = answer.split_at("HTTP/1.x ".len());
        assert!(rest.starts_with(&status.to_string()), "{path}: {answer}");
        assert_eq!(logging.logged(path).await, format!("{status} {flag} {details}"), "{path}");
    }
    // What cannot be read has no path.
    let mut wire = Wire::connect(address).await;
    wire.say(head("GET /unread", "no field at all\r\n")).await;
    assert!(wire.hear("\r\n\r\n").await.starts_with("HTTP/1.1 400 "));
    assert_eq!(logging.logged("-").await, "400 DPE http1.codec_error");
    // An authority alone is CONNECT's, `*` is OPTIONS'. Envoy 1.40 answers 400 as well.
    for target in ["other.test:80", "*"] {
        let mut wire = Wire::connect(address).await;
        wire.say(head(&format!("GET {target}"), "")).await;
        let answer = wire.hear("\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{target}: {answer}");
    }
    assert_eq!(silent.total(), 0, "none of these reaches anybody");

    let mut client = Http1::connect(address).await;
    let sending = tokio::spawn(async move { client.send(get("u.test", "/gone")).await });
    wait::until("the request upstream", async || (silent.total() == 1).then_some(())).await;
    sending.abort();
    assert_eq!(logging.logged("/gone").await, "0 DC downstream_remote_disconnect");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn injected_faults_and_own_answers_are_told_as_such() {
    let upstream = Upstream::start("u").await;
    let always = "percentage: {value: 100}";
    let fault = |fault: &str| {
        format!("[{{route: [{{destination: {{host: u}}}}], fault: {{{fault}}}, {MARKED}}}]")
    };
    let mesh = Mesh::default()
        .service("u", "http", &[upstream.address()])
        .host("fi.test", &fault(&format!("abort: {{httpStatus: 503, {always}}}")))
        .host("di.test", &fault(&format!("delay: {{fixedDelay: 1ms, {always}}}")))
        .host_to(
            "di-timeout.test",
            "u",
            &format!("timeout: 1s, fault: {{delay: {{fixedDelay: 1200ms, {always}}}}}"),
        )
        .host("grpc.test", &fault(&format!("abort: {{grpcStatus: PERMISSION_DENIED, {always}}}")))
        .host(
            "both.test",
            &fault(&format!(
                "delay: {{fixedDelay: 1ms, {always}}}, abort: {{httpStatus: 504, {always}}}"
            )),
        )
        .host(
            "direct.test",
            &format!("[{{directResponse: {{status: 503, body: {{string: busy}}}}, {MARKED}}}]"),
        )
        .host("moved.test", "[{redirect: {uri: /new}}]");
    let logging = Logging::start(mesh).await;
    let (details, body) = ("fault_filter_abort", "fault filter abort");
    let expected = Expected { status: 503, flag: "FI", details, body, grpc: "14" };
    logging.check("fi.test", "/fi", &expected).await;
    // Envoy 1.40 writes the flags in the order in which they arose: `DI,FI`.
    let expected = Expected { status: 504, flag: "FI,DI", details, body, grpc: "14" };
    logging.check("both.test", "/both", &expected).await;
    logging.serving.ask("di.test", "GET /di").await.expect_status(200);
    assert_eq!(logging.logged("/di").await, "200 DI via_upstream");
    // The delay does not count into the route's timeout, with Envoy 1.40 neither.
    logging.serving.ask("di-timeout.test", "GET /late").await.expect_status(200);
    assert_eq!(logging.logged("/late").await, "200 DI via_upstream");

    // A status of gRPC goes out as such, whoever asks.
    for fields in ["", " | content-type: application/grpc"] {
        let reply = logging.serving.ask("grpc.test", &format!("GET /{fields}")).await;
        assert_eq!((reply.status.as_u16(), reply.header("grpc-status")), (200, "7"), "{fields}");
    }
    // Envoy 1.40 turns direct responses and redirects into statuses for gRPC clients, too.
    let expected =
        Expected { status: 503, flag: "-", details: "direct_response", body: "busy", grpc: "14" };
    logging.check("direct.test", "/direct", &expected).await;
    let reply = logging.serving.ask("moved.test", "GET / | content-type: application/grpc").await;
    let told = ["grpc-status", "location"].map(|name| reply.header(name));
    assert_eq!((reply.status.as_u16(), told), (200, ["2", "http://moved.test/new"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_request_ends_with_the_head_of_its_answer() {
    let mesh = Mesh::default()
        .service("empty", "http", &[])
        .host_to("uh.test", "empty", "")
        .host("direct.test", "[{directResponse: {status: 200, body: {string: hello}}}]")
        .host("204.test", "[{directResponse: {status: 204, body: {string: hello}}}]");
    let logging = Logging::start(mesh).await;
    for (host, method, expected) in [
        ("uh.test", "HEAD", "503 UH no_healthy_upstream"),
        ("direct.test", "HEAD", "200 - direct_response"),
        ("204.test", "GET", "204 - direct_response"),
    ] {
        let mut client = Http1::connect(logging.serving.address).await;
        let reply = client.send(request(host, &format!("{method} /{host}"))).await;
        assert!(reply.body.is_empty(), "{host}: {reply:?}");
        assert_eq!(logging.logged(&format!("/{host}")).await, expected, "{host}");
    }
}
