//! Time limits on clients that take their time, and on requests of which nothing moves: the right
//! answer, a figure, and neighbours that do not notice (Istio contract 1.6, 2.12, 6.7).

use std::time::{Duration, Instant};

use bytes::Bytes;
use fairway_integration::client::{Http2, Wire};
use fairway_integration::frames::{END_HEADERS, END_STREAM, Frames, frame, get, kind};
use fairway_integration::mesh::{Mesh, Serving};
use fairway_integration::upstream::{Reply, Upstream};

/// The binary under test.
const FAIRWAY: &str = env!("CARGO_BIN_EXE_fairway-tested");
/// Far longer than any limit set here, far shorter than the defaults.
const SOON: Duration = Duration::from_secs(12);

async fn start(upstream: &Upstream, flags: &str) -> Serving {
    let mesh = Mesh::default()
        .service("u", "http", &[upstream.address()])
        .host_to("u.test", "u", "")
        .host_to("timed.test", "u", "timeout: 8s")
        .flags(flags);
    mesh.start(FAIRWAY).await
}

/// What the gateway says before it closes, which it does neither at once nor late.
async fn said_before_close(wire: &mut Wire, at_least: Duration) -> String {
    let begun = Instant::now();
    let said = wire.hear_all().await;
    let took = begun.elapsed();
    assert!(took >= at_least && took < SOON, "closed after {took:?}: {said}");
    said
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_must_come_in_time_however_its_bytes_trickle() {
    let upstream = Upstream::start("u").await;
    let serving = start(&upstream, "--request-head-timeout 2s").await;
    let whole = "GET / HTTP/1.1\r\nHost: u.test\r\n\r\n";
    let mut honest = Wire::connect(serving.address).await;
    honest.say(whole).await;
    honest.hear("hello").await;

    let mut silent = Wire::connect(serving.address).await;
    let mut stuck = Wire::connect(serving.address).await;
    stuck.say("GET / HTTP/1.1\r\nHost: u.te").await;
    let mut second = Wire::connect(serving.address).await;
    second.say(whole).await;
    second.hear("hello").await;
    second.say("GET /second HT").await;
    let mut slow = Wire::connect(serving.address).await;
    let begun = Instant::now();
    for byte in "GET / HTTP/1.1\r\nX: ".bytes().chain(std::iter::repeat(b'x')) {
        if slow.try_say(&[byte]).await.is_err() || begun.elapsed() > SOON {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(begun.elapsed() < SOON, "a trickling head was taken for ever");
    assert_eq!(said_before_close(&mut silent, Duration::ZERO).await, "");
    for wire in [&mut stuck, &mut second] {
        let said = said_before_close(wire, Duration::ZERO).await;
        assert!(said.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{said}");
    }
    for reason in ["head_timeout", "silent"] {
        let reason = format!("reason=\"{reason}\"");
        serving.counted(&["fairway_downstream_refused_total", &reason]).await;
    }
    // A kept connection between two requests is none of this limit's business.
    honest.say(whole).await;
    honest.hear("hello").await;
    assert_eq!(upstream.total(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_connection_is_closed_in_good_order() {
    let upstream = Upstream::start("u").await;
    let serving = start(&upstream, "--idle-timeout 2s").await;
    let mut first = Wire::connect(serving.address).await;
    first.say("GET / HTTP/1.1\r\nHost: u.test\r\n\r\n").await;
    first.hear("hello").await;
    let mut second = Frames::connect(serving.address, &[]).await;
    let request = frame(kind::HEADERS, END_HEADERS | END_STREAM, 1, &get("u.test", "/"));
    second.say(&request).await.unwrap();
    assert!(second.next_of(kind::DATA).await.is_some());
    assert_eq!(said_before_close(&mut first, Duration::from_secs(1)).await, "");
    assert!(second.next_of(kind::GOAWAY).await.is_some());
    assert!(second.next_of(kind::DATA).await.is_none(), "it closes");
    serving.counted(&["fairway_downstream_refused_total", "reason=\"idle\""]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_of_which_nothing_moves_is_given_up() {
    let upstream = Upstream::start("u").await;
    let serving = start(&upstream, "--stream-idle-timeout 2s").await;
    // The client stops in the middle of its body.
    let mut half = Wire::connect(serving.address).await;
    half.say("POST / HTTP/1.1\r\nHost: u.test\r\nContent-Length: 10\r\n\r\nhalf").await;
    let said = said_before_close(&mut half, Duration::from_secs(1)).await;
    assert!(said.starts_with("HTTP/1.1 408 "), "{said}");
    // The upstream does not answer, to either version of HTTP.
    upstream.reply_with(Reply { delay: Duration::from_secs(600), ..Reply::default() });
    let mut waiting = Wire::connect(serving.address).await;
    waiting.say("GET / HTTP/1.1\r\nHost: u.test\r\nConnection: close\r\n\r\n").await;
    let request = || {
        let request = http::Request::get("http://u.test/");
        request.body(http_body_util::Full::<Bytes>::default()).unwrap()
    };
    let mut http2 = Http2::connect(serving.address).await;
    let (reply, said) = tokio::join!(
        http2.send(request()),
        said_before_close(&mut waiting, Duration::from_secs(1))
    );
    assert_eq!(reply.expect_status(504).body, "stream timeout");
    assert!(said.starts_with("HTTP/1.1 504 ") && said.ends_with("stream timeout"), "{said}");
    serving.counted(&["istio_requests_total", "response_flags=\"SI\"", "\"504\""]).await;
    serving.counted(&["istio_requests_total", "response_flags=\"SI\"", "\"408\""]).await;
    // A route's own timeout is the one that counts.
    upstream.reply_with(Reply { delay: Duration::from_secs(5), ..Reply::default() });
    serving.ask("timed.test", "GET /").await.expect_status(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_stops_holds_nothing_for_ever() {
    let upstream = Upstream::start("u").await;
    let serving = start(&upstream, "--stream-idle-timeout 2s").await;
    upstream.reply_with(Reply { body: Bytes::from(vec![b'x'; 32 << 20]), ..Reply::default() });
    // HTTP/1.1: never reads. HTTP/2: a window of nothing, and one of a single byte.
    let mut deaf = Wire::connect(serving.address).await;
    deaf.say("GET / HTTP/1.1\r\nHost: u.test\r\n\r\n").await;
    let request = frame(kind::HEADERS, END_HEADERS | END_STREAM, 1, &get("u.test", "/"));
    for window in [0, 1] {
        let mut stalled = Frames::connect(serving.address, &[(4, window)]).await;
        stalled.say(&request).await.unwrap();
        assert!(stalled.next_of(kind::HEADERS).await.is_some(), "{window}");
        let reset = stalled.next_of(kind::RST_STREAM).await;
        assert_eq!(reset.map(|frame| frame.stream), Some(1), "{window}");
        // The connection lives on.
        stalled.say(&frame(kind::PING, 0, 0, &[7; 8])).await.unwrap();
        assert!(stalled.next_of(kind::PING).await.is_some(), "{window}");
    }
    // A small answer, of which HTTP/2 holds all but a byte after the stream's own work is done.
    upstream.reply_with(Reply::default());
    let mut stalled = Frames::connect(serving.address, &[(4, 1)]).await;
    stalled.say(&request).await.unwrap();
    let first = stalled.next_of(kind::DATA).await.map(|frame| frame.payload.len());
    assert_eq!(first, Some(1));
    stalled.say(&frame(kind::PING, 0, 0, &[7; 8])).await.unwrap();
    let begun = Instant::now();
    assert_eq!(stalled.next_of(kind::DATA).await, None, "it closes");
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    let wait = fairway_integration::wait::until("the deaf connection's end", async || {
        deaf.try_say(b"x").await.err()
    });
    wait.await;
    serving.counted(&["fairway_downstream_refused_total", "reason=\"stream_idle\""]).await;
}
