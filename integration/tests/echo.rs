//! `fairway echo` answers with what it received, in both protocols and whatever the size.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use bytes::Bytes;
use fairway_integration::client::{Http1, get_once_http2, raw};
use http::Request;
use http_body_util::Full;
use serde_json::Value;

/// The binary under test.
const FAIRWAY: &str = env!("CARGO_BIN_EXE_fairway-tested");

struct Echo {
    child: Child,
    address: SocketAddr,
}

impl Echo {
    fn start() -> Self {
        let mut child = Command::new(FAIRWAY)
            .args(["echo", "--listen", "127.0.0.1:0", "--name", "e1", "--version-label", "v1.0"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("fairway starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped"))
            .read_line(&mut line)
            .expect("a first line");
        let address = line.trim().strip_prefix("listening on ").expect("the first line tells");
        let address = address.parse().expect("an address");
        Self { child, address }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[tokio::test]
async fn a_request_comes_back_as_json() {
    let echo = Echo::start();
    let request = Request::put("/a/b?c=d")
        .header("host", "user.thanhoo.com")
        .header("x-twice", "1")
        .header("x-twice", "2")
        .body(Full::new(Bytes::from(vec![b'x'; 3_000_000])))
        .unwrap();
    let reply = Http1::connect(echo.address).await.send(request).await.expect_status(200);
    assert_eq!(reply.header("content-type"), "application/json; charset=utf-8");
    let answer: Value = serde_json::from_slice(&reply.body).unwrap();
    for (field, expected) in [
        ("name", "e1".into()),
        ("version", "v1.0".into()),
        ("protocol", "HTTP/1.1".into()),
        ("method", "PUT".into()),
        ("path", "/a/b?c=d".into()),
        ("host", "user.thanhoo.com".into()),
        ("bodyLength", Value::from(3_000_000)),
    ] {
        assert_eq!(answer[field], expected, "{field}: {answer}");
    }
    assert_eq!(answer["headers"]["x-twice"], serde_json::json!(["1", "2"]));
}

#[tokio::test]
async fn http2_needs_no_upgrade() {
    let echo = Echo::start();
    let reply = get_once_http2(echo.address, "user.thanhoo.com", "/h2").await.expect_status(200);
    let answer: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!((&answer["protocol"], &answer["path"]), (&"HTTP/2".into(), &"/h2".into()));
    assert_eq!(answer["host"], "user.thanhoo.com");
}

#[tokio::test]
async fn a_chunked_body_is_counted() {
    let echo = Echo::start();
    let request = b"POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\
        Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    let answer = String::from_utf8(raw(echo.address, request).await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("\"bodyLength\":5"), "{answer}");
}

#[test]
fn an_address_in_use_is_told_on_one_line() {
    let echo = Echo::start();
    let address = echo.address.to_string();
    let output = Command::new(FAIRWAY).args(["echo", "--listen", &address]).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), stderr.lines().count()), (Some(1), 1), "{stderr}");
    assert!(stderr.contains(&address) && stderr.contains("--listen"), "{stderr}");
}
