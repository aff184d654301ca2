//! HTTP itself: framing, versions, upgrades, gRPC and bodies of any length pass as they are
//! (RFC 9110, 9112, 9113; Istio contract 2.12, 6.5).

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use bytes::Bytes;
use fairway_integration::client::{Http1, Http2, Wire, request};
use fairway_integration::mesh::{Mesh, Serving};
use fairway_integration::scripted::Refusing;
use fairway_integration::upstream::{Reply, Upstream};
use fairway_integration::wait;
use http::{HeaderMap, Request, Version};
use http_body_util::{BodyExt, Full};
use tokio::time::timeout;

/// The binary under test.
const FAIRWAY: &str = env!("CARGO_BIN_EXE_fairway-tested");

const LARGE: usize = 64 * 1024 * 1024;
/// For one large body on a busy machine with an unoptimised gateway.
const LARGE_PATIENCE: Duration = Duration::from_secs(60);

/// One upstream behind `u.test` (HTTP/1.1) and `h2.test` (HTTP/2).
async fn start(upstream: &Upstream) -> Serving {
    let mesh = Mesh::default()
        .service("u", "http", &[upstream.address()])
        .service("h2", "http2-main", &[upstream.address()])
        .host_to("u.test", "u", "")
        .host_to("h2.test", "h2", "");
    mesh.start(FAIRWAY).await
}

/// Says bytes that end with `Connection: close`, or a request that makes the gateway close.
async fn exchange(serving: &Serving, bytes: &str) -> String {
    let mut wire = Wire::connect(serving.address).await;
    wire.say(bytes).await;
    wire.hear_all().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_requests_are_refused_and_reach_nobody() {
    let upstream = Upstream::start("u").await;
    let serving = start(&upstream).await;
    let close = "Connection: close\r\n\r\n";
    for (what, head, status) in [
        ("no Host", "GET / HTTP/1.1\r\n", 400),
        ("an empty Host", "GET / HTTP/1.1\r\nHost:\r\n", 400),
        ("two Hosts", "GET / HTTP/1.1\r\nHost: u.test\r\nHost: u.test\r\n", 400),
        ("HTTP/1.0", "GET / HTTP/1.0\r\nHost: u.test\r\n", 426),
        ("CONNECT", "CONNECT u.test:80 HTTP/1.1\r\nHost: u.test:80\r\n", 403),
        (
            "an unknown upgrade",
            "GET / HTTP/1.1\r\nHost: u.test\r\nUpgrade: foo\r\nConnection: upgrade\r\n",
            403,
        ),
        ("no HTTP", "what is this\r\n", 400),
        ("a space before the colon", "GET / HTTP/1.1\r\nHost : u.test\r\n", 400),
        ("a bad version", "GET / HTTP/3.7\r\nHost: u.test\r\n", 400),
        ("a bad length", "POST / HTTP/1.1\r\nHost: u.test\r\nContent-Length: x\r\n", 400),
        (
            "two lengths",
            "POST / HTTP/1.1\r\nHost: u.test\r\nContent-Length: 1\r\nContent-Length: 2\r\n",
            400,
        ),
    ] {
        let close = if what == "an unknown upgrade" { "\r\n" } else { close };
        let mut wire = Wire::connect(serving.address).await;
        wire.say(format!("{head}{close}")).await;
        let answer = wire.hear("\r\n\r\n").await;
        let (version, rest) = answer.split_at("HTTP/1.x".len());
        assert!(rest.starts_with(&format!(" {status} ")), "{what}: {version}{rest}");
    }
    assert_eq!(upstream.total(), 0);
    // The worker serves on.
    serving.ask("u.test", "GET /").await.expect_status(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_with_two_lengths_smuggles_nothing() {
    let upstream = Upstream::start("u").await;
    let serving = start(&upstream).await;
    let (length, chunked) = ("Content-Length: 4\r\n", "Transfer-Encoding: chunked\r\n");
    for fields in [format!("{length}{chunked}"), format!("{chunked}{length}")] {
        let (before, mut wire) = (upstream.total(), Wire::connect(serving.address).await);
        wire.say(format!(
            "POST /one HTTP/1.1\r\nHost: u.test\r\n{fields}Connection: close\r\n\r\n"
        ))
        .await;
        wire.say("27\r\nGET /smuggled HTTP/1.1\r\nHost: u.test\r\n\r\n\r\n0\r\n\r\n").await;
        let answer = wire.hear_all().await;
        if upstream.total() > before {
            assert_eq!(upstream.total(), before + 1, "{fields}{answer}");
            let received = upstream.last();
            assert_eq!((&*received.path, received.body.len()), ("/one", 39), "{fields}{answer}");
        } else {
            assert!(answer.starts_with("HTTP/1.1 400 "), "{fields}{answer}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_may_be_pipelined() {
    let upstream = Upstream::start("u").await;
    let serving = start(&upstream).await;
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: u.test\r\n\r\n");
    let post = "POST /3 HTTP/1.1\r\nHost: u.test\r\nContent-Length: 3\r\n\r\nabc";
    let last = "GET /4 HTTP/1.1\r\nHost: u.test\r\nConnection: close\r\n\r\n";
    let answers = exchange(&serving, &format!("{}{}{post}{last}", get("/1"), get("/2"))).await;
    assert_eq!(answers.matches("HTTP/1.1 200 OK\r\n").count(), 4, "{answers}");
    let paths: Vec<String> = upstream.take_records().into_iter().map(|r| r.path).collect();
    assert_eq!(paths, ["/1", "/2", "/3", "/4"]);

    // The first answer does not wait for the rest of the second request.
    let mut wire = Wire::connect(serving.address).await;
    wire.say(format!("{}GET /2 HT", get("/1"))).await;
    assert!(wire.hear("hello").await.starts_with("HTTP/1.1 200 OK\r\n"));
    wire.say("TP/1.1\r\nHost: u.test\r\n\r\n").await;
    assert!(wire.hear("hello").await.starts_with("HTTP/1.1 200 OK\r\n"));

    // An empty line after a body is ignored (RFC 9112 2.2), and nobody waits for more.
    let mut wire = Wire::connect(serving.address).await;
    wire.say(format!("{post}\r\n")).await;
    assert!(wire.hear("hello").await.starts_with("HTTP/1.1 200 OK\r\n"));
    wire.say(get("/after")).await;
    wire.hear("hello").await;
    assert_eq!(upstream.last().path, "/after");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_waits_for_100_is_told_to_go_on() {
    let upstream = Upstream::start("u").await;
    let serving = start(&upstream).await;
    let mut wire = Wire::connect(serving.address).await;
    let head =
        "POST / HTTP/1.1\r\nHost: u.test\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n";
    wire.say(head).await;
    assert!(wire.hear("\r\n\r\n").await.starts_with("HTTP/1.1 100 Continue\r\n"));
    wire.say("body").await;
    assert!(wire.hear("hello").await.starts_with("HTTP/1.1 200 OK\r\n"));
    let received = upstream.last();
    assert_eq!((&received.body[..], &*received.header("expect")), (&b"body"[..], ""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_and_bodiless_answers_keep_their_framing() {
    let upstream = Upstream::start("u").await;
    let serving = start(&upstream).await;
    for host in ["u.test", "h2.test"] {
        // All on one connection: a wrong length would spoil the next answer.
        let mut connection = Http1::connect(serving.address).await;
        for _ in 0..3 {
            let reply = connection.send(request(host, "HEAD /")).await.expect_status(200);
            assert_eq!(
                (reply.header("content-length"), &reply.body[..]),
                ("5", &b""[..]),
                "{host}"
            );
            assert_eq!(upstream.last().method, "HEAD");
            for status in [204, 304] {
                let bodiless = Reply { body: Bytes::new(), ..Reply::status(status) };
                upstream.reply_once_each([bodiless]);
                let reply = connection.send(request(host, "GET /")).await.expect_status(status);
                assert_eq!(reply.body, "", "{host}");
            }
            let reply = connection.send(request(host, "GET /")).await.expect_status(200);
            assert_eq!(reply.body, "hello", "{host}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunked_bodies_pass_both_ways() {
    let upstream = Upstream::start("u").await;
    let serving = start(&upstream).await;
    for host in ["u.test", "h2.test"] {
        let mut wire = Wire::connect(serving.address).await;
        wire.say(format!("POST / HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n"))
            .await;
        wire.say("Connection: close\r\n\r\n3\r\nabc\r\n").await;
        wire.say("a;ext=1\r\n0123456789\r\n0\r\n\r\n").await;
        let answer = wire.hear_all().await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{host}: {answer}");
        assert_eq!(upstream.last().body, "abc0123456789", "{host}");

        // An upstream with trailers has no length, so its answer is chunked.
        let trailers: HeaderMap =
            [("x-sum".parse().unwrap(), "5".parse().unwrap())].into_iter().collect();
        upstream.reply_once_each([Reply { trailers: Some(trailers), ..Reply::default() }]);
        let reply = serving.ask(host, "GET /").await.expect_status(200);
        assert_eq!(reply.body, "hello", "{host}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http2_passes_on_both_sides_with_trailers_both_ways() {
    let upstream = Upstream::start("u").await;
    let serving = start(&upstream).await;
    let trailer = |name: &'static str| -> HeaderMap {
        [(name.parse().unwrap(), "1".parse().unwrap())].into_iter().collect()
    };
    upstream.reply_with(Reply { trailers: Some(trailer("x-down")), ..Reply::default() });
    let mut connection = Http2::connect(serving.address).await;
    for (host, version) in [("u.test", Version::HTTP_11), ("h2.test", Version::HTTP_2)] {
        let body = Full::new(Bytes::from_static(b"up"));
        let body = body.with_trailers(async move { Some(Ok(trailer("x-up"))) });
        let request = Request::post(format!("http://{host}:8080/p?q")).header("te", "trailers");
        let reply = connection.send(request.body(body).unwrap()).await.expect_status(200);
        let received = upstream.last();
        assert_eq!((reply.version, received.version), (Version::HTTP_2, version), "{host}");
        assert_eq!((&reply.body[..], &received.body[..]), (&b"hello"[..], &b"up"[..]), "{host}");
        assert_eq!((&*received.host, &*received.path), (&*format!("{host}:8080"), "/p?q"));
        assert_eq!(reply.header("server"), "istio-envoy");
        if version == Version::HTTP_2 {
            assert_eq!(received.trailers, Some(trailer("x-up")), "{host}");
            assert_eq!(reply.trailers, Some(trailer("x-down")), "{host}");
        }
    }
    upstream.reply_with(Reply::default());
    // HTTP/1.1 from the client, HTTP/2 to the upstream.
    let reply = serving.ask_with("h2.test", "POST / | connection: close", "x").await;
    assert_eq!((reply.version, reply.status.as_u16()), (Version::HTTP_11, 200));
    assert_eq!((upstream.last().version, &*upstream.last().host), (Version::HTTP_2, "h2.test"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_of_one_connection_do_not_wait_for_each_other() {
    let upstream = Upstream::start("u").await;
    let serving = start(&upstream).await;
    for host in ["u.test", "h2.test"] {
        upstream.reply_once_each([Reply { delay: LARGE_PATIENCE * 2, ..Reply::default() }]);
        let mut connection = Http2::connect(serving.address).await;
        let get =
            move || Request::get(format!("http://{host}/")).body(Full::<Bytes>::default()).unwrap();
        let mut slow = connection.clone();
        let before = upstream.total();
        let slow = tokio::spawn(async move { slow.send(get()).await });
        let is_there = async || (upstream.total() > before).then_some(());
        wait::until("the slow request upstream", is_there).await;
        for _ in 0..50 {
            connection.send(get()).await.expect_status(200);
        }
        assert!(!slow.is_finished(), "{host}");
        slow.abort();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cookies_of_http2_arrive_as_one_field_over_http1() {
    // RFC 9113 8.2.3: split by the client to compress better, joined before HTTP/1.1.
    let upstream = Upstream::start("u").await;
    let serving = start(&upstream).await;
    let request = Request::get("http://u.test/").header("cookie", "a=1").header("cookie", "b=2");
    let request = request.body(Full::<Bytes>::default()).unwrap();
    Http2::connect(serving.address).await.send(request).await.expect_status(200);
    let received = upstream.last();
    let cookies: Vec<_> = received.headers.get_all("cookie").iter().collect();
    assert_eq!(cookies, ["a=1; b=2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_bodies_stream_both_ways() {
    let upstream = Upstream::start("u").await;
    let serving = start(&upstream).await;
    let pattern: Bytes = (0..LARGE).map(|at| (at % 253) as u8).collect::<Vec<u8>>().into();
    upstream.reply_with(Reply { body: pattern.clone(), ..Reply::default() });
    let post = |host: &str| {
        let request = Request::post(format!("http://{host}/large"));
        request.body(Full::new(pattern.clone())).unwrap()
    };
    for (host, is_http2) in
        [("u.test", false), ("h2.test", false), ("u.test", true), ("h2.test", true)]
    {
        let started = std::time::Instant::now();
        eprintln!("DBG {host} {is_http2}");
        let reply = timeout(LARGE_PATIENCE, async {
            if is_http2 {
                return Http2::connect(serving.address).await.send(post(host)).await;
            }
            let request = request(host, "POST /large").map(|_| Full::new(pattern.clone()));
            Http1::connect(serving.address).await.send(request).await
        });
        let reply = reply.await.expect("in time").expect_status(200);
        eprintln!("DBG {:?}", started.elapsed());
        let received = upstream.take_records().pop().expect("it arrived");
        assert!(received.body == pattern, "{host}: {} bytes up", received.body.len());
        assert!(reply.body == pattern, "{host}: {} bytes down", reply.body.len());
    }
}

/// A WebSocket server that says back what it hears, shouting.
fn start_web_socket() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("a bound socket has an address");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut socket = tungstenite::accept(stream).expect("a handshake");
                while let Ok(message) = socket.read() {
                    if message.is_text() {
                        let text = message.to_text().expect("text").to_uppercase();
                        socket.send(text.into()).expect("the client listens");
                    } else if message.is_binary() {
                        socket.send(message).expect("the client listens");
                    }
                }
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn web_sockets_pass_on_every_route() {
    let upstream = Upstream::start("u").await;
    let mesh = Mesh::default()
        .service("ws", "http", &[start_web_socket()])
        .service("u", "http", &[upstream.address()])
        .host_to("ws.test", "ws", "timeout: 10s")
        .host_to("u.test", "u", "");
    let serving = mesh.start(FAIRWAY).await;
    let address = serving.address;
    let talk = tokio::task::spawn_blocking(move || {
        let stream = TcpStream::connect(address).expect("the gateway listens");
        stream.set_read_timeout(Some(LARGE_PATIENCE)).expect("a timeout");
        let (mut socket, answer) =
            tungstenite::client("ws://ws.test/chat?room=1", stream).expect("a handshake");
        assert_eq!(answer.status().as_u16(), 101);
        for word in ["one", "two"] {
            socket.send(word.into()).expect("the server listens");
            let heard = socket.read().expect("an echo");
            assert_eq!(heard.to_text().expect("text"), word.to_uppercase());
        }
        let large = vec![7_u8; 1_000_000];
        socket.send(large.clone().into()).expect("the server listens");
        assert!(socket.read().expect("an echo").into_data() == large);
        socket.close(None).expect("an open socket");
        // The other side answers the close, and then both are closed.
        while socket.read().is_ok() {}
    });
    timeout(LARGE_PATIENCE, talk).await.expect("in time").expect("a conversation");
    // An upstream that does not upgrade answers as to any request.
    let asks = "GET / | upgrade: websocket | connection: upgrade | sec-websocket-version: 13";
    serving.ask("u.test", asks).await.expect_status(200);
    assert_eq!(upstream.last().header("upgrade"), "websocket");
    assert_eq!(upstream.last().header("connection").to_ascii_lowercase(), "upgrade");
}

mod grpc {
    use super::*;
    use tonic::transport::server::TcpIncoming;
    use tonic::transport::{Channel, Endpoint, Server};
    use tonic::{Code, Request};
    use tonic_health::ServingStatus;
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_client::HealthClient;
    use tonic_health::server::{HealthReporter, health_reporter};

    async fn start_health() -> (SocketAddr, HealthReporter) {
        let (reporter, service) = health_reporter();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let server = Server::builder().add_service(service);
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
        (address, reporter)
    }

    fn client(serving: &Serving, host: &str) -> HealthClient<Channel> {
        let endpoint = Endpoint::from_shared(format!("http://{}", serving.address)).unwrap();
        let endpoint = endpoint.origin(format!("http://{host}").parse().unwrap());
        HealthClient::new(endpoint.timeout(LARGE_PATIENCE).connect_lazy())
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
        for status in [ServingStatus::Serving, ServingStatus::NotServing, ServingStatus::Serving] {
            reporter.set_service_status("", status).await;
            let change = timeout(LARGE_PATIENCE, changes.message()).await.expect("in time");
            let change = change.expect("a message").expect("a stream that goes on");
            assert_eq!(change.status, status as i32);
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn answers_of_the_gateway_itself_become_grpc_statuses() {
        let refusing = Refusing::new();
        let slow = Upstream::start("slow").await;
        slow.reply_with(Reply { delay: LARGE_PATIENCE * 2, ..Reply::default() });
        let mesh = Mesh::default()
            .service("dead", "grpc", &[refusing.address()])
            .service("empty", "grpc", &[])
            .service("slow", "grpc", &[slow.address()])
            .host_to("dead.test", "dead", "")
            .host_to("empty.test", "empty", "")
            .host_to("missing.test", "missing", "")
            .host_to("slow.test", "slow", "timeout: 100ms")
            .host_to("patient.test", "slow", "");
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
        slow.reply_with(Reply { delay: LARGE_PATIENCE * 2, ..Reply::default() });
        let mesh = Mesh::default().service("slow", "grpc", &[slow.address()]).host_to(
            "slow.test",
            "slow",
            "",
        );
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
}
