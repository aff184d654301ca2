//! HTTP/2 frames that are cheap to send and dear to take, as fast as one client can: neighbours are
//! served, memory stays, the worker lives, and the flood is ended and counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fairway_integration::client::{Http1, Wire, get};
use fairway_integration::frames::{
    END_HEADERS, END_STREAM, Frames, block, frame, get as head, kind,
};
use fairway_integration::mesh::{Mesh, Serving};
use fairway_integration::process::resident_bytes;
use fairway_integration::upstream::{Reply, Upstream};

/// The binary under test.
const FAIRWAY: &str = env!("CARGO_BIN_EXE_fairway-tested");
/// How long each flood is kept up.
const FLOOD_TIME: Duration = Duration::from_secs(2);
/// Growth that is no leak: buffers of connections, pools, the allocator's own.
const GROWTH_MAX: u64 = 24 << 20;

/// One flood: what begins a connection, and what is said over and over with fresh streams.
struct Flood {
    name: &'static str,
    opening: Vec<u8>,
    again: fn(u32) -> Vec<u8>,
    /// Does it end the connection?
    is_ended: bool,
}

fn request(stream: u32, flags: u8) -> Vec<u8> {
    frame(kind::HEADERS, flags, stream, &head("u.test", "/"))
}

fn floods() -> Vec<Flood> {
    let none = Vec::new;
    let open = || request(1, END_HEADERS);
    vec![
        Flood {
            name: "rapid reset",
            opening: none(),
            again: |stream| {
                let reset = frame(kind::RST_STREAM, 0, stream, &8_u32.to_be_bytes());
                [request(stream, END_HEADERS | END_STREAM), reset].concat()
            },
            is_ended: true,
        },
        Flood {
            name: "made you reset",
            opening: none(),
            again: |stream| {
                let wrong = frame(kind::WINDOW_UPDATE, 0, stream, &0_u32.to_be_bytes());
                [request(stream, END_HEADERS), wrong].concat()
            },
            is_ended: true,
        },
        Flood {
            name: "ping",
            opening: none(),
            again: |_| frame(kind::PING, 0, 0, &[0; 8]),
            is_ended: true,
        },
        Flood {
            name: "settings",
            opening: none(),
            again: |_| frame(kind::SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]),
            is_ended: true,
        },
        Flood {
            name: "priority",
            opening: none(),
            again: |stream| frame(kind::PRIORITY, 0, stream, &[0, 0, 0, 0, 1]),
            is_ended: true,
        },
        Flood {
            name: "empty data",
            opening: open(),
            again: |_| frame(kind::DATA, 0, 1, &[]),
            is_ended: true,
        },
        Flood {
            name: "data of one byte",
            opening: open(),
            again: |_| frame(kind::DATA, 0, 1, b"x"),
            is_ended: false,
        },
        Flood {
            name: "continuation",
            opening: request(1, 0),
            again: |_| frame(kind::CONTINUATION, 0, 1, &block(&[("x", "y")])),
            is_ended: true,
        },
        Flood {
            name: "empty continuation",
            opening: request(1, 0),
            again: |_| frame(kind::CONTINUATION, 0, 1, &[]),
            is_ended: true,
        },
        Flood {
            name: "window updates",
            opening: none(),
            again: |_| frame(kind::WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes()),
            is_ended: true,
        },
        Flood {
            name: "requests unread",
            opening: none(),
            again: |s| request(s, 5),
            is_ended: false,
        },
        Flood { name: "a field many times", opening: none(), again: bomb, is_ended: false },
    ]
}

/// One large field put into the table of compression, then named by a byte each time
/// (CVE-2026-49975).
fn bomb(stream: u32) -> Vec<u8> {
    let mut fields = head("u.test", "/");
    fields.extend([0x40, 6]);
    fields.extend(b"cookie");
    fields.extend([127, 0x81, 0x1e]); // 4,000 bytes
    fields.extend([b'c'; 4_000]);
    fields.extend([0x80 | 62; 12_000]);
    frame(kind::HEADERS, END_HEADERS | END_STREAM, stream, &fields)
}

/// Floods one connection after the other until the time is up; how many were ended.
async fn keep_up(serving: &Serving, flood: &Flood) -> u64 {
    let (begun, mut ended) = (Instant::now(), 0);
    while begun.elapsed() < FLOOD_TIME {
        let mut frames = Frames::connect(serving.address, &[]).await;
        if frames.say(&flood.opening).await.is_err() {
            continue;
        }
        let mut stream = 1;
        while begun.elapsed() < FLOOD_TIME {
            let burst: Vec<u8> = (0..64).flat_map(|n| (flood.again)(stream + 2 * n)).collect();
            stream += 128;
            let said = tokio::time::timeout(FLOOD_TIME, frames.say(&burst)).await;
            if !matches!(said, Ok(Ok(()))) {
                ended += u64::from(matches!(said, Ok(Err(_))));
                break;
            }
        }
    }
    ended
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_end_themselves_and_nobody_else() {
    let upstream = Upstream::start("u").await;
    let mesh =
        Mesh::default().service("u", "http", &[upstream.address()]).host_to("u.test", "u", "");
    let serving = mesh.start(FAIRWAY).await;
    let worker = || serving.world.instance().expect("it is up").workers[0].pid.expect("it runs");
    let pid = worker();
    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let honest = tokio::spawn({
        let (stop, answered, address) = (stop.clone(), answered.clone(), serving.address);
        async move {
            let mut client = Http1::connect(address).await;
            while !stop.load(Ordering::Relaxed) {
                client.send(get("u.test", "/honest")).await.expect_status(200);
                answered.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    keep_up(&serving, &floods()[2]).await; // what is only grown once is grown now
    let before = resident_bytes(pid);
    for flood in floods() {
        let served = answered.load(Ordering::Relaxed);
        let ended = keep_up(&serving, &flood).await;
        let served = answered.load(Ordering::Relaxed) - served;
        let grown = resident_bytes(pid).saturating_sub(before) >> 20;
        println!("{}: {ended} ended, {served} honest, {grown} MiB more", flood.name);
        assert!(served >= 10, "{}: {served} honest requests in {FLOOD_TIME:?}", flood.name);
        assert!(ended > 0 || !flood.is_ended, "{}: nobody ends it", flood.name);
    }
    stop.store(true, Ordering::Relaxed);
    honest.await.expect("the honest client is served throughout");
    assert_eq!(worker(), pid, "the worker lives");
    let settled = fairway_integration::wait::until("memory given back", async || {
        Some(resident_bytes(pid)).filter(|now| *now <= before + GROWTH_MAX)
    });
    settled.await;
    serving.counted(&["fairway_downstream_refused_total", "reason=\"flood\""]).await;
}

/// Bytes that each client which does not read may cost, whatever it asked for: a buffer on either
/// side of the gateway, and what they round up to.
const DEAF_BYTES_MAX: u64 = 512 << 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_read_costs_a_buffer_and_not_the_answer() {
    const CLIENTS: u64 = 100;
    let upstream = Upstream::start("u").await;
    let body = bytes::Bytes::from(vec![b'x'; 16 << 20]);
    upstream.reply_with(Reply { body, ..Reply::default() });
    let mesh =
        Mesh::default().service("u", "http", &[upstream.address()]).host_to("u.test", "u", "");
    let serving = mesh.start(FAIRWAY).await;
    let pid = serving.world.instance().expect("it is up").workers[0].pid.expect("it runs");
    let before = resident_bytes(pid);
    let mut deaf = Vec::new();
    for _ in 0..CLIENTS {
        let mut wire = Wire::connect(serving.address).await;
        wire.say("GET / HTTP/1.1\r\nHost: u.test\r\n\r\n").await;
        wire.hear("\r\n\r\n").await;
        deaf.push(wire);
    }
    let quick = Http1::connect(serving.address).await.send(get("u.test", "/")).await;
    assert_eq!(quick.body.len(), 16 << 20);
    let each = resident_bytes(pid).saturating_sub(before) / CLIENTS;
    println!("{} KiB for each client that does not read", each >> 10);
    assert!(each <= DEAF_BYTES_MAX, "{each} bytes each");
}
