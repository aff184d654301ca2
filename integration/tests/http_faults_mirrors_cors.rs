//! Injected faults, copies of requests and cross-origin policies (Istio contract 2.10).

use std::time::{Duration, Instant};

use fairway_integration::client::Http1;
use fairway_integration::mesh::Mesh;
use fairway_integration::scripted::Refusing;
use fairway_integration::upstream::{Received, Reply, Upstream};
use fairway_integration::wait;
use http_body_util::Full;

/// The binary under test.
const FAIRWAY: &str = env!("CARGO_BIN_EXE_fairway-tested");

const ALL: &str = "percentage: {value: 100}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_strike_for_their_share() {
    let upstream = Upstream::start("u").await;
    let abort = format!("fault: {{abort: {{httpStatus: 418, {ALL}}}}}");
    let delay = format!("fault: {{delay: {{fixedDelay: 200ms, {ALL}}}}}");
    let both = format!(
        "fault: {{delay: {{fixedDelay: 200ms, {ALL}}}, abort: {{httpStatus: 503, {ALL}}}}}"
    );
    let zero = "fault: {abort: {httpStatus: 503, percentage: {value: 0}}}";
    let mesh = Mesh::default()
        .service("u", "http", &[upstream.address()])
        .host_to("abort.test", "u", &abort)
        .host_to("delay.test", "u", &delay)
        .host_to("both.test", "u", &both)
        .host_to("zero.test", "u", zero)
        .host_to("never.test", "u", "fault: {abort: {httpStatus: 503}}")
        .host_to("grpc.test", "u", &format!("fault: {{abort: {{grpcStatus: ABORTED, {ALL}}}}}"))
        .host_to("half.test", "u", "fault: {abort: {httpStatus: 503, percentage: {value: 50}}}");
    let serving = mesh.start(FAIRWAY).await;
    for (host, status, body, at_least, reaches) in [
        ("abort.test", 418, "fault filter abort", 0, false),
        ("delay.test", 200, "hello", 200, true),
        ("both.test", 503, "fault filter abort", 200, false),
        ("zero.test", 200, "hello", 0, true),
        ("never.test", 200, "hello", 0, true),
    ] {
        let (before, started) = (upstream.total(), Instant::now());
        let reply = serving.ask(host, "GET /").await.expect_status(status);
        let taken = started.elapsed();
        assert_eq!(reply.body, body, "{host}");
        assert!(taken >= Duration::from_millis(at_least), "{host} took {taken:?}");
        assert_eq!(upstream.total() - before, u64::from(reaches), "{host}");
        assert_eq!(reply.header("server"), "istio-envoy");
    }
    let reply = serving.ask("grpc.test", "POST / | content-type: application/grpc").await;
    let found = ["content-type", "grpc-status"].map(|name| reply.header(name));
    assert_eq!((reply.status.as_u16(), found), (200, ["application/grpc", "10"]));
    let mut aborted = 0;
    for _ in 0..200 {
        aborted += u32::from(serving.ask("half.test", "GET /").await.status == 503);
    }
    // Seven standard deviations.
    assert!((50..150).contains(&aborted), "{aborted} of 200");
}

async fn copy(upstream: &Upstream, what: &str) -> Received {
    wait::until(what, async || upstream.take_records().pop()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_arrive_whole_and_never_harm_the_request() {
    let (main, mirror) = (Upstream::start("main").await, Upstream::start("mirror").await);
    let (second, refusing) = (Upstream::start("second").await, Refusing::new());
    mirror.reply_with(Reply::status(500));
    let hangs = Upstream::start("hangs").await;
    hangs.reply_with(Reply { delay: wait::PATIENCE * 2, ..Reply::default() });
    let to = |service: &str| format!("mirror: {{host: {service}}}");
    let both = "mirrors: [{destination: {host: mirror}, percentage: {value: 100}}, \
                {destination: {host: second}, percentage: {value: 100}}]";
    let edited = "mirror: {host: mirror}, rewrite: {uri: /new}, headers: {request: {set: {x: y}}}";
    let mesh = Mesh::default()
        .service("main", "http", &[main.address()])
        .service("mirror", "http", &[mirror.address()])
        .service("second", "http", &[second.address()])
        .service("dead", "http", &[refusing.address()])
        .service("hangs", "http", &[hangs.address()])
        .host_to("mirror.test", "main", &to("mirror"))
        .host_to("both.test", "main", both)
        .host_to("edited.test", "main", edited)
        .host_to("dead.test", "main", &to("dead"))
        .host_to("hangs.test", "main", &to("hangs"))
        .host_to("missing.test", "main", &to("missing"))
        .host_to("off.test", "main", "mirror: {host: mirror}, mirrorPercentage: {value: 0}");
    let serving = mesh.start(FAIRWAY).await;

    let request = "GET /path?q=1 | x-mine: 1";
    serving.ask("mirror.test", request).await.expect_status(200);
    let found = copy(&mirror, "a copy of GET").await;
    assert_eq!((found.method.as_str(), &*found.path), ("GET", "/path?q=1"));
    assert_eq!((&*found.host, &*found.header("x-mine")), ("mirror.test", "1"));

    for length in [4_usize, 500_000] {
        let body = vec![b'b'; length];
        let reply = serving.ask_with("mirror.test", "POST /form", body.clone()).await;
        assert_eq!((reply.status.as_u16(), reply.header("x-upstream")), (200, "main"));
        let found = copy(&mirror, "a copy of POST").await;
        assert!(found.body == body, "{length} bytes became {}", found.body.len());
        assert!(main.last().body == body);
    }

    serving.ask_with("both.test", "PUT /", "x").await.expect_status(200);
    for upstream in [&mirror, &second] {
        assert_eq!(copy(upstream, "one of two copies").await.body, "x");
    }

    serving.ask("edited.test", "GET /old").await.expect_status(200);
    let found = copy(&mirror, "a copy of an edited request").await;
    assert_eq!((&*found.path, &*found.header("x")), (&*main.last().path, "y"));

    for host in ["dead.test", "missing.test", "hangs.test"] {
        for text in ["GET /", "POST /"] {
            let reply = serving.ask_with(host, text, "body").await.expect_status(200);
            assert_eq!((reply.header("x-upstream"), &reply.body[..]), ("main", &b"hello"[..]));
        }
    }
    wait::until("the copies of those that hang", async || (hangs.total() == 2).then_some(())).await;

    let before = mirror.total();
    for _ in 0..20 {
        serving.ask("off.test", "GET /").await.expect_status(200);
    }
    // A copy of a later request has arrived: an earlier one would have.
    serving.ask("mirror.test", "GET /last").await.expect_status(200);
    assert_eq!(copy(&mirror, "the last copy").await.path, "/last");
    assert_eq!(mirror.total() - before, 1);
}

const POLICY: &str = "corsPolicy: {allowOrigins: [{exact: 'https://a.test'}, \
    {prefix: 'https://pre.'}, {regex: 'https://[a-z]+\\.re\\.test'}], \
    allowMethods: [GET, POST], allowHeaders: [x-one, x-two], exposeHeaders: [x-out, x-more], \
    maxAge: 24h, allowCredentials: true}";

/// `access-control-*` of an answer: origin, credentials, methods, headers, max-age, expose.
fn cors_fields(reply: &fairway_integration::client::Reply) -> [&str; 6] {
    [
        "allow-origin",
        "allow-credentials",
        "allow-methods",
        "allow-headers",
        "max-age",
        "expose-headers",
    ]
    .map(|name| reply.header(&format!("access-control-{name}")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn preflights_are_answered_and_answers_are_marked() {
    let upstream = Upstream::start("u").await;
    let mesh = Mesh::default()
        .service("u", "http", &[upstream.address()])
        .host_to("full.test", "u", POLICY)
        .host_to("star.test", "u", "corsPolicy: {allowOrigins: [{exact: '*'}]}")
        .host_to("old.test", "u", "corsPolicy: {allowOrigin: ['https://a.test']}")
        .host_to(
            "ignore.test",
            "u",
            "corsPolicy: {allowOrigins: [{exact: 'https://a.test'}], unmatchedPreflights: IGNORE}",
        )
        .host_to("without.test", "u", "");
    let serving = mesh.start(FAIRWAY).await;
    let asks = "access-control-request-method: DELETE";
    let preflight = |origin: &str| format!("OPTIONS / | origin: {origin} | {asks}");
    let simple = |origin: &str| format!("GET / | origin: {origin}");
    let (a, b) = ("https://a.test", "https://b.test");
    // The last one has no use here; Envoy 1.40 sends it all the same.
    let answer = |origin| [origin, "true", "GET,POST", "x-one,x-two", "86400", "x-out,x-more"];
    let mark = |origin| [origin, "true", "", "", "", "x-out,x-more"];
    let (only, none) = ([a, "", "", "", "", ""], [""; 6]);
    for (host, text, expected, reaches) in [
        ("full.test", preflight(a), answer(a), false),
        ("full.test", preflight("https://pre.fix"), answer("https://pre.fix"), false),
        ("full.test", preflight("https://x.re.test"), answer("https://x.re.test"), false),
        ("full.test", preflight("https://x.re.test.evil"), none, true),
        ("full.test", preflight(b), none, true),
        ("full.test", format!("OPTIONS / | {asks}"), none, true),
        ("full.test", format!("OPTIONS / | origin: {a}"), mark(a), true),
        ("full.test", simple(a), mark(a), true),
        ("full.test", simple("https://pre.x"), mark("https://pre.x"), true),
        ("full.test", simple(b), none, true),
        ("full.test", "GET /".to_owned(), none, true),
        ("star.test", preflight(a), only, false),
        ("star.test", simple(a), only, true),
        ("old.test", simple(a), only, true),
        ("ignore.test", preflight(a), only, false),
        ("ignore.test", preflight(b), none, false),
        ("ignore.test", simple(b), none, true),
        ("without.test", preflight(a), none, true),
    ] {
        let before = upstream.total();
        let reply = serving.ask(host, &text).await.expect_status(200);
        assert_eq!(cors_fields(&reply), expected, "{host} {text}");
        assert_eq!(upstream.total() - before, u64::from(reaches), "{host} {text}");
        assert_eq!(reply.header("server"), "istio-envoy");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_of_the_gateway_itself_are_marked_for_an_allowed_origin() {
    // A script cannot read the failure otherwise.
    let refusing = Refusing::new();
    let mesh = Mesh::default()
        .service("dead", "http", &[refusing.address()])
        .host_to("dead.test", "dead", POLICY)
        .host("direct.test", &format!("[{{directResponse: {{status: 200}}, {POLICY}}}]"));
    let serving = mesh.start(FAIRWAY).await;
    for (host, status) in [("direct.test", 200), ("dead.test", 503)] {
        let reply = serving.ask(host, "GET / | origin: https://a.test").await.expect_status(status);
        assert_eq!(cors_fields(&reply)[0], "https://a.test", "{host}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_marks_its_answers_itself_is_overruled() {
    let upstream = Upstream::start("u").await;
    let own = ("access-control-allow-origin", "https://own.test".to_owned());
    upstream.reply_with(Reply { headers: vec![own], ..Reply::default() });
    let mesh =
        Mesh::default().service("u", "http", &[upstream.address()]).host_to("u.test", "u", POLICY);
    let serving = mesh.start(FAIRWAY).await;
    for (origin, expected) in
        [("https://a.test", "https://a.test"), ("https://b.test", "https://own.test")]
    {
        let request = http::Request::get("/").header("host", "u.test").header("origin", origin);
        let request = request.body(Full::default()).unwrap();
        let reply = Http1::connect(serving.address).await.send(request).await;
        let values = reply.headers.get_all("access-control-allow-origin");
        let values: Vec<_> = values.iter().map(|value| value.to_str().unwrap()).collect();
        assert_eq!(values, [expected], "{origin}");
    }
}
