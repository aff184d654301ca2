//! The operator's commands against a running instance: lists, status, versions, pins.

use std::process::Command;

use fairway_integration::client::get_once;
use fairway_integration::dk_shop::DkShop;
use fairway_integration::manifests::DK_SHOP_HOST;
use serde_json::Value;

/// The binary under test.
const FAIRWAY: &str = env!("CARGO_BIN_EXE_fairway-tested");

/// Runs a command against an instance; its stdout if it exits with `code`.
fn fairway(shop: &DkShop, words: &str, code: i32) -> String {
    let output = Command::new(FAIRWAY)
        .args(words.split_whitespace())
        .arg("--instance-dir")
        .arg(shop.world.instance_dir())
        .output()
        .expect("fairway starts");
    let text = String::from_utf8(output.stdout).expect("text");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "`{words}`: {text}{stderr}");
    text
}

fn json(shop: &DkShop, words: &str) -> Value {
    serde_json::from_str(&fairway(shop, &format!("{words} -o json"), 0)).expect("JSON")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_list_has_columns_and_a_form_for_programs() {
    let shop = DkShop::start(FAIRWAY, 2, "").await;
    for (kind, part) in [
        ("listeners", "0.0.0.0_80"),
        ("routes", "dk-shop/user#0"),
        ("clusters", "outbound|80|v1|user.dk-shop.svc.cluster.local"),
        ("endpoints", "127.0.0.1:"),
        ("secrets", "no secret in use"),
        ("workers", "unix"),
        ("diagnostics", "no finding"),
    ] {
        let text = fairway(&shop, &format!("get {kind}"), 0);
        assert!(text.contains(part), "{kind}: {text}");
        assert!(!text.contains('\u{1b}'), "colour without a terminal: {text}");
        fairway(&shop, &format!("get {kind} -o wide"), 0);
        fairway(&shop, &format!("get {kind} -o yaml"), 0);
        assert!(json(&shop, &format!("get {kind}")).is_object());
    }
    let routes = json(&shop, "get routes dk-shop/user");
    assert_eq!(routes["routes"].as_array().map(Vec::len), Some(1));
    assert_eq!(json(&shop, "get routes nothing")["routes"].as_array().map(Vec::len), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_is_0_when_all_workers_are_in_sync() {
    let shop = DkShop::start(FAIRWAY, 2, "").await;
    let text = fairway(&shop, "status", 0);
    assert_eq!(text.lines().filter(|line| line.contains("SYNCED")).count(), 2, "{text}");
    let unreachable = Command::new(FAIRWAY).args(["status", "--control", "127.0.0.1:1"]).output();
    assert_eq!(unreachable.expect("fairway starts").status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pin_rolls_traffic_back_and_holds_it_there() {
    let mut shop = DkShop::start(FAIRWAY, 1, "").await;
    let wrong = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: user, \
                 namespace: aaa}\nspec:\n  hosts: [user.thanhoo.com]\n  gateways: \
                 [dk-shop/dk-shop]\n  http: [{directResponse: {status: 503}}]\n";
    shop.world.write("0.yaml", wrong);
    shop.world.when("the new version", |instance| instance.snapshot.version == 2).await;
    get_once(shop.address, DK_SHOP_HOST, "/").await.expect_status(503);
    let diff = fairway(&shop, "snapshot diff 1 2", 0);
    assert!(diff.contains("~ table http.80") && diff.contains("aaa/user#0"), "{diff}");

    fairway(&shop, "snapshot pin 1", 0);
    shop.world
        .when("the roll back", |instance| {
            instance.snapshot.pinned && instance.workers.iter().all(|one| one.snapshot == 1)
        })
        .await;
    get_once(shop.address, DK_SHOP_HOST, "/").await.expect_status(200);
    let list = json(&shop, "snapshot list");
    assert_eq!(
        (&list["snapshots"][1]["version"], &list["snapshots"][1]["pinned"]),
        (&1.into(), &true.into())
    );

    fairway(&shop, "snapshot unpin", 0);
    shop.world
        .when("the newest again", |instance| {
            !instance.snapshot.pinned && instance.workers.iter().all(|one| one.snapshot == 2)
        })
        .await;
    fairway(&shop, "snapshot pin 99", 1);
    assert!(fairway(&shop, "snapshot show 1", 0).contains("version: 1"));
}

#[test]
fn shells_can_complete_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let output = Command::new(FAIRWAY).args(["completions", shell]).output().expect("starts");
        let script = String::from_utf8(output.stdout).expect("text");
        assert!(output.status.success() && script.contains("explain"), "{shell}");
    }
}
