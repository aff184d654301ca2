//! Two hundred changes of the configuration in ten seconds, under load: no request is lost, and
//! each is answered by one configuration, never by parts of two, and never by one that an earlier
//! answer on the same connection had left behind.
//!
//! With its defaults control waits until the configuration has been quiet for 100 ms, as Istio
//! does, and would publish this storm as a single snapshot. Here it is told to wait for 20 ms and
//! no longer than 60 ms, so that the data plane has to follow nearly every change.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use fairway_integration::client::{Http1, Http2, Reply, get};
use fairway_integration::mesh::Mesh;
use fairway_integration::upstream::{NAME_HEADER, Upstream};
use fairway_integration::world::{Setup, World};
use http::Request;
use http_body_util::Full;
use tokio::task::JoinSet;

/// The binary under test.
const FAIRWAY: &str = env!("CARGO_BIN_EXE_fairway-tested");

const CHANGES: u32 = 200;
const BETWEEN_CHANGES: Duration = Duration::from_millis(50);
/// How many snapshots at least: far fewer than changes, since a busy machine joins some of them.
const SNAPSHOTS_MIN: u64 = 50;
const FLAGS: &str = "--debounce-after 20ms --debounce-max 60ms --port-map 81:0";

const HTTP1_CONNECTIONS: usize = 6;
const HTTP2_CONNECTIONS: usize = 2;
/// Requests at once on each HTTP/2 connection.
const STREAMS: usize = 4;

/// The host whose route changes, and one whose route does not.
const RESTLESS: &str = "restless.example";
const CALM: &str = "calm.example";

/// Routes to `even` and `odd` in turn; the answer says by which change.
fn route(number: u32) -> String {
    let service = parity(number);
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\n\
         metadata: {{name: restless, namespace: shop}}\n\
         spec:\n  hosts: [{RESTLESS}]\n  gateways: [all]\n  http:\n  \
         - route: [{{destination: {{host: {service}}}}}]\n    \
           headers: {{response: {{set: {{x-change: \"{number}\"}}}}}}\n"
    )
}

fn parity(number: u32) -> &'static str {
    if number.is_multiple_of(2) { "even" } else { "odd" }
}

/// The one endpoint of `even`.
fn endpoint(of_even: SocketAddr) -> String {
    format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
         metadata: {{name: even, namespace: shop, labels: {{kubernetes.io/service-name: even}}}}\n\
         addressType: IPv4\nendpoints: [{{addresses: [{}]}}]\n\
         ports: [{{name: http, port: {}, protocol: TCP}}]\n",
        of_even.ip(),
        of_even.port()
    )
}

/// A listener of its own, there or not.
fn neighbour(is_there: bool) -> &'static str {
    if is_there {
        "apiVersion: networking.istio.io/v1\nkind: Gateway\n\
         metadata: {name: neighbour, namespace: shop}\n\
         spec:\n  selector: {istio: ingressgateway}\n  servers:\n  \
         - {port: {number: 81, name: http, protocol: HTTP}, hosts: [\"*\"]}\n"
    } else {
        "# gone\n"
    }
}

/// What the clients and the writer of the configuration know of each other.
#[derive(Default)]
struct Storm {
    /// The last change of the route that may have been seen.
    written: AtomicU32,
    is_over: AtomicBool,
    answers: AtomicU32,
}

impl Storm {
    /// The answer is that of one configuration, not older than the one seen before; returns it.
    fn judge(&self, reply: &Reply, before: u32) -> u32 {
        assert_eq!(reply.status, 200, "{reply:?}");
        let change: u32 = reply.header("x-change").parse().expect("the number of a change");
        assert_eq!(reply.header(NAME_HEADER), parity(change), "parts of two: {reply:?}");
        assert!(change >= before, "change {change} after {before}");
        assert!(change <= self.written.load(Ordering::SeqCst), "change {change} was not made yet");
        self.answers.fetch_add(1, Ordering::Relaxed);
        change
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }
}

/// Both hosts in turn on one kept-alive connection, to the end and until the last change is seen.
async fn over_http1(address: SocketAddr, storm: Arc<Storm>) {
    let mut connection = Http1::connect(address).await;
    let mut seen = 0;
    while !storm.is_over() || seen < CHANGES {
        seen = storm.judge(&connection.send(get(RESTLESS, "/")).await, seen);
        let calm = connection.send(get(CALM, "/")).await.expect_status(200);
        assert_eq!((calm.header(NAME_HEADER), calm.header("x-change")), ("odd", ""));
    }
}

/// The same on one stream after the other.
async fn over_http2(mut connection: Http2, storm: Arc<Storm>) {
    let get = |host: &str| {
        let request = Request::get(format!("http://{host}/"));
        request.body(Full::<Bytes>::default()).expect("a valid request")
    };
    let mut seen = 0;
    while !storm.is_over() || seen < CHANGES {
        seen = storm.judge(&connection.send(get(RESTLESS)).await, seen);
        let calm = connection.send(get(CALM)).await.expect_status(200);
        assert_eq!((calm.header(NAME_HEADER), calm.header("x-change")), ("odd", ""));
    }
}

/// Eight of ten changes are of the route; in between an endpoint is exchanged for its twin, and a
/// listener comes or goes.
async fn change(world: &World, twins: [SocketAddr; 2], storm: &Storm) {
    let mut ticks = tokio::time::interval(BETWEEN_CHANGES);
    for number in 1..=CHANGES {
        ticks.tick().await;
        match number % 10 {
            3 => world.write("even.yaml", &endpoint(twins[(number / 10 % 2) as usize])),
            6 => world.write("neighbour.yaml", neighbour((number / 10).is_multiple_of(2))),
            _ => {
                storm.written.store(number, Ordering::SeqCst);
                world.write("restless.yaml", &route(number));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_changes_in_ten_seconds_lose_and_misroute_no_request() {
    let (even, twin) = (Upstream::start("even").await, Upstream::start("even").await);
    let odd = Upstream::start("odd").await;
    let mesh = Mesh::default()
        .service("even", "http", &[])
        .service("odd", "http", &[odd.address()])
        .host_to(CALM, "odd", "");
    let setup = Setup::new(FAIRWAY)
        .file("mesh.yaml", mesh.yaml())
        .file("even.yaml", endpoint(even.address()))
        .file("restless.yaml", route(0))
        .flags(FLAGS);
    let mut world = World::start(setup).await;
    let address = world.listener(80).await;
    let before = world.when("ready", |instance| instance.ready).await.snapshot.version;

    let storm = Arc::new(Storm::default());
    let mut clients = JoinSet::new();
    for _ in 0..HTTP1_CONNECTIONS {
        clients.spawn(over_http1(address, Arc::clone(&storm)));
    }
    for _ in 0..HTTP2_CONNECTIONS {
        let connection = Http2::connect(address).await;
        for _ in 0..STREAMS {
            clients.spawn(over_http2(connection.clone(), Arc::clone(&storm)));
        }
    }
    change(&world, [even.address(), twin.address()], &storm).await;
    storm.is_over.store(true, Ordering::Relaxed);
    while let Some(client) = clients.join_next().await {
        client.expect("no request is lost or misrouted");
    }

    let after = world.when("in step", |i| i.snapshot.accepted).await.snapshot.version;
    assert!(after >= before + SNAPSHOTS_MIN, "{before} to {after}: the storm was held back");
    let answers = storm.answers.load(Ordering::Relaxed);
    assert!(answers > CHANGES, "{answers} answers are no load");
    assert!(even.total() > 0 && twin.total() > 0, "both endpoints have had their time");
}
