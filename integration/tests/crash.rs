//! Whatever process dies: no connection is refused, and only what the dead one held breaks.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use fairway_integration::client::{Http1, get, get_once};
use fairway_integration::dk_shop::DkShop;
use fairway_integration::load::{Load, Plan, expect_failures_only_on, expect_no_failure};
use fairway_integration::manifests::{DK_SHOP_HOST, dk_shop_on_v2};
use fairway_integration::upstream::Reply;
use fairway_integration::world::is_serving;
use fairway_integration::{process, wait};
use fairway_shared::instance::Source;
use nix::sys::signal::Signal::{SIGABRT, SIGCONT, SIGKILL, SIGSTOP};

/// The binary under test.
const FAIRWAY: &str = env!("CARGO_BIN_EXE_fairway-tested");

/// The promise: back in less than this.
const BACK_WITHIN: Duration = Duration::from_secs(1);

/// Kills the worker of slot 0 and waits until the slot serves again; gives the ports of the
/// clients whose connections it held.
async fn kill_worker(shop: &mut DkShop) -> BTreeSet<u16> {
    let before = shop.world.when("ready", |i| i.ready).await;
    let victim = before.workers[0].pid.expect("a ready worker has a process");
    process::signal(victim, SIGSTOP);
    let held = process::client_ports(victim, shop.address.port());
    process::signal(victim, SIGKILL);
    shop.world
        .when_within(BACK_WITHIN, "back in the same slot", |i| {
            let worker = &i.workers[0];
            worker.pid != Some(victim)
                && is_serving(worker, before.workers[0].snapshot)
                && worker.restarts == before.workers[0].restarts + 1
        })
        .await;
    held
}

/// A worker that has just begun may have lent its sockets to the other still, which then has all
/// connections.
async fn load_on_all_workers(shop: &mut DkShop) -> Load {
    let instance = shop.world.when("ready", |i| i.ready).await;
    let pids: Vec<_> = instance.workers.iter().filter_map(|worker| worker.pid).collect();
    let port = shop.address.port();
    wait::until("a connection on every worker", async || {
        let load = Load::start(shop.plan(64)).await;
        load.answers(5).await;
        if pids.iter().all(|pid| !process::client_ports(*pid, port).is_empty()) {
            return Some(load);
        }
        load.stop().await;
        None
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_worker_costs_its_own_connections_and_nothing_else() {
    let mut shop = DkShop::start(FAIRWAY, 2, "").await;
    let load = load_on_all_workers(&mut shop).await;
    let held = kill_worker(&mut shop).await;
    assert!(!held.is_empty(), "64 connections leave no worker without one");
    load.answers(5).await;
    let report = load.stop().await;
    expect_failures_only_on(&report, &held);
    let broken: usize = report.iter().map(|tally| tally.broken.len()).sum();
    assert!(broken <= held.len(), "{broken} broke, {} were held", held.len());
    assert!(report.iter().any(|tally| tally.broken.is_empty()), "every connection broke");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_connections_are_served_while_a_worker_is_killed_again_and_again() {
    let mut shop = DkShop::start(FAIRWAY, 2, "").await;
    let load = Load::start(Plan { is_short: true, ..shop.plan(16) }).await;
    let mut held = BTreeSet::new();
    for _ in 0..5 {
        held.extend(kill_worker(&mut shop).await);
        load.answers(5).await;
    }
    expect_failures_only_on(&load.stop().await, &held);
}

/// Kills the process of slot 0 as soon as there is one, until the supervisor waits for long.
async fn drive_into_backoff(shop: &mut DkShop) -> u64 {
    const WAITS_BEYOND: u64 = 7;
    loop {
        let instance = shop.world.when("a process or a wait", |_| true).await;
        let worker = &instance.workers[0];
        match worker.pid {
            Some(pid) if process::is_alive(pid) => process::signal_if_there(pid, SIGKILL),
            None if worker.restarts >= WAITS_BEYOND => return worker.restarts,
            _ => tokio::task::yield_now().await,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sibling_accepts_for_a_slot_that_waits_for_its_restart() {
    let mut shop = DkShop::start(FAIRWAY, 2, "").await;
    let restarts = drive_into_backoff(&mut shop).await;
    // The kernel gives half of the new connections to the dead slot's socket.
    for _ in 0..40 {
        get_once(shop.address, DK_SHOP_HOST, "/").await.expect_status(200);
    }
    let after = shop.world.instance().expect("it is there");
    let waited = (after.workers[0].pid, after.workers[0].restarts);
    assert_eq!(waited, (None, restarts), "the slot came back too early to tell");

    // Back in its slot, the owner accepts alone again.
    let back = shop.world.when("back", |i| is_serving(&i.workers[0], 1)).await;
    let owner = back.workers[0].pid.expect("it serves");
    wait::until("a connection of its own", async || {
        get_once(shop.address, DK_SHOP_HOST, "/").await.expect_status(200);
        let connection = Http1::connect(shop.address).await;
        process::client_ports(owner, shop.address.port())
            .contains(&connection.local_port)
            .then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_worker_is_killed_and_replaced() {
    let mut shop = DkShop::start(FAIRWAY, 2, "--worker-stall 1s").await;
    let before = shop.world.when("ready", |i| i.ready).await;
    let victim = before.workers[0].pid.expect("a ready worker has a process");
    let load = Load::start(shop.plan(16)).await;
    process::signal(victim, SIGSTOP);
    let held = process::client_ports(victim, shop.address.port());
    shop.world
        .when("replaced", |i| {
            i.workers[0].pid != Some(victim) && is_serving(&i.workers[0], before.snapshot.version)
        })
        .await;
    load.answers(3).await;
    expect_failures_only_on(&load.stop().await, &held);
    assert!(!process::is_alive(victim));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn traffic_goes_on_without_control_and_control_comes_back() {
    let mut shop = DkShop::start(FAIRWAY, 2, "").await;
    let load = Load::start(shop.plan(8)).await;
    let before = shop.world.when("ready", |i| i.ready && i.control.pid.is_some()).await;
    let control = before.control.pid.expect("waited for it");
    process::signal(control, SIGKILL);
    let down = shop.world.when("without control", |i| i.control.pid.is_none()).await;
    assert_eq!(down.control.grpc, before.control.grpc, "its addresses stay known");
    assert!(down.ready);
    load.answers(20).await;
    let back = shop.world.when("with control again", |i| i.control.pid.is_some()).await;
    assert_ne!(back.control.pid, Some(control));
    assert_eq!(back.control.grpc, before.control.grpc, "it answers where it did");

    shop.world.write("dk-shop.yaml", &dk_shop_on_v2());
    load.all_from("v2").await;
    expect_no_failure(&load.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_comes_back_on_the_last_good_snapshot_while_control_is_dead() {
    come_back_without_control("--transport unix").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_comes_back_on_the_last_good_snapshot_over_grpc_too() {
    come_back_without_control("--transport grpc").await;
}

async fn come_back_without_control(flags: &str) {
    let mut shop = DkShop::start(FAIRWAY, 2, flags).await;
    let before = shop.world.when("ready", |i| i.ready && i.control.pid.is_some()).await;
    process::signal(before.control.pid.expect("waited for it"), SIGKILL);
    // Without its directory control cannot come back; it was dead before it could see that.
    let away = shop.world.config().with_file_name("away");
    fs::rename(shop.world.config(), &away).expect("it is there");
    shop.world.when("without control", |i| i.control.pid.is_none()).await;

    let load = Load::start(shop.plan(8)).await;
    let held = kill_worker(&mut shop).await;
    load.answers(5).await;
    let alone = shop.world.when("ready", |i| i.ready).await;
    assert_eq!((alone.control.pid, alone.snapshot.source), (None, Source::LastGood), "{alone:#?}");
    for _ in 0..20 {
        get_once(shop.address, DK_SHOP_HOST, "/").await.expect_status(200);
    }

    fs::rename(&away, shop.world.config()).expect("it was moved away");
    shop.world
        .when("with control again", |i| {
            i.control.pid.is_some() && i.snapshot.source == Source::Control
        })
        .await;
    shop.world.write("dk-shop.yaml", &dk_shop_on_v2());
    load.all_from("v2").await;
    expect_failures_only_on(&load.stop().await, &held);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_comes_back_although_control_is_stuck() {
    for flags in ["--transport unix", "--transport grpc"] {
        let mut shop = DkShop::start(FAIRWAY, 2, flags).await;
        let before = shop.world.when("ready", |i| i.ready && i.control.pid.is_some()).await;
        let control = before.control.pid.expect("waited for it");
        process::signal(control, SIGSTOP);
        kill_worker(&mut shop).await;
        for _ in 0..20 {
            get_once(shop.address, DK_SHOP_HOST, "/").await.expect_status(200);
        }
        process::signal(control, SIGCONT);
        shop.world.when("back on control", |i| i.snapshot.source == Source::Control).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_supervisor_ends_the_instance_and_leaves_nothing_behind() {
    let mut shop = DkShop::start(FAIRWAY, 2, "").await;
    let instance = shop.world.when("ready", |i| i.ready && i.control.pid.is_some()).await;
    process::signal(instance.supervisor.pid.expect("it is ready"), SIGKILL);
    assert_eq!(shop.world.ended().await.code(), Some(1));
    assert!(shop.world.log().contains("the supervisor was ended by SIGKILL"));
    wait::until("no process left", async || {
        let pids = fairway_integration::world::pids(&instance);
        pids.iter().all(|pid| !process::is_alive(*pid)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_is_told_with_its_signal_snapshot_and_requests_and_without_secrets() {
    let mut shop = DkShop::start(FAIRWAY, 1, "").await;
    let before = shop.world.when("ready", |i| i.ready).await;
    shop.v1.reply_with(Reply { delay: 4 * wait::PATIENCE, ..Reply::default() });
    let mut connection = Http1::connect(shop.address).await;
    let mut request = get(DK_SHOP_HOST, "/slow?token=hunter2");
    request.headers_mut().insert("authorization", "hunter2".parse().unwrap());
    let slow = tokio::spawn(async move { connection.try_send(request).await });
    wait::until("the slow request upstream", async || (shop.v1.total() == 1).then_some(())).await;
    process::signal(before.workers[0].pid.expect("it is ready"), SIGABRT);
    assert!(slow.await.unwrap().is_err());

    shop.world.when("back", |i| i.workers[0].restarts == 1 && is_serving(&i.workers[0], 1)).await;
    let admin = before.supervisor.admin.parse().expect("an address");
    let page = get_once(admin, "localhost", "/workers").await.expect_status(200).body;
    let page: serde_json::Value = serde_json::from_slice(&page).expect("JSON");
    let crash = &page[0]["lastCrash"];
    assert_eq!((&crash["exit"], &crash["cause"]), (&"SIGABRT".into(), &"signal".into()), "{crash}");
    assert_eq!(crash["snapshot"], before.snapshot.version, "{crash}");
    assert_eq!(crash["requestsInFlight"], 1, "{crash}");
    let last = &crash["lastRequests"][0];
    assert_eq!(last["inFlight"], true, "{crash}");
    let head = last["request"].as_str().expect("a line");
    assert!(head.starts_with(&format!("GET {DK_SHOP_HOST} /slow ")), "{head}");
    assert!(head.contains("query: <13>") && head.contains("authorization: <7>"), "{head}");
    shop.world.logged("ended: SIGABRT; snapshot").await;
    assert!(!shop.world.log().contains("hunter2"), "a secret in the log");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_hold_no_privileges() {
    let mut shop = DkShop::start(FAIRWAY, 2, "").await;
    let instance = shop.world.when("ready", |i| i.ready).await;
    for worker in &instance.workers {
        let pid = worker.pid.expect("a ready worker has a process");
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.map(|value| value.trim().to_owned()).unwrap_or_default()
        };
        for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
            assert_eq!(field(set), "0000000000000000", "{set} of worker {}", worker.id);
        }
        assert_eq!(field("NoNewPrivs:"), "1");
    }
}
