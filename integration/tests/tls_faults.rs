//! A certificate that is missing or broken harms its own server and no other: its handshakes fail,
//! the counter says so, the data plane's log names it, and control's finding says what to do.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use fairway_integration::certificates::{Authority, secret};
use fairway_integration::client::get_once;
use fairway_integration::process;
use fairway_integration::tcp::{gateway, service, virtual_service};
use fairway_integration::tls::{TlsClient, TlsSetup};
use fairway_integration::upstream::Upstream;
use fairway_integration::wait;
use fairway_integration::world::{Setup, World};
use nix::sys::signal::Signal;

/// The binary under test.
const FAIRWAY: &str = env!("CARGO_BIN_EXE_fairway-tested");

/// A server of that name, with a Secret of that name.
fn server(name: &str) -> String {
    format!(
        "{{port: {{number: 443, name: {name}, protocol: HTTPS}}, hosts: [{name}.shop.example], \
         tls: {{mode: SIMPLE, credentialName: {name}}}}}"
    )
}

async fn start(upstream: &Upstream, names: &[&str], secrets: &str) -> World {
    World::start(setup(upstream, names, secrets)).await
}

fn setup(upstream: &Upstream, names: &[&str], secrets: &str) -> Setup {
    let servers: Vec<String> = names.iter().map(|name| server(name)).collect();
    Setup::new(FAIRWAY)
        .file("gateway.yaml", gateway("gw", &format!("[{}]", servers.join(", "))))
        .file(
            "routes.yaml",
            virtual_service("all", "gw", "http: [{route: [{destination: {host: web}}]}]"),
        )
        .file("service.yaml", service("web", 80, &[upstream.address()]))
        .file("secrets.yaml", secrets)
        .workers(1)
        .flags("--port-map 443:0")
}

async fn ask(client: &TlsClient, world: &mut World, name: &str) -> Result<u16, String> {
    let (address, host) = (world.listener(443).await, format!("{name}.shop.example"));
    let answer = client.ask(address, &host, &host).await;
    answer.map(|answer| answer.status).map_err(|error| error.to_string())
}

/// Waits until that many handshakes have ended so.
async fn handshakes(world: &World, outcome: &str, count: u64) {
    let label = format!("outcome=\"{outcome}\"}} {count}");
    wait::until(&label, async || {
        let metrics = world.metrics().await;
        let mut lines = metrics.lines().filter(|l| l.starts_with("fairway_tls_handshakes_total"));
        lines.any(|line| line.ends_with(&label)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_certificate_harms_its_own_server_only() {
    let upstream = Upstream::start("web").await;
    let authority = Authority::new("servers");
    let (good, other) =
        (authority.issue(&["*.shop.example"], 1), authority.issue(&["*.shop.example"], 2));
    let secrets = good.secret("good")
        + &secret(
            "mixed",
            [("tls.crt", good.certificate.as_str()), ("tls.key", &other.private_key)],
        )
        + &secret("garbage", [("tls.crt", "not PEM"), ("tls.key", &good.private_key)])
        + &secret("half", [("tls.crt", good.certificate.as_str())]);
    let names = ["good", "missing", "mixed", "garbage", "half"];
    let mut world = start(&upstream, &names, &secrets).await;
    let client = TlsSetup::trusting(&[&authority]).client();
    for (name, found, logged) in [
        ("missing", "`missing` is no Secret", "secret missing does not exist"),
        (
            "mixed",
            "`mixed` holds a private key that does not belong",
            "secret mixed holds a private",
        ),
        ("garbage", "`garbage` holds no certificate", "secret garbage holds no certificate"),
        ("half", "`half` holds no", "secret half holds no"),
    ] {
        let refused = ask(&client, &mut world, name).await;
        assert!(refused.as_ref().is_err_and(|why| why.contains("InternalError")), "{refused:?}");
        assert_eq!(ask(&client, &mut world, "good").await, Ok(200), "beside {name}");
        let log = world.log();
        let finding = log.lines().find(|line| line.contains(found));
        assert!(
            finding.is_some_and(|line| {
                line.starts_with("Error [IST0") && line.contains("Gateway shop/gw gateway.yaml:")
            }),
            "{finding:?} in\n{log}"
        );
        let line = log.lines().find(|line| line.contains(logged));
        assert!(
            line.is_some_and(|line| {
                line.contains(&format!("TLS of https.443.{name}.gw.shop"))
                    && line.contains("ERROR")
                    && line.ends_with("handshakes fail")
            }),
            "{line:?} in\n{log}"
        );
    }
    handshakes(&world, "no_certificate", 4).await;
    handshakes(&world, "success", 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_comes_late_is_served_without_any_other_change() {
    let upstream = Upstream::start("web").await;
    let authority = Authority::new("servers");
    let mut world = start(&upstream, &["late"], "").await;
    let client = TlsSetup::trusting(&[&authority]).client();
    assert!(ask(&client, &mut world, "late").await.is_err());
    let pair = authority.issue(&["*.shop.example"], 1);
    world.write("secrets.yaml", &pair.secret("late"));
    wait::until("the certificate served", async || ask(&client, &mut world, "late").await.ok())
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_breaks_leaves_the_last_good_one_in_place() {
    let upstream = Upstream::start("web").await;
    let authority = Authority::new("servers");
    let (good, other) =
        (authority.issue(&["*.shop.example"], 1), authority.issue(&["*.shop.example"], 2));
    let mut world = start(&upstream, &["shop"], &good.secret("shop")).await;
    let client = TlsSetup::trusting(&[&authority]).client();
    assert_eq!(ask(&client, &mut world, "shop").await, Ok(200));
    let mixed = [("tls.crt", good.certificate.as_str()), ("tls.key", other.private_key.as_str())];
    world.write("secrets.yaml", &secret("shop", mixed));
    world.logged("TLS of https.443.shop.gw.shop: secret shop holds a private key").await;
    world.logged("the last pair serves on").await;
    assert_eq!(ask(&client, &mut world, "shop").await, Ok(200));
}

/// Waits until a line of control's metrics is this one.
async fn control_counts(world: &World, line: &str) {
    let monitoring = world.instance().expect("it is ready").control.monitoring;
    let address = monitoring.parse().expect("an address");
    wait::until(line, async || {
        let body = get_once(address, "localhost", "/metrics").await.body;
        String::from_utf8_lossy(&body).lines().any(|found| found == line).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_has_expired_is_served_and_told() {
    let upstream = Upstream::start("web").await;
    let authority = Authority::new("servers");
    let secrets = authority.issue_expired(&["old.shop.example"], 1).secret("old")
        + &authority.issue(&["*.shop.example"], 2).secret("good");
    let mut world = start(&upstream, &["old", "good"], &secrets).await;
    let client = TlsSetup::trusting(&[&authority]).client();
    let refused = ask(&client, &mut world, "old").await;
    assert!(refused.as_ref().is_err_and(|why| why.contains("expired")), "{refused:?}");
    assert_eq!(ask(&client, &mut world, "good").await, Ok(200));
    let log = world.log();
    let wanted = "Error [IST0161] (Secret istio-system/old secrets.yaml:";
    let finding = log.lines().find(|line| line.starts_with(wanted));
    assert!(finding.is_some_and(|line| line.contains("expired at 2021-01-01T")), "{log}");
    control_counts(&world, "pilot_sds_certificate_errors_total 1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_deleted_secret_held_serves_on_and_outlives_a_worker() {
    let upstream = Upstream::start("web").await;
    let authority = Authority::new("servers");
    let pair = authority.issue(&["*.shop.example"], 1);
    let mut world = start(&upstream, &["shop"], &pair.secret("shop")).await;
    let client = TlsSetup::trusting(&[&authority]).client();
    assert_eq!(ask(&client, &mut world, "shop").await, Ok(200));
    world.remove("secrets.yaml");
    world.logged("Error [FWY0019] (Gateway shop/gw gateway.yaml:").await;
    control_counts(&world, "fairway_control_deleted_secrets 1").await;
    assert_eq!(ask(&client, &mut world, "shop").await, Ok(200));
    let worker = world.instance().expect("it is ready").workers[0].pid.expect("a worker");
    process::signal(worker, Signal::SIGKILL);
    world.when("another worker", |i| i.workers[0].restarts == 1 && i.ready).await;
    assert_eq!(ask(&client, &mut world, "shop").await, Ok(200));
    world.write("secrets.yaml", &pair.secret("shop"));
    control_counts(&world, "fairway_control_deleted_secrets 0").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_secret_ends_handshakes_where_that_is_wanted() {
    let upstream = Upstream::start("web").await;
    let authority = Authority::new("servers");
    let pair = authority.issue(&["*.shop.example"], 1);
    let setup = setup(&upstream, &["shop"], &pair.secret("shop"));
    let mut world = World::start(setup.flags("--on-secret-deleted fail")).await;
    let client = TlsSetup::trusting(&[&authority]).client();
    assert_eq!(ask(&client, &mut world, "shop").await, Ok(200));
    world.remove("secrets.yaml");
    wait::until("handshakes that fail", async || ask(&client, &mut world, "shop").await.err())
        .await;
    world.logged("secret shop does not exist; handshakes fail").await;
    world.write("secrets.yaml", &pair.secret("shop"));
    wait::until("the Secret again", async || ask(&client, &mut world, "shop").await.ok()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn private_keys_appear_in_no_log_and_no_dump() {
    let upstream = Upstream::start("web").await;
    let authority = Authority::new("servers");
    let pair = authority.issue(&["*.shop.example"], 1);
    let mut world = start(&upstream, &["shop"], &pair.secret("shop")).await;
    let client = TlsSetup::trusting(&[&authority]).client();
    assert_eq!(ask(&client, &mut world, "shop").await, Ok(200));
    let instance = world.instance().expect("it is ready");
    let mut said = world.log();
    for path in ["/debug/config_dump", "/debug/configz"] {
        let address = instance.control.debug.parse().expect("an address");
        let reply = get_once(address, "localhost", path).await;
        let page = reply.expect_status(200).body;
        assert!(!page.is_empty(), "{path}");
        said += &String::from_utf8_lossy(&page);
    }
    assert!(said.contains("shop"), "the dumps have something in them");
    let key_lines = pair.private_key.lines().filter(|line| !line.starts_with("-----"));
    for line in key_lines {
        assert!(!said.contains(line), "a part of the key is told");
    }
    // As PEM, as a Secret has it.
    let encoded = pair.secret("x");
    let encoded = encoded.split("tls.key\":\"").nth(1).and_then(|rest| rest.split('"').next());
    assert!(!said.contains(&encoded.expect("a key")[60..160]), "the Secret is told");
    let secret_line = pair.private_key.lines().nth(1).expect("a line of the key");
    wait::until("a last-good snapshot that its owner alone can read", async || {
        let files = fs::read_dir(world.instance_dir()).expect("the instance's directory");
        let mut with_key = files.flatten().filter(|file| {
            let held = fs::read(file.path()).unwrap_or_default();
            held.windows(secret_line.len()).any(|part| part == secret_line.as_bytes())
        });
        let file = with_key.next()?;
        assert_eq!(file.metadata().expect("it is there").permissions().mode() & 0o077, 0);
        Some(())
    })
    .await;
}
