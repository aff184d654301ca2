//! The end of an instance: what runs may finish, nothing is left behind.

use std::fs;
use std::time::{Duration, Instant};

use fairway_integration::client::{Http1, get, get_once};
use fairway_integration::dk_shop::DkShop;
use fairway_integration::manifests::DK_SHOP_HOST;
use fairway_integration::upstream::Reply;
use fairway_integration::world::{World, pids};
use fairway_integration::{process, wait};
use fairway_shared::instance::Instance;
use nix::sys::signal::Signal::{SIGKILL, SIGTERM};

/// The binary under test.
const FAIRWAY: &str = env!("CARGO_BIN_EXE_fairway-tested");

/// A request that takes long enough for the end to come while it runs.
const SLOW: Duration = Duration::from_millis(1_500);

async fn nothing_is_left(instance: &Instance) {
    wait::until("no process left", async || {
        pids(instance).iter().all(|pid| !process::is_alive(*pid)).then_some(())
    })
    .await;
}

async fn whole(world: &mut World) -> Instance {
    world.when("ready with control", |i| i.ready && i.control.pid.is_some()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_request_is_finished_and_the_exit_code_is_zero() {
    let mut shop = DkShop::start(FAIRWAY, 2, "").await;
    let instance = whole(&mut shop.world).await;
    shop.v1.reply_with(Reply { delay: SLOW, ..Reply::default() });
    let mut connection = Http1::connect(shop.address).await;
    let slow = tokio::spawn(async move { connection.send(get(DK_SHOP_HOST, "/slow")).await });
    wait::until("the slow request upstream", async || (shop.v1.total() == 1).then_some(())).await;

    let status = shop.world.stop().await;
    assert_eq!(status.code(), Some(0), "{status}");
    let reply = slow.await.unwrap().expect_status(200);
    assert_eq!(reply.body, "hello");
    nothing_is_left(&instance).await;
    assert!(!shop.world.instance_dir().join("instance.json").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_instance_ends_at_once() {
    let mut shop = DkShop::start(FAIRWAY, 2, "").await;
    let instance = whole(&mut shop.world).await;
    get_once(shop.address, DK_SHOP_HOST, "/").await.expect_status(200);
    let started = Instant::now();
    assert_eq!(shop.world.stop().await.code(), Some(0));
    assert!(started.elapsed() < Duration::from_secs(5), "took {:?}", started.elapsed());
    nothing_is_left(&instance).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_does_not_wait_for_a_running_request() {
    let mut shop = DkShop::start(FAIRWAY, 1, "").await;
    let instance = whole(&mut shop.world).await;
    shop.v1.reply_with(Reply { delay: 4 * wait::PATIENCE, ..Reply::default() });
    let mut connection = Http1::connect(shop.address).await;
    let slow = tokio::spawn(async move { connection.try_send(get(DK_SHOP_HOST, "/")).await });
    wait::until("the slow request upstream", async || (shop.v1.total() == 1).then_some(())).await;

    process::signal(shop.world.pid(), SIGTERM);
    shop.world.when("not ready", |i| !i.ready).await;
    let started = Instant::now();
    process::signal(shop.world.pid(), SIGTERM);
    assert_eq!(shop.world.ended().await.code(), Some(1));
    assert!(started.elapsed() < Duration::from_secs(5), "took {:?}", started.elapsed());
    assert!(slow.await.unwrap().is_err());
    nothing_is_left(&instance).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_outlives_a_killed_up() {
    let mut shop = DkShop::start(FAIRWAY, 2, "").await;
    let instance = whole(&mut shop.world).await;
    process::signal(shop.world.pid(), SIGKILL);
    shop.world.ended().await;
    nothing_is_left(&instance).await;
    // A new instance takes the same directory, although the old one could not clean it.
    let stale = shop.world.instance_dir().join("instance.json");
    assert!(fs::exists(stale).unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn during_the_grace_everything_is_served_and_told_to_go_elsewhere() {
    let mut shop = DkShop::start(FAIRWAY, 2, "--shutdown-grace 3s").await;
    let mut kept = Http1::connect(shop.address).await;
    let reply = kept.send(get(DK_SHOP_HOST, "/")).await.expect_status(200);
    assert_eq!(reply.header("connection"), "");
    process::signal(shop.world.pid(), SIGTERM);
    shop.world.when("not ready", |i| !i.ready).await;
    let reply = wait::until("an answer that says close", async || {
        let reply = get_once(shop.address, DK_SHOP_HOST, "/").await.expect_status(200);
        (reply.header("connection") == "close").then_some(reply)
    })
    .await;
    assert_eq!(reply.body, "hello");
    let reply = kept.send(get(DK_SHOP_HOST, "/")).await.expect_status(200);
    assert_eq!(reply.header("connection"), "close");
    assert_eq!(shop.world.ended().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_request_finishes_new_connections_are_refused_instead_of_left_waiting() {
    let mut shop = DkShop::start(FAIRWAY, 2, "").await;
    shop.v1.reply_with(Reply { delay: 2 * SLOW, ..Reply::default() });
    let mut connection = Http1::connect(shop.address).await;
    let slow = tokio::spawn(async move { connection.send(get(DK_SHOP_HOST, "/slow")).await });
    wait::until("the slow request upstream", async || (shop.v1.total() == 1).then_some(())).await;
    process::signal(shop.world.pid(), SIGTERM);
    wait::until("a refusal", async || {
        let refused = Http1::try_connect(shop.address).await.err()?;
        (refused.kind() == std::io::ErrorKind::ConnectionRefused).then_some(())
    })
    .await;
    assert!(!slow.is_finished(), "the request ended before anybody was refused");
    slow.await.unwrap().expect_status(200);
    assert_eq!(shop.world.ended().await.code(), Some(0));
}
