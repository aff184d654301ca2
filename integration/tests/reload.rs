//! A change of the configuration moves the traffic and costs no request.

use fairway_integration::client::get_once;
use fairway_integration::dk_shop::DkShop;
use fairway_integration::load::{Load, expect_no_failure};
use fairway_integration::manifests::{DK_SHOP, DK_SHOP_HOST, dk_shop_on_v2};

/// The binary under test.
const FAIRWAY: &str = env!("CARGO_BIN_EXE_fairway-tested");

async fn check(flags: &str) {
    let mut shop = DkShop::start(FAIRWAY, 2, flags).await;
    let before = shop.world.when("ready", |instance| instance.ready).await;
    let load = Load::start(shop.plan(32)).await;
    load.answers(20).await;
    assert_eq!(shop.v2.total(), 0);

    shop.world.write("dk-shop.yaml", &dk_shop_on_v2());
    load.all_from("v2").await;
    let wanted = before.snapshot.version + 1;
    shop.world
        .when("on the next version", |i| {
            i.snapshot.accepted && i.workers.iter().all(|worker| worker.snapshot == wanted)
        })
        .await;
    let settled = shop.v1.total();
    load.answers(20).await;
    assert_eq!(shop.v1.total(), settled, "v1 is asked although its subset is out of use");

    shop.world.write("dk-shop.yaml", DK_SHOP);
    load.all_from("v1").await;
    let report = load.stop().await;
    expect_no_failure(&report);
    for tally in &report {
        assert_eq!(tally.local_ports.len(), 1, "a reload closed a connection: {tally:?}");
        assert!(tally.ok["v1"] > 0 && tally.ok["v2"] > 0, "{tally:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn traffic_moves_between_subsets_without_a_failed_request() {
    check("--transport unix").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn traffic_moves_the_same_way_over_grpc() {
    check("--transport grpc").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_written_again_without_a_change_makes_no_version() {
    let mut shop = DkShop::start(FAIRWAY, 1, "").await;
    let before = shop.world.when("ready", |instance| instance.ready).await;
    shop.world.write("dk-shop.yaml", &format!("# a comment\n{DK_SHOP}"));
    // The change after it shows that the first was seen.
    shop.world.write("more.yaml", &dk_shop_on_v2());
    shop.world.write("dk-shop.yaml", "# moved to more.yaml\n");
    let load = Load::start(shop.plan(2)).await;
    load.all_from("v2").await;
    expect_no_failure(&load.stop().await);
    let after = shop.world.when("ready", |instance| instance.ready).await;
    assert!(after.snapshot.version <= before.snapshot.version + 2, "{after:#?}");
}

const SECOND_GATEWAY: &str = "
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: second, namespace: dk-shop}
spec:
  selector: {istio: ingressgateway}
  servers:
    - port: {number: 81, name: http, protocol: HTTP}
      hosts: [second.example]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: second, namespace: dk-shop}
spec:
  hosts: [second.example]
  gateways: [second]
  http:
    - route: [{destination: {host: user, subset: v2, port: {number: 80}}}]
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_comes_and_goes_and_the_other_does_not_notice() {
    let mut shop = DkShop::start(FAIRWAY, 2, "--port-map 81:0").await;
    let load = Load::start(shop.plan(8)).await;
    shop.world.write("second.yaml", SECOND_GATEWAY);
    let second = shop.world.listener(81).await;
    assert_ne!(second, shop.address, "each listener has a port of its own");
    let reply = get_once(second, "second.example", "/").await.expect_status(200);
    assert_eq!(reply.header("x-upstream"), "v2");
    get_once(second, DK_SHOP_HOST, "/").await.expect_status(404);
    get_once(shop.address, "second.example", "/").await.expect_status(404);

    shop.world.remove("second.yaml");
    shop.world.when("without port 81", |i| i.listeners.iter().all(|l| l.port != 81)).await;
    load.answers(5).await;
    expect_no_failure(&load.stop().await);
}
