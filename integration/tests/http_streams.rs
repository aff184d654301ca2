//! What takes long: large bodies, answers that come bit by bit, many streams on one connection and
//! WebSockets. Nothing is collected, and nobody waits for somebody else.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use bytes::Bytes;
use fairway_integration::client::{Http1, Http2, Wire, request};
use fairway_integration::mesh::{Mesh, Serving};
use fairway_integration::scripted::Scripted;
use fairway_integration::upstream::{Reply, Upstream};
use fairway_integration::wait;
use http::Request;
use http_body_util::Full;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
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
        let reply = timeout(LARGE_PATIENCE, async {
            if is_http2 {
                return Http2::connect(serving.address).await.send(post(host)).await;
            }
            let request = request(host, "POST /large").map(|_| Full::new(pattern.clone()));
            Http1::connect(serving.address).await.send(request).await
        });
        let reply = reply.await.expect("in time").expect_status(200);
        let received = upstream.take_records().pop().expect("it arrived");
        assert!(received.body == pattern, "{host}: {} bytes up", received.body.len());
        assert!(reply.body == pattern, "{host}: {} bytes down", reply.body.len());
    }
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
async fn an_answer_does_not_wait_for_the_body_nor_its_beginning_for_its_end() {
    let full = "HTTP/1.1 413 Content Too Large\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno";
    let refuses = Scripted::start(full.as_bytes()).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let events = listener.local_addr().expect("a bound socket has an address");
    let mesh = Mesh::default()
        .service("refuses", "http", &[refuses.address()])
        .service("events", "http", &[events])
        .host_to("refuses.test", "refuses", "")
        .host_to("events.test", "events", "");
    let serving = mesh.start(FAIRWAY).await;

    let mut wire = Wire::connect(serving.address).await;
    wire.say("POST / HTTP/1.1\r\nHost: refuses.test\r\nContent-Length: 1000000\r\n\r\npart").await;
    let answer = wire.hear("no").await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");

    let mut wire = Wire::connect(serving.address).await;
    wire.say("GET / HTTP/1.1\r\nHost: events.test\r\n\r\n").await;
    let (mut stream, _) = listener.accept().await.expect("the gateway connects");
    let mut asked = Vec::new();
    while !asked.ends_with(b"\r\n\r\n") {
        asked.push(stream.read_u8().await.expect("a request"));
    }
    let begins = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n";
    stream.write_all(begins).await.expect("the gateway reads");
    wire.hear("first\r\n").await;
    stream.write_all(b"4\r\nlast\r\n0\r\n\r\n").await.expect("the gateway reads");
    wire.hear("last\r\n0\r\n\r\n").await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_comes_before_the_request_is_read_reaches_the_client() {
    const REFUSAL: &[u8] =
        b"HTTP/1.1 413 Payload Too Large\r\ncontent-length: 3\r\nconnection: close\r\n\r\nbig";
    // As soon as it has the head, or as soon as somebody connects. Envoy 1.40 passes both on.
    let (early, at_once) = (Scripted::start(REFUSAL).await, Scripted::unasked(REFUSAL).await);
    let mesh = Mesh::default()
        .service("early", "http", &[early.address()])
        .service("at-once", "http", &[at_once.address()])
        .host_to("early.test", "early", "")
        .host_to("at-once.test", "at-once", "");
    let serving = mesh.start(FAIRWAY).await;
    for host in ["early.test", "at-once.test"] {
        for (what, fields, begun) in [
            ("no body", "", ""),
            ("a body that never comes", "Content-Length: 10\r\n", ""),
            ("a body that has begun", "Content-Length: 100000\r\n", "abc"),
            ("a chunked body", "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n"),
        ] {
            // More than once: which of both is first is chance.
            for _ in 0..10 {
                let mut wire = Wire::connect(serving.address).await;
                wire.say(format!("POST / HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n{begun}")).await;
                let answer = wire.hear("big").await;
                assert!(answer.starts_with("HTTP/1.1 413 "), "{host}, {what}: {answer}");
            }
        }
    }
}
