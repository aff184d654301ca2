//! Upstreams that come, go and hang up cost no request (Istio contract 2.9, 4.2).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use fairway_integration::client::{Http1, get};
use fairway_integration::load::{Load, Plan, expect_no_failure};
use fairway_integration::mesh::{Mesh, Serving};
use fairway_integration::scripted::HangingUp;
use fairway_integration::upstream::Upstream;
use fairway_integration::world::is_serving;
use tokio::task::JoinSet;

/// The binary under test.
const FAIRWAY: &str = env!("CARGO_BIN_EXE_fairway-tested");

const NAMES: [&str; 3] = ["a", "b", "c"];
/// How long requests are sent to an upstream that hangs up, in seconds, unless this variable says
/// otherwise.
const SECONDS_VAR: &str = "FAIRWAY_HANG_UP_SECONDS";
const SECONDS: u64 = 8;
/// Answers a second that restarts must at least leave room for, if this variable is set: how fast
/// a machine is at other things is no reason to fail otherwise.
const RATE_MIN_VAR: &str = "FAIRWAY_RESTART_RATE_MIN";
/// Requests per second to an upstream that hangs up.
const RATE: u64 = 10;

fn mesh(endpoints: &[SocketAddr]) -> Mesh {
    Mesh::default().service("u", "http", endpoints).host_to("u.test", "u", "")
}

/// Writes the endpoints and waits until every worker serves them.
async fn serve_only(serving: &mut Serving, endpoints: &[SocketAddr]) {
    let before = serving.world.instance().expect("a running instance").snapshot.version;
    serving.world.write("mesh.yaml", mesh(endpoints).yaml());
    let is_applied = |instance: &fairway_shared::instance::Instance| {
        let version = instance.snapshot.version;
        version > before && instance.workers.iter().all(|worker| is_serving(worker, version))
    };
    serving.world.when("serving the new endpoints", is_applied).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_rolling_restarts_of_every_upstream_fail_no_request() {
    let mut upstreams = Vec::new();
    for name in NAMES {
        upstreams.push(Upstream::start(name).await);
    }
    let addresses = |upstreams: &[Upstream]| -> Vec<SocketAddr> {
        upstreams.iter().map(Upstream::address).collect()
    };
    let mut serving = mesh(&addresses(&upstreams)).start_on(FAIRWAY, 2).await;
    let plan = Plan { address: serving.address, host: "u.test", connections: 8, is_short: false };
    let (load, begun) = (Load::start(plan).await, Instant::now());
    for _ in 0..10 {
        for (index, name) in NAMES.into_iter().enumerate() {
            let others: Vec<SocketAddr> = addresses(&upstreams)
                .into_iter()
                .enumerate()
                .filter_map(|(other, address)| (other != index).then_some(address))
                .collect();
            serve_only(&mut serving, &others).await;
            upstreams[index].finish().await;
            upstreams[index] = Upstream::start(name).await;
            serve_only(&mut serving, &addresses(&upstreams)).await;
            load.answers(2).await;
        }
    }
    let (report, seconds) = (load.stop().await, begun.elapsed().as_secs_f64());
    expect_no_failure(&report);
    let answers: u64 = report.iter().flat_map(|tally| tally.ok.values()).sum();
    let rate = answers as f64 / seconds;
    println!("{answers} answers, {rate:.0} a second, none lost");
    let rate_min = std::env::var(RATE_MIN_VAR).ok().and_then(|text| text.parse::<f64>().ok());
    assert!(rate >= rate_min.unwrap_or(0.0), "{rate:.0} a second");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_hangs_up_idle_connections_costs_no_request() {
    let upstream = HangingUp::start(Duration::from_secs(1)).await;
    let serving = mesh(&[upstream.address()]).start_on(FAIRWAY, 2).await;
    let seconds = std::env::var(SECONDS_VAR).ok().and_then(|text| text.parse().ok());
    let requests = seconds.unwrap_or(SECONDS) * RATE;
    let mut tick = tokio::time::interval(Duration::from_millis(1_000 / RATE));
    // Each on a connection of its own, so that both workers have idle ones of every age.
    for number in 0..requests {
        tick.tick().await;
        // Now and then several at once, so that more connections are open than the others need.
        let at_once = if number % (2 * RATE) == 0 { 4 } else { 1 };
        let mut asked = JoinSet::new();
        for _ in 0..at_once {
            let address = serving.address;
            asked
                .spawn(async move { Http1::connect(address).await.send(get("u.test", "/")).await });
        }
        for reply in asked.join_all().await {
            assert_eq!(reply.status.as_u16(), 200, "request {number}: {reply:?}");
        }
    }
    assert!(upstream.hung_up() > 0, "no connection ever idled long enough");
}
