//! Endpoints known by name: the answers of a DNS server decide where requests go, and its death
//! decides nothing (Istio contract 4.4).

use std::net::Ipv4Addr;

use fairway_integration::client::get_once;
use fairway_integration::dns::{DnsServer, Zone};
use fairway_integration::mesh::{Mesh, Serving};
use fairway_integration::process;
use fairway_integration::upstream::{NAME_HEADER, Upstream};
use fairway_integration::wait;
use fairway_integration::world::{Setup, World};
use nix::sys::signal::Signal::SIGKILL;

/// The binary under test.
const FAIRWAY: &str = env!("CARGO_BIN_EXE_fairway-tested");
const LOOPBACK: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// A ServiceEntry whose port leads to that of an upstream.
fn entry(host: &str, port: u16, more: &str) -> String {
    let name = host.replace('.', "-");
    format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\n\
         metadata: {{name: {name}, namespace: shop}}\n\
         spec: {{hosts: [{host}], ports: [{{number: 80, name: http, protocol: HTTP, \
         targetPort: {port}}}], {more}}}\n"
    )
}

async fn start(mesh: &Mesh, dns: &DnsServer, workers: u16) -> Serving {
    let setup = Setup::new(FAIRWAY)
        .file("mesh.yaml", mesh.yaml())
        .workers(workers)
        .flags(&format!("--dns-resolver {}", dns.address()));
    let mut world = World::start(setup).await;
    let address = world.listener(80).await;
    Serving { world, address }
}

async fn status(serving: &Serving, host: &str) -> u16 {
    get_once(serving.address, host, "/").await.status.as_u16()
}

async fn becomes(serving: &Serving, host: &str, expected: u16) {
    wait::until(&format!("{host} answers {expected}"), async || {
        (status(serving, host).await == expected).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn traffic_follows_the_answers_and_outlives_the_server() {
    let (dns, up) = (DnsServer::start().await, Upstream::start("up").await);
    let port = up.address().port();
    // Nobody listens at the second address.
    let (here, elsewhere) = (LOOPBACK, Ipv4Addr::new(127, 0, 0, 2));
    dns.tell("api.test", Zone::Addresses(vec![here], 1));
    let mesh = Mesh::default().object(&entry("api.test", port, "resolution: DNS")).host_to(
        "api.test",
        "api.test",
        "retries: {attempts: 0}",
    );
    let serving = start(&mesh, &dns, 1).await;
    // From the first request on: a snapshot waits for the first answer.
    assert_eq!(status(&serving, "api.test").await, 200);
    dns.tell("api.test", Zone::Addresses(vec![elsewhere], 1));
    becomes(&serving, "api.test", 503).await;
    dns.tell("api.test", Zone::Addresses(vec![here], 1));
    becomes(&serving, "api.test", 200).await;
    // Servers that fail change nothing; a new worker cannot know, and the old one does.
    dns.tell("api.test", Zone::Failure);
    let asked = dns.asked("api.test");
    wait::until("two failures", async || (dns.asked("api.test") >= asked + 2).then_some(())).await;
    assert_eq!(status(&serving, "api.test").await, 200);
    drop(dns);
    for _ in 0..20 {
        assert_eq!(status(&serving, "api.test").await, 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_is_not_there_has_no_endpoint_until_it_is() {
    let (dns, up) = (DnsServer::start().await, Upstream::start("up").await);
    let mesh = Mesh::default()
        .object(&entry("late.test", up.address().port(), "resolution: DNS"))
        .host_to("late.test", "late.test", "");
    let serving = start(&mesh, &dns, 1).await;
    let reply = get_once(serving.address, "late.test", "/").await;
    assert_eq!(reply.status, 503);
    assert_eq!(&reply.body[..], b"no healthy upstream");
    dns.tell("late.test", Zone::Addresses(vec![LOOPBACK], 300));
    becomes(&serving, "late.test", 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_answers_of_dns_are_endpoints_and_the_latest_of_round_robin() {
    let dns = DnsServer::start().await;
    let (one, two) = (Upstream::start("one").await, Upstream::start("two").await);
    // By port, since both are at one address.
    let named = |upstream: &Upstream, host: &str| {
        format!("{{address: {host}, ports: {{http: {}}}}}", upstream.address().port())
    };
    let both = format!("[{}, {}]", named(&one, "one.test"), named(&two, "two.test"));
    let all = format!("resolution: DNS, endpoints: {both}");
    let first = format!("resolution: DNS_ROUND_ROBIN, endpoints: [{}]", named(&one, "many.test"));
    dns.tell("one.test", Zone::Addresses(vec![LOOPBACK], 300));
    dns.tell("two.test", Zone::Addresses(vec![LOOPBACK], 300));
    let many = vec![LOOPBACK, Ipv4Addr::new(127, 0, 0, 3)];
    dns.tell("many.test", Zone::Addresses(many, 300));
    let mesh = Mesh::default()
        .object(&entry("all.test", 1, &all))
        .object(&entry("first.test", 1, &first))
        .host_to("all.test", "all.test", "retries: {attempts: 0}")
        .host_to("first.test", "first.test", "retries: {attempts: 0}");
    let serving = start(&mesh, &dns, 1).await;
    let mut names = std::collections::BTreeSet::new();
    for _ in 0..30 {
        let reply = get_once(serving.address, "all.test", "/").await.expect_status(200);
        names.insert(reply.header(NAME_HEADER).to_owned());
        assert_eq!(status(&serving, "first.test").await, 200);
    }
    assert_eq!(names.len(), 2, "{names:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_worker_has_its_answers_before_it_serves() {
    let (dns, up) = (DnsServer::start().await, Upstream::start("up").await);
    dns.tell("api.test", Zone::Addresses(vec![LOOPBACK], 300));
    let mesh = Mesh::default()
        .object(&entry("api.test", up.address().port(), "resolution: DNS"))
        .host_to("api.test", "api.test", "retries: {attempts: 0}");
    let mut serving = start(&mesh, &dns, 1).await;
    let old = serving.world.instance().expect("it runs").workers[0].pid;
    process::signal(old.expect("a process"), SIGKILL);
    serving
        .world
        .when("another worker", |instance| instance.ready && instance.workers[0].pid != old)
        .await;
    for _ in 0..10 {
        assert_eq!(status(&serving, "api.test").await, 200);
    }
}
