//! What clients send before or beside HTTP, under inputs that are almost right.

#[path = "../../shared/tests/fuzz/harness.rs"]
mod harness;

use std::io::Write;
use std::net::TcpStream as BlockingStream;

use tokio::net::TcpListener;

use crate::http::frame_meter::FrameMeter;
use crate::listener::pulse::{Phase, Pulse};
use crate::proxy_protocol::decode::{Header, decode};
use crate::tls::hello::Hello;

fn hello() -> Vec<u8> {
    let roots = rustls::RootCertStore::empty();
    let config = rustls::ClientConfig::builder_with_provider(
        rustls::crypto::ring::default_provider().into(),
    )
    .with_safe_default_protocol_versions()
    .expect("versions")
    .with_root_certificates(roots)
    .with_no_client_auth();
    let name = "a.example".try_into().expect("a name");
    let mut client = rustls::ClientConnection::new(config.into(), name).expect("a client");
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).expect("a vector grows");
    bytes
}

#[test]
fn proxy_headers() {
    let seeds = [
        b"PROXY TCP4 192.0.2.1 198.51.100.1 40000 80\r\nGET /".to_vec(),
        b"PROXY TCP6 2001:db8::1 ::1 40000 80\r\n".to_vec(),
        b"PROXY UNKNOWN x\r\n".to_vec(),
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc6\x33\x64\x01\x9c\x40\0\x50".to_vec(),
        b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0".to_vec(),
    ];
    harness::run("PROXY headers", &seeds, |input| {
        let whole = decode(input);
        let Ok(Some(Header { length, .. })) = whole else { return };
        assert!(length <= input.len());
        // The same header, however many bytes come after it, and none before it is whole.
        assert_eq!(decode(&input[..length]), whole);
        assert_eq!(decode(&input[..length - 1]), Ok(None));
    });
}

#[test]
fn frames_of_http2() {
    let frame = |kind: u8, length: u8| {
        let head = [0, 0, length, kind, 4, 0, 0, 0, 1];
        [&head[..], &vec![7; usize::from(length)]].concat()
    };
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let frames: Vec<u8> = (0..10).flat_map(|kind| frame(kind, kind * 3)).collect();
    let seeds = [[preface, frames].concat()];
    harness::run("HTTP/2 frames", &seeds, |input| {
        let judged = |piece: usize| {
            let (mut meter, pulse) = (FrameMeter::default(), Pulse::new(Phase::Idle));
            let ended = input.chunks(piece).try_for_each(|part| meter.see(part, &pulse));
            (ended, pulse.phase())
        };
        assert_eq!(judged(1), judged(input.len().max(1)), "pieces make no difference");
    });
}

#[test]
fn client_hellos() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("an event loop");
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
    let address = listener.local_addr().expect("bound");
    harness::run("client hellos", &[hello(), b"GET / HTTP/1.1\r\n\r\n".to_vec()], |input| {
        let mut client = BlockingStream::connect(address).expect("it listens");
        client.write_all(input).expect("room for a hello");
        client.shutdown(std::net::Shutdown::Write).expect("it is open");
        let (mut stream, _) = runtime.block_on(listener.accept()).expect("a connection");
        if let Ok(hello) = runtime.block_on(Hello::read(&mut stream)) {
            assert!(input.starts_with(&hello.bytes));
            assert!(hello.server_name.is_none_or(|name| !name.is_empty()));
        }
    });
}
