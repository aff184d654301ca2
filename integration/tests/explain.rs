//! `fairway explain`, offline and through a running control: one command answers why a request
//! gets 404, and says what the gateway then does.

use std::process::{Command, Output};

use fairway_integration::client::get_once;
use fairway_integration::dk_shop::DkShop;
use fairway_integration::manifests::DK_SHOP_HOST;

/// The binary under test.
const FAIRWAY: &str = env!("CARGO_BIN_EXE_fairway-tested");
const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/examples/dk-shop");

fn fairway(args: &[&str]) -> Output {
    Command::new(FAIRWAY).args(args).output().expect("fairway starts")
}

/// Exit code, and every part of `named` on stdout, in this order.
fn check(args: &[&str], code: i32, named: &[&str]) {
    let output = fairway(args);
    let text = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {text}{stderr}");
    let mut rest = &*text;
    for part in named {
        let at = rest.find(part).unwrap_or_else(|| panic!("{args:?} lacks {part}: {text}"));
        rest = &rest[at + part.len()..];
    }
}

#[test]
fn a_directory_is_explained_without_a_gateway() {
    let parts = [
        "sent to outbound|80|v1|user.dk-shop.svc.cluster.local",
        "listener      0.0.0.0_80",
        "Gateway dk-shop/dk-shop",
        "dk-shop.yaml:",
        "virtual host  user.thanhoo.com",
        "✓ VirtualService dk-shop/user",
        "dk-shop.yaml:",
        "DestinationRule dk-shop/user",
        "endpoint    127.0.0.1:9001",
    ];
    check(&["explain", "--config", EXAMPLE, "GET http://user.thanhoo.com/x"], 0, &parts);
    let other = ["404: no virtual host takes `other.example`: there are user.thanhoo.com"];
    check(&["explain", "--config", EXAMPLE, "http://other.example/"], 1, &other);
    check(&["explain", "--config", "/no/such/directory", "http://a.b/"], 2, &[]);
    check(&["explain", "--config", EXAMPLE, "http:///"], 2, &[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_explains_what_the_gateway_does() {
    let shop = DkShop::start(FAIRWAY, 1, "").await;
    let directory = shop.world.instance_dir();
    let explain = |host: &str, code, named: &[&str]| {
        let (header, directory) = (format!("Host: {host}"), directory.display().to_string());
        let flags = ["explain", "--instance-dir", &directory, "--port", "80", "-H", &header];
        check(&[&flags[..], &["http://127.0.0.1/x"]].concat(), code, named);
    };
    get_once(shop.address, DK_SHOP_HOST, "/x").await.expect_status(200);
    explain(DK_SHOP_HOST, 0, &["sent to outbound|80|v1|user", "✓ VirtualService dk-shop/user"]);
    get_once(shop.address, "other.example", "/x").await.expect_status(404);
    explain("other.example", 1, &["404: no virtual host takes `other.example`"]);
}
