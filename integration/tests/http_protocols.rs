//! HTTP itself: framing, versions and trailers pass as they are, and what is malformed does not
//! (RFC 9110, 9112, 9113; Istio contract 2.12, 6.5).

use bytes::Bytes;
use fairway_integration::client::{Http1, Http2, Wire, request};
use fairway_integration::mesh::{Mesh, Serving};
use fairway_integration::upstream::{Reply, Upstream};
use http::{HeaderMap, Request, Version};
use http_body_util::{BodyExt, Full};

/// The binary under test.
const FAIRWAY: &str = env!("CARGO_BIN_EXE_fairway-tested");

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
