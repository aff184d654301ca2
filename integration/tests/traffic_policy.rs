//! DestinationRules at work: balancing, ejection, limits (Istio contract 3.3 to 3.5), with two
//! workers that must act as one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fairway_integration::client::{Http1, Reply, get_once, request};
use fairway_integration::mesh::{Mesh, Serving};
use fairway_integration::upstream::{self, NAME_HEADER, Upstream};
use fairway_integration::wait;
use tokio::task::JoinSet;

/// The binary under test.
const FAIRWAY: &str = env!("CARGO_BIN_EXE_fairway-tested");
const WORKERS: u16 = 2;

/// A Service `u` with these upstreams, under a traffic policy in YAML's flow style.
async fn start(upstreams: &[&Upstream], policy: &str) -> Serving {
    let endpoints: Vec<_> = upstreams.iter().map(|upstream| upstream.address()).collect();
    let rule = format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\n\
         metadata: {{name: u, namespace: shop}}\n\
         spec: {{host: u, trafficPolicy: {{{policy}}}}}\n"
    );
    let mesh = Mesh::default().service("u", "http", &endpoints).object(&rule);
    mesh.host_to("u.test", "u", "retries: {attempts: 0}").start_on(FAIRWAY, WORKERS).await
}

async fn three() -> [Upstream; 3] {
    [Upstream::start("a").await, Upstream::start("b").await, Upstream::start("c").await]
}

async fn ask(serving: &Serving) -> Reply {
    get_once(serving.address, "u.test", "/").await
}

/// The value of a metric with these words in its labels; 0 if there is none.
async fn metric(serving: &Serving, name: &str, label: &str) -> f64 {
    let instance = serving.world.instance().expect("a running instance");
    let metrics = instance.supervisor.metrics.parse().expect("an address");
    let page = get_once(metrics, "localhost", "/stats/prometheus").await;
    let page = String::from_utf8_lossy(&page.body).into_owned();
    let lines = page.lines().filter(|line| line.starts_with(name) && line.contains(label));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn balancers_spread_requests_evenly_over_both_workers() {
    for policy in ["ROUND_ROBIN", "LEAST_REQUEST", "RANDOM"] {
        let [a, b, c] = three().await;
        let serving = start(&[&a, &b, &c], &format!("loadBalancer: {{simple: {policy}}}")).await;
        for _ in 0..300 {
            ask(&serving).await.expect_status(200);
        }
        for upstream in [&a, &b, &c] {
            let total = upstream.total();
            // Four standard deviations of an even choice.
            assert!(total.abs_diff(100) <= 33, "{policy}: {total} of 300");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issued_cookie_leads_back_to_the_same_upstream_on_any_worker() {
    let [a, b, c] = three().await;
    let policy = "loadBalancer: {consistentHash: {httpCookie: {name: sid, path: /, ttl: 60s}}}";
    let serving = start(&[&a, &b, &c], policy).await;
    let mut reached = BTreeSet::new();
    for _ in 0..12 {
        let first = ask(&serving).await.expect_status(200);
        let issued = first.header("set-cookie").to_owned();
        let (pair, rest) = issued.split_once(';').expect("a cookie with attributes");
        assert_eq!(rest, " Max-Age=60; Path=/; HttpOnly");
        for _ in 0..4 {
            let with = request("u.test", &format!("GET / | cookie: {pair}"));
            let next = Http1::connect(serving.address).await.send(with).await;
            assert_eq!(next.header(NAME_HEADER), first.header(NAME_HEADER), "{pair}");
            assert_eq!(next.header("set-cookie"), "", "issued once");
        }
        reached.insert(first.header(NAME_HEADER).to_owned());
    }
    assert!(reached.len() > 1, "twelve clients are not all on {reached:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ejection_is_known_to_all_workers_and_ends() {
    let [a, b, c] = three().await;
    let policy = "outlierDetection: {consecutive5xxErrors: 3, interval: 1s, baseEjectionTime: 4s, \
                  maxEjectionPercent: 40}";
    let serving = start(&[&a, &b, &c], policy).await;
    b.reply_with(upstream::Reply::status(500));
    wait::until("an ejection", async || {
        ask(&serving).await;
        (metric(&serving, "fairway_endpoint_ejected{", "u.shop").await == 1.0).then_some(())
    })
    .await;
    // Whoever saw the last failure, the other worker knows within a second.
    wait::until("twenty answers in a row", async || {
        let before = b.total();
        for _ in 0..20 {
            ask(&serving).await;
        }
        (b.total() == before).then_some(())
    })
    .await;
    // A second one would be two of three, more than 40 %.
    c.reply_with(upstream::Reply::status(500));
    for _ in 0..30 {
        ask(&serving).await;
    }
    assert!(metric(&serving, "fairway_endpoint_ejected{", "u.shop").await <= 1.0);
    let ejected = b.total();
    wait::until("the return of the endpoint", async || {
        ask(&serving).await;
        (b.total() > ejected).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_hold_for_all_workers_together() {
    let upstream = Upstream::start("a").await;
    let slow = upstream::Reply { delay: Duration::from_millis(800), ..Default::default() };
    for (policy, at_once, refused) in [
        ("http: {http2MaxRequests: 4}", 4, 8),
        ("tcp: {maxConnections: 4}, http: {http1MaxPendingRequests: 4}", 4, 4),
    ] {
        let serving = start(&[&upstream], &format!("connectionPool: {{{policy}}}")).await;
        upstream.reply_with(slow.clone());
        let before = upstream.total();
        let mut asked = JoinSet::new();
        let ask = |asked: &mut JoinSet<Reply>| {
            let address = serving.address;
            asked.spawn(async move { get_once(address, "u.test", "/").await })
        };
        // One after the other, so that none is refused because another is refused as well.
        for number in 1..=at_once {
            ask(&mut asked);
            wait::until("a request that runs", async || {
                (upstream.total() - before >= number).then_some(())
            })
            .await;
        }
        (0..8).for_each(|_| drop(ask(&mut asked)));
        let mut statuses = BTreeMap::new();
        for reply in asked.join_all().await {
            let overloaded = reply.header("x-envoy-overloaded").to_owned();
            *statuses.entry((reply.status.as_u16(), overloaded)).or_insert(0) += 1;
        }
        let count = |status, overloaded: &str| {
            statuses.get(&(status, overloaded.to_owned())).copied().unwrap_or(0)
        };
        let (ok, over) = (count(200, ""), count(503, "true"));
        assert_eq!(ok + over, 12, "{policy}: {statuses:?}");
        // Two workers that ask for the last place at once may both be refused.
        assert!((refused..=refused + 2).contains(&over), "{policy}: {statuses:?}");
        assert!(metric(&serving, "fairway_upstream_overflows_total", "u.shop").await > 0.0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_workers_share_of_a_limit_is_given_back() {
    let upstream = Upstream::start("a").await;
    let mut serving = start(&[&upstream], "connectionPool: {http: {http2MaxRequests: 2}}").await;
    let slow = upstream::Reply { delay: wait::PATIENCE, ..Default::default() };
    upstream.reply_with(slow);
    let mut asked = JoinSet::new();
    for number in 1..=2 {
        let address = serving.address;
        asked.spawn(async move {
            Http1::connect(address).await.try_send(request("u.test", "GET /")).await
        });
        wait::until("a request that runs", async || (upstream.total() == number).then_some(()))
            .await;
    }
    ask(&serving).await.expect_status(503);
    upstream.reply_with(upstream::Reply::default());
    let instance = serving.world.instance().expect("a running instance");
    for worker in &instance.workers {
        let pid = worker.pid.expect("a running worker");
        fairway_integration::process::signal(pid, nix::sys::signal::Signal::SIGKILL);
    }
    serving
        .world
        .when("with new workers", |now| {
            now.ready
                && now
                    .workers
                    .iter()
                    .zip(&instance.workers)
                    .all(|(new, old)| new.pid.is_some() && new.pid != old.pid)
        })
        .await;
    ask(&serving).await.expect_status(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_change_is_applied_to_its_cluster_alone() {
    let [a, b, c] = three().await;
    let mesh = |of_u: &[&Upstream]| {
        let endpoints: Vec<_> = of_u.iter().map(|upstream| upstream.address()).collect();
        Mesh::default()
            .service("u", "http", &endpoints)
            .service("v", "http", &[c.address()])
            .host_to("u.test", "u", "")
            .host_to("v.test", "v", "")
    };
    let serving = mesh(&[&a]).start_on(FAIRWAY, WORKERS).await;
    let applied = async |service| metric(&serving, "fairway_cluster_applied_total", service).await;
    serving.world.write("mesh.yaml", mesh(&[&a, &b]).yaml());
    wait::until("the change in both workers", async || {
        (applied("u.shop").await == f64::from(WORKERS)).then_some(())
    })
    .await;
    assert_eq!(applied("v.shop").await, 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_that_a_limit_refuses_is_flagged_and_counted() {
    let up = Upstream::start("u").await;
    let rule = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\n\
                metadata: {name: u, namespace: shop}\nspec: {host: u, trafficPolicy: \
                {retryBudget: {percent: 0, minRetryConcurrency: 0}}}\n";
    let mesh = Mesh::default().service("u", "http", &[up.address()]).object(rule);
    let retries = "retries: {attempts: 2, retryOn: 5xx}";
    let serving = mesh.host_to("u.test", "u", retries).start_on(FAIRWAY, 1).await;
    up.reply_with(upstream::Reply::status(500));
    ask(&serving).await.expect_status(500);
    assert_eq!(up.total(), 1);
    let refused = metric(&serving, "fairway_upstream_overflows_total", "limit=\"retries\"").await;
    assert_eq!(refused, 1.0);
    let flagged = metric(&serving, "istio_requests_total", "response_flags=\"UO\"").await;
    assert_eq!(flagged, 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_admin_page_tells_of_every_endpoint_what_all_workers_have_counted() {
    let [a, b, _] = three().await;
    let policy = "connectionPool: {http: {http2MaxRequests: 50}}, \
                  outlierDetection: {consecutive5xxErrors: 1, maxEjectionPercent: 100}";
    let serving = start(&[&a, &b], policy).await;
    b.reply_with(upstream::Reply::status(500));
    for _ in 0..20 {
        ask(&serving).await;
    }
    wait::until("the ejection is known to all workers", async || {
        let before = b.total();
        for _ in 0..10 {
            ask(&serving).await;
        }
        (b.total() == before).then_some(())
    })
    .await;
    let instance = serving.world.instance().expect("a running instance");
    let admin = instance.supervisor.admin.parse().expect("an address");
    let page = get_once(admin, "localhost", "/clusters").await.expect_status(200);
    let page = String::from_utf8_lossy(&page.body).into_owned();
    let name = "outbound|80||u.shop.svc.cluster.local";
    for expected in [
        format!("{name}::default_priority::max_requests::50\n"),
        format!("{name}::{}::health_flags::healthy\n", a.address()),
        format!("{name}::{}::rq_success::{}\n", a.address(), a.total()),
        format!("{name}::{}::rq_error::{}\n", b.address(), b.total()),
        format!("{name}::{}::health_flags::/failed_outlier_check\n", b.address()),
    ] {
        assert!(page.contains(&expected), "{expected} in {page}");
    }
    let json = get_once(admin, "localhost", "/clusters?format=json").await.expect_status(200);
    let json: serde_json::Value = serde_json::from_slice(&json.body).expect("an object");
    let hosts = json["cluster_statuses"][0]["host_statuses"].as_array().expect("hosts");
    assert_eq!(hosts.len(), 2, "{json}");
}
