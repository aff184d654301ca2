//! `fairway demo` needs no set-up: what it prints works, and its files can be edited.

use std::fs;

use fairway_integration::client::get_once;
use fairway_integration::manifests::DK_SHOP_HOST;
use fairway_integration::world::{Setup, World};
use fairway_integration::{process, wait};
use serde_json::Value;

/// The binary under test.
const FAIRWAY: &str = env!("CARGO_BIN_EXE_fairway-tested");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_printed_line_works_and_an_edit_moves_traffic() {
    let mut world = World::start(Setup::new(FAIRWAY).demo().workers(1)).await;
    let address = world.listener(80).await;
    world.logged(&format!("dk-shop/dk-shop  80/HTTP  http://{address}")).await;
    world.logged(&format!("curl -i -H 'Host: {DK_SHOP_HOST}' http://{address}/")).await;
    let instance = world.when("ready", |instance| instance.ready).await;
    world.logged(&instance.supervisor.metrics).await;

    let answered_by = async || {
        let reply = get_once(address, DK_SHOP_HOST, "/").await.expect_status(200);
        assert_eq!(reply.header("server"), "istio-envoy");
        let answer: Value = serde_json::from_slice(&reply.body).expect("echo answers JSON");
        answer["name"].as_str().expect("echo has a name").to_owned()
    };
    assert_eq!(answered_by().await, "user-v1");

    let file = world.instance_dir().join("demo/dk-shop.yaml");
    let text = fs::read_to_string(&file)
        .unwrap()
        .replace("            subset: v1", "            subset: v2");
    fs::write(&file, text).unwrap();
    wait::until("user-v2", async || (answered_by().await == "user-v2").then_some(())).await;

    assert_eq!(world.stop().await.code(), Some(0));
    let pids = fairway_integration::world::pids(&instance);
    assert!(pids.iter().all(|pid| !process::is_alive(*pid)), "{pids:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_demo_prints_nothing() {
    let world = World::start(Setup::new(FAIRWAY).demo().workers(1).flags("--quiet")).await;
    assert_eq!(world.log(), "");
}
