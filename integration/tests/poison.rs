//! A snapshot that crashes its workers is rolled back, refused and remembered.

use std::fs;
use std::time::Duration;

use fairway_integration::client::get_once;
use fairway_integration::dk_shop::DkShop;
use fairway_integration::manifests::{DK_SHOP, DK_SHOP_HOST, dk_shop_on_v2};
use fairway_integration::upstream::NAME_HEADER;
use fairway_integration::{process, wait};
use fairway_shared::instance::WorkerState;
use nix::sys::signal::Signal::{SIGABRT, SIGKILL};

/// The binary under test.
const FAIRWAY: &str = env!("CARGO_BIN_EXE_fairway-tested");

/// A snapshot is trusted after ten seconds, on top of which a busy machine may be slow.
const TRUSTED_WITHIN: Duration = Duration::from_secs(40);

async fn served_by(shop: &DkShop) -> String {
    let reply = get_once(shop.address, DK_SHOP_HOST, "/").await.expect_status(200);
    reply.header(NAME_HEADER).to_owned()
}

/// Plays a snapshot that crashes whoever applies it: ends the only worker whenever it serves that.
async fn crash_until_rolled_back(shop: &mut DkShop, good: u64) {
    loop {
        let ready = |i: &fairway_shared::instance::Instance| {
            i.workers[0].pid.is_some() && i.workers[0].snapshot > 0
        };
        let worker = shop.world.when("serving anything", ready).await.workers.remove(0);
        assert!(worker.restarts <= 3, "not rolled back: {worker:?}");
        let pid = worker.pid.expect("waited for it");
        match worker.snapshot == good && worker.restarts > 0 {
            true => return,
            false if worker.snapshot > good && process::is_alive(pid) => {
                process::signal_if_there(pid, SIGABRT);
            }
            false => {}
        }
        tokio::task::yield_now().await;
    }
}

async fn rolled_back_with(flags: &str) {
    let mut shop = DkShop::start(FAIRWAY, 1, flags).await;
    let good = shop.world.when("ready", |i| i.ready).await.snapshot.version;
    let proven = shop.world.instance_dir().join("last-good.proven");
    wait::within(TRUSTED_WITHIN, "the first snapshot trusted", async || {
        fs::exists(&proven).expect("a path that can be looked at").then_some(())
    })
    .await;

    shop.world.write("dk-shop.yaml", &dk_shop_on_v2());
    crash_until_rolled_back(&mut shop, good).await;
    let refused = shop.world.when("refused", |i| !i.snapshot.accepted).await;
    let reason = refused.snapshot.reason.expect("a refusal has a reason");
    assert!(reason.contains("crashed its workers three times"), "{reason}");
    assert_eq!(refused.workers[0].restarts, 3, "the third crash decides");
    assert_eq!(served_by(&shop).await, "v1");
    let debug = refused.control.debug.parse().expect("an address");
    let sync = get_once(debug, "localhost", "/debug/syncz").await.expect_status(200).body;
    let sync = String::from_utf8_lossy(&sync);
    assert!(sync.contains("crashed its workers three times"), "{sync}");

    // A configuration that differs is applied; the condemned one is remembered, also by a worker
    // that was not there when it was condemned.
    shop.world.write("dk-shop.yaml", &format!("{DK_SHOP}\n---\n{MARKER}"));
    shop.world.when("accepted", |i| i.snapshot.accepted && i.snapshot.version > good + 1).await;
    shop.world.remove("dk-shop.yaml");
    shop.world.write("dk-shop.yaml", &dk_shop_on_v2());
    let again = shop.world.when("refused again", |i| !i.snapshot.accepted).await;
    assert_eq!(again.workers[0].restarts, 3, "nobody had to crash for it");
    process::signal(again.workers[0].pid.expect("it serves"), SIGKILL);
    shop.world
        .when("back", |i| i.workers[0].restarts == 4 && i.workers[0].state == WorkerState::Ready)
        .await;
    assert_eq!(served_by(&shop).await, "v1");
}

/// Changes the snapshot and no answer.
const MARKER: &str = "
apiVersion: networking.istio.io/v1beta1
kind: Gateway
metadata: {name: marker, namespace: dk-shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 8123, name: http-marker, protocol: HTTP}
    hosts: [marker.example.com]
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_crashes_its_worker_three_times_is_rolled_back() {
    rolled_back_with("--transport unix --port-map 8123:0").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_crashes_its_worker_is_rolled_back_over_grpc_too() {
    rolled_back_with("--transport grpc --port-map 8123:0").await;
}
