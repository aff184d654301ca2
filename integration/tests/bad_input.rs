//! Mistakes of a user: each is told on one line that says what to do, and harms nothing else.

use std::net::TcpListener;
use std::process::{Command, Output};

use fairway_integration::client::get_once;
use fairway_integration::dk_shop::DkShop;
use fairway_integration::manifests::DK_SHOP_HOST;

/// The binary under test.
const FAIRWAY: &str = env!("CARGO_BIN_EXE_fairway-tested");

fn fairway(args: &str) -> Output {
    Command::new(FAIRWAY).args(args.split_whitespace()).output().expect("fairway starts")
}

/// Exit code, and every word of `named` on the only line of stderr.
fn check(args: &str, code: i32, named: &[&str]) {
    let output = fairway(args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "`{args}`: {stderr}");
    assert_eq!(stderr.lines().count(), 1, "`{args}`: {stderr}");
    for word in named {
        assert!(stderr.contains(word), "`{args}` does not name {word}: {stderr}");
    }
}

#[test]
fn a_wrong_command_line_is_refused_on_one_line() {
    let here = env!("CARGO_MANIFEST_DIR");
    check(&format!("up {here} --no-such-flag"), 2, &["--no-such-flag"]);
    check(&format!("up {here} --workers none"), 2, &["none", "--workers"]);
    check(&format!("up {here} --workers 0"), 2, &["--workers", "1 to 1024"]);
    check(&format!("up {here} --transport tcp"), 2, &["tcp", "unix", "grpc"]);
    check(&format!("up {here} --port-map 80"), 2, &["80", "--port-map", "80:18080"]);
    check(&format!("up {here} --drain-duration 45"), 2, &["45", "45s"]);
    check("up", 2, &["DIR"]);
    check("down", 2, &["down"]);
    check("", 2, &["command", "fairway up DIR"]);
    check("child 1 control", 1, &["gone"]);
}

#[test]
fn help_is_an_answer_and_not_a_mistake() {
    for args in ["--help", "up --help", "demo --help", "echo --help", "--version"] {
        let output = fairway(args);
        assert_eq!(output.status.code(), Some(0), "{args}");
        assert!(!output.stdout.is_empty() && output.stderr.is_empty(), "{args}");
    }
    let help = String::from_utf8(fairway("--help").stdout).unwrap();
    assert!(!help.contains("dataplane"), "{help}");
}

#[test]
fn a_directory_that_cannot_be_served_is_named() {
    check("up /no/such/directory", 2, &["/no/such/directory", "does not exist"]);
    let file = format!("{}/Cargo.toml", env!("CARGO_MANIFEST_DIR"));
    check(&format!("up {file}"), 2, &[&file, "not a directory"]);
}

#[test]
fn a_port_in_use_is_named_with_the_address() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let all = ["grpc", "debug", "monitoring", "admin", "status", "metrics"];
    for which in all {
        let dir = tempfile::tempdir().unwrap();
        let instance = tempfile::Builder::new().prefix("fw").tempdir().unwrap();
        let flags: Vec<String> = all
            .iter()
            .map(|name| {
                let port = if *name == which { &port } else { "0" };
                format!("--{name}-port {port}")
            })
            .collect();
        let args = format!(
            "up {} --quiet --instance-dir {} {}",
            dir.path().display(),
            instance.path().display(),
            flags.join(" ")
        );
        let output = fairway(&args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{which}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{which}: {stderr}");
        for word in [port.as_str(), "127.0.0.1", "in use"] {
            assert!(stderr.contains(word), "{which} does not say {word}: {stderr}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_not_yaml_is_reported_and_the_rest_serves() {
    let shop = DkShop::start(FAIRWAY, 1, "").await;
    for (name, text) in [
        ("garbage.yaml", "kind: [unclosed\n  \u{1} : : }{\n"),
        ("binary.yaml", "\0\0\0\0"),
        ("list.yaml", "- 1\n- 2\n"),
        ("deep.json", &"[".repeat(100_000)),
    ] {
        shop.world.write(name, text);
        shop.world.logged(name).await;
        get_once(shop.address, DK_SHOP_HOST, "/").await.expect_status(200);
    }
    let log = shop.world.log();
    let line = log.lines().find(|line| line.contains("garbage.yaml")).unwrap();
    assert!(line.contains("Error [") && line.contains("garbage.yaml:"), "{line}");
}

const GATEWAY_WITHOUT_HOSTS: &str = "
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: hostless, namespace: dk-shop}
spec:
  selector: {istio: ingressgateway}
  servers:
    - port: {number: 81, name: http, protocol: HTTP}
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_without_hosts_is_reported_and_its_neighbour_serves() {
    let mut shop = DkShop::start(FAIRWAY, 1, "").await;
    shop.world.write("hostless.yaml", GATEWAY_WITHOUT_HOSTS);
    shop.world.logged("Gateway dk-shop/hostless hostless.yaml:").await;
    let log = shop.world.log();
    let line = log.lines().find(|line| line.contains("dk-shop/hostless")).unwrap();
    assert!(line.contains("Error [") && line.contains("hosts"), "{line}");
    get_once(shop.address, DK_SHOP_HOST, "/").await.expect_status(200);
    let instance = shop.world.when("ready", |i| i.ready).await;
    assert!(instance.listeners.iter().all(|listener| listener.port != 81), "{instance:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_port_in_use_is_told_and_does_not_hold_up_the_others() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let gateway = GATEWAY_WITHOUT_HOSTS.to_owned() + "      hosts: [\"*\"]\n";
    let mut shop = DkShop::start(FAIRWAY, 1, &format!("--port-map 81:{port}")).await;
    shop.world.write("taken.yaml", &gateway);
    shop.world.logged(&format!("127.0.0.1:{port}")).await;
    get_once(shop.address, DK_SHOP_HOST, "/").await.expect_status(200);
    shop.world.when("ready all the same", |i| i.ready).await;
    drop(taken);
}
