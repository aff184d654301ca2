//! Limits on what a client may take, with the flag of each, and what an upstream may do to us
//! (docs/security.md).

use bytes::Bytes;
use fairway_integration::client::{Http1, Http2, Wire, get};
use fairway_integration::frames::{END_HEADERS, END_STREAM, Frames, frame, get as head, kind};
use fairway_integration::mesh::{Mesh, Serving};
use fairway_integration::scripted::Scripted;
use fairway_integration::upstream::Upstream;
use fairway_integration::wait;
use http_body_util::Full;

/// The binary under test.
const FAIRWAY: &str = env!("CARGO_BIN_EXE_fairway-tested");

async fn start(upstream: &Upstream, flags: &str) -> Serving {
    let mesh =
        Mesh::default().service("u", "http", &[upstream.address()]).host_to("u.test", "u", "");
    mesh.flags(flags).start(FAIRWAY).await
}

fn request(path: &str, fields: &[(&str, String)]) -> http::Request<Full<Bytes>> {
    let mut request = http::Request::get(format!("http://u.test{path}"));
    for (name, value) in fields {
        request = request.header(*name, value);
    }
    request.body(Full::default()).expect("a request")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_is_limited_by_its_size_its_fields_and_its_target() {
    let upstream = Upstream::start("u").await;
    let flags = "--uri-bytes-max 100 --head-bytes-max 8192 --fields-max 10";
    let serving = start(&upstream, flags).await;
    let (fits, long) = (format!("/{}", "x".repeat(99)), format!("/{}", "x".repeat(100)));
    let crumbs = |count| vec![("cookie", "a=1".to_owned()); count];
    let field = |bytes| vec![("x", "y".repeat(bytes))];
    for (what, path, fields, status) in [
        ("a target that fits", &*fits, vec![], 200),
        ("a target that does not", &*long, vec![], 414),
        ("fields that fit", "/", crumbs(8), 200),
        ("too many fields", "/", crumbs(11), 431),
        ("a head that fits", "/", field(7_000), 200),
        ("a head that does not", "/", field(9_000), 431),
    ] {
        let of_two = Http2::connect(serving.address).await.send(request(path, &fields)).await;
        assert_eq!(of_two.status, status, "{what}, HTTP/2");
        let mut of_one = Http1::connect(serving.address).await;
        let mut asked = get("u.test", path);
        for (name, value) in &fields {
            asked.headers_mut().append(*name, value.parse().expect("a value"));
        }
        assert_eq!(of_one.send(asked).await.status, status, "{what}, HTTP/1.1");
    }
    serving.counted(&["fairway_downstream_refused_total", "reason=\"too_large\""]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_has_its_number_of_requests() {
    let upstream = Upstream::start("u").await;
    let serving = start(&upstream, "--requests-per-connection-max 2").await;
    let mut one = Wire::connect(serving.address).await;
    let get = "GET / HTTP/1.1\r\nHost: u.test\r\n\r\n";
    one.say(get).await;
    assert!(!one.hear("hello").await.contains("connection: close"));
    one.say(get).await;
    assert!(one.hear_all().await.contains("connection: close"));
    let mut two = Frames::connect(serving.address, &[]).await;
    for stream in [1, 3] {
        let asked = frame(kind::HEADERS, END_HEADERS | END_STREAM, stream, &head("u.test", "/"));
        two.say(&asked).await.expect("it is open");
    }
    assert!(two.next_of(kind::GOAWAY).await.is_some());
    wait::until("all four", async || (upstream.total() == 4).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_limited_in_all_and_by_address() {
    let upstream = Upstream::start("u").await;
    for (flag, reason) in
        [("--connections-max", "connections"), ("--connections-per-address-max", "address_conn")]
    {
        let serving = start(&upstream, &format!("{flag} 3")).await;
        let mut held = Vec::new();
        for _ in 0..3 {
            let mut client = Http1::connect(serving.address).await;
            client.send(get("u.test", "/")).await.expect_status(200);
            held.push(client);
        }
        let mut refused = Wire::connect(serving.address).await;
        let _ = refused.try_say(b"GET / HTTP/1.1\r\nHost: u.test\r\n\r\n").await;
        assert!(refused.is_closed_unread().await, "{flag}");
        serving.counted(&["fairway_overload_rejected_total", &format!("reason=\"{reason}")]).await;
        held[0].send(get("u.test", "/")).await.expect_status(200);
        drop(held);
        let free = fairway_integration::wait::until("a place that is free again", async || {
            let mut client = Http1::try_connect(serving.address).await.ok()?;
            client.try_send(get("u.test", "/")).await.ok()
        });
        free.await.expect_status(200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_misbehaves_costs_its_own_request_only() {
    let lines = |line: &str, times| line.repeat(times).into_bytes();
    let ok = "HTTP/1.1 200 OK\r\n";
    let chunked = format!("{ok}Transfer-Encoding: chunked\r\n\r\n");
    let cases: Vec<(&str, Vec<u8>, &[u16])> = vec![
        ("garbage", b"\x16\x03\x01 what is this\r\n\r\n".to_vec(), &[502]),
        ("silence", Vec::new(), &[503]),
        ("endless fields", [ok.as_bytes(), &lines("X: y\r\n", 200_000)].concat(), &[502]),
        ("an endless field", [ok.as_bytes(), b"X: ", &lines("y", 2_000_000)].concat(), &[502]),
        ("an endless status", lines("HTTP/1.1 200 ", 200_000), &[502]),
        (
            "two lengths",
            format!("{ok}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab").into(),
            &[502],
        ),
        ("a length that is none", format!("{ok}Content-Length: -1\r\n\r\na").into(), &[502]),
        (
            "a folded line",
            format!("{ok}X: a\r\n b\r\nContent-Length: 1\r\n\r\na").into(),
            &[200, 502],
        ),
        (
            "a bare CR in a value",
            format!("{ok}X: a\rb\r\nContent-Length: 0\r\n\r\n").into(),
            &[502],
        ),
        ("a NUL in a value", format!("{ok}X: a\0b\r\nContent-Length: 0\r\n\r\n").into(), &[502]),
        ("HTTP/0.9", b"hello\r\n".to_vec(), &[502]),
        ("101 that nobody asked for", b"HTTP/1.1 101 Switching\r\n\r\n".to_vec(), &[502]),
        ("a status of 999", b"HTTP/1.1 999 X\r\nContent-Length: 0\r\n\r\n".to_vec(), &[999, 502]),
        ("a second answer", format!("{ok}Content-Length: 0\r\n\r\n").repeat(2).into(), &[200]),
        ("100,000 of 100", lines("HTTP/1.1 100 Continue\r\n\r\n", 100_000), &[502, 503]),
        ("a body cut short", format!("{ok}Content-Length: 10\r\n\r\nab").into(), &[]),
        ("a chunk size that is none", format!("{chunked}zz\r\n").into(), &[]),
        ("a chunk cut short", format!("{chunked}5\r\nab").into(), &[]),
        (
            "endless trailers",
            [chunked.as_bytes(), b"0\r\n", &lines("X: y\r\n", 200_000)].concat(),
            &[],
        ),
        (
            "a length and chunks",
            format!(
                "{ok}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"
            )
            .into(),
            &[502],
        ),
    ];
    let honest = Upstream::start("u").await;
    let mut mesh =
        Mesh::default().service("u", "http", &[honest.address()]).host_to("u.test", "u", "");
    let mut scripted = Vec::new();
    for (number, (_, answer, _)) in cases.iter().enumerate() {
        let upstream = Scripted::start(Box::leak(answer.clone().into_boxed_slice())).await;
        let name = format!("bad{number}");
        mesh = mesh.service(&name, "http", &[upstream.address()]);
        mesh = mesh.host_to(&format!("{name}.test"), &name, "retries: {attempts: 0}");
        scripted.push(upstream);
    }
    let serving = mesh.start(FAIRWAY).await;
    for (number, (what, _, allowed)) in cases.iter().enumerate() {
        let host = format!("bad{number}.test");
        let mut client = Http1::connect(serving.address).await;
        let said = client.try_send(get(&host, "/")).await;
        match (&said, allowed) {
            // The head was sent already: what is left is to break off.
            (Err(_), []) => {}
            (Ok(reply), allowed) if allowed.contains(&reply.status.as_u16()) => {}
            _ => panic!("{what}: {:?}", said.map(|reply| (reply.status, reply.body))),
        }
        serving.ask("u.test", "GET /").await.expect_status(200);
    }
    let instance = serving.world.instance().expect("it is up");
    assert_eq!(instance.workers[0].restarts, 0);
}
