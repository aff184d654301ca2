//! What a route does with a request (Istio contract 2.8): splits by weight, redirects, fixed
//! answers and rewrites.

use std::collections::BTreeMap;

use fairway_integration::client::{Http1, request};
use fairway_integration::mesh::Mesh;
use fairway_integration::upstream::Upstream;

/// The binary under test.
const FAIRWAY: &str = env!("CARGO_BIN_EXE_fairway-tested");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn weights_share_requests_out_evenly() {
    let (a, b) = (Upstream::start("a").await, Upstream::start("b").await);
    let to = |service: &str, weight: u32| {
        format!("{{destination: {{host: {service}}}, weight: {weight}}}")
    };
    let split = |parts: &[String]| format!("[{{route: [{}]}}]", parts.join(", "));
    let mesh = Mesh::default()
        .service("a", "http", &[a.address()])
        .service("b", "http", &[b.address()])
        .host("90-10.test", &split(&[to("a", 90), to("b", 10)]))
        .host("1-3.test", &split(&[to("a", 1), to("b", 3)]))
        .host("0-1.test", &split(&[to("a", 0), to("b", 1)]))
        // One destination: the weight does not matter.
        .host("single.test", &split(&[to("a", 7)]))
        // A bad destination costs its own share only.
        .host("half.test", &split(&[to("a", 50), to("nowhere", 50)]));
    let serving = mesh.start(FAIRWAY).await;
    let mut connection = Http1::connect(serving.address).await;
    for (host, expected) in [
        ("90-10.test", [("a", 90), ("b", 10)]),
        ("1-3.test", [("a", 25), ("b", 75)]),
        ("0-1.test", [("a", 0), ("b", 100)]),
        ("single.test", [("a", 100), ("b", 0)]),
        ("half.test", [("a", 50), ("503", 50)]),
    ] {
        let mut counts: BTreeMap<String, i32> = BTreeMap::new();
        for _ in 0..500 {
            let reply = connection.send(request(host, "GET /")).await;
            let upstream = match reply.status.as_u16() {
                200 => reply.header("x-upstream").to_owned(),
                other => other.to_string(),
            };
            *counts.entry(upstream).or_default() += 1;
        }
        for (upstream, percent) in expected {
            let (found, expected) = (counts.get(upstream).copied().unwrap_or(0), percent * 5);
            // An even spread is off by so little wherever it starts; chance is off by ten.
            let slack = if percent % 100 == 0 { 0 } else { 3 };
            assert!((found - expected).abs() <= slack, "{host}: {counts:?}, not {expected}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redirects_say_where_to_go() {
    let redirects: &[(&str, &str, &str, u16, &str)] = &[
        ("", "{uri: /new}", "GET /old?q=1", 301, "http://{host}/new?q=1"),
        ("", "{uri: '/new?own=1'}", "GET /old?q=1", 301, "http://{host}/new?own=1"),
        (
            "match: [{uri: {prefix: /old}}], ",
            "{prefixRewrite: /new}",
            "GET /old/x?q=1",
            301,
            "http://{host}/new/x?q=1",
        ),
        ("", "{authority: new.test}", "GET /a?b=c", 301, "http://new.test/a?b=c"),
        ("", "{authority: new.test}", "GET / | host: {host}:81", 301, "http://new.test/"),
        ("", "{authority: 'new.test:8080'}", "GET /", 301, "http://new.test:8080/"),
        ("", "{scheme: https}", "GET /a?b", 301, "https://{host}/a?b"),
        ("", "{scheme: https, authority: new.test}", "GET /", 301, "https://new.test/"),
        ("", "{uri: /x}", "GET / | host: {host}:8081", 301, "http://{host}:8081/x"),
        ("", "{port: 8443, scheme: https}", "GET /", 301, "https://{host}:8443/"),
        ("", "{port: 443, scheme: https}", "GET /", 301, "https://{host}/"),
        ("", "{port: 80, authority: new.test}", "GET /", 301, "http://new.test/"),
        ("", "{port: 81}", "GET / | host: {host}:8080", 301, "http://{host}:81/"),
        ("", "{derivePort: FROM_REQUEST_PORT, scheme: https}", "GET /", 301, "https://{host}:80/"),
        ("", "{derivePort: FROM_PROTOCOL_DEFAULT, scheme: https}", "GET /", 301, "https://{host}/"),
        ("", "{port: 80}", "GET /a | host: {host}:81", 301, "http://{host}/a"),
        ("", "{uri: /x, redirectCode: 302}", "GET /", 302, "http://{host}/x"),
        ("", "{uri: /x, redirectCode: 303}", "GET /", 303, "http://{host}/x"),
        ("", "{uri: /x, redirectCode: 307}", "POST /", 307, "http://{host}/x"),
        ("", "{uri: /x, redirectCode: 308}", "POST /", 308, "http://{host}/x"),
    ];
    let host = |index: usize| format!("redirect-{index}.test");
    let mut mesh = Mesh::default();
    for (index, (tests, redirect, ..)) in redirects.iter().enumerate() {
        mesh = mesh.host(&host(index), &format!("[{{{tests}redirect: {redirect}}}]"));
    }
    let serving = mesh.start(FAIRWAY).await;
    for (index, (_, redirect, text, status, location)) in redirects.iter().enumerate() {
        let filled = |text: &str| text.replace("{host}", &host(index));
        let reply = serving.ask(&host(index), &filled(text)).await.expect_status(*status);
        assert_eq!(reply.header("location"), filled(location), "{redirect} {text}");
        assert_eq!((reply.header("server"), &reply.body[..]), ("istio-envoy", &b""[..]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn direct_responses_are_as_configured() {
    let edits = "headers: {response: {set: {content-type: text/html, x-a: 'b'}, add: {x-c: d}}}";
    let mesh = Mesh::default()
        .host("text.test", "[{directResponse: {status: 418, body: {string: short and stout}}}]")
        .host("bytes.test", "[{directResponse: {status: 200, body: {bytes: AAH/}}}]")
        .host("none.test", "[{directResponse: {status: 599}}]")
        .host(
            "edited.test",
            &format!("[{{directResponse: {{status: 200, body: {{string: x}}}}, {edits}}}]"),
        )
        .host("moved.test", &format!("[{{redirect: {{uri: /x}}, {edits}}}]"));
    let serving = mesh.start(FAIRWAY).await;
    for (host, status, body) in [
        ("text.test", 418, &b"short and stout"[..]),
        ("bytes.test", 200, &[0, 1, 255]),
        ("none.test", 599, b""),
        ("edited.test", 200, b"x"),
        ("moved.test", 301, b""),
    ] {
        let reply = serving.ask(host, "GET /any").await.expect_status(status);
        assert_eq!(reply.body, body, "{host}");
        assert_eq!(reply.header("server"), "istio-envoy");
        assert_eq!(reply.header("x-envoy-upstream-service-time"), "", "{host}");
    }
    for host in ["edited.test", "moved.test"] {
        let reply = serving.ask(host, "GET /").await;
        let found = ["content-type", "x-a", "x-c"].map(|name| reply.header(name));
        assert_eq!(found, ["text/html", "b", "d"], "{host}");
    }
    // A body that is sent along is read and dropped.
    serving.ask_with("text.test", "POST /", vec![b'x'; 300_000]).await.expect_status(418);
}

/// The entry's tests, its rewrite, a request; path, original path and Host as they arrive.
type Rewritten = (&'static str, &'static str, &'static str, &'static str, &'static str);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rewrites_change_path_and_host_and_keep_the_query() {
    let prefix = "match: [{uri: {prefix: /api}}], ";
    let cases: &[Rewritten] = &[
        (prefix, "{uri: /v2}", "/api/x?q=1", "/v2/x?q=1", "{host}"),
        (prefix, "{uri: /v2}", "/api?q=1", "/v2?q=1", "{host}"),
        (prefix, "{uri: /v2}", "/apix", "/v2x", "{host}"),
        // Byte for byte, so a slash may be doubled.
        (prefix, "{uri: /}", "/api/x", "//x", "{host}"),
        (prefix, "{uri: /}", "/api", "/", "{host}"),
        ("match: [{uri: {prefix: /api/}}], ", "{uri: /}", "/api/x", "/x", "{host}"),
        ("match: [{uri: {exact: /a}}], ", "{uri: /b}", "/a?q=1", "/b?q=1", "{host}"),
        ("match: [{uri: {regex: '/r.*'}}], ", "{uri: /b}", "/rest/of/it?q", "/b?q", "{host}"),
        (
            "match: [{uri: {prefix: /Api}, ignoreUriCase: true}], ",
            "{uri: /v2}",
            "/aPI/x",
            "/v2/x",
            "{host}",
        ),
        ("", "{uri: /pre/}", "/x", "/pre/x", "{host}"),
        ("", "{authority: inner.test}", "/x?q", "/x?q", "inner.test"),
        ("", "{authority: 'inner.test:81', uri: /y/}", "/x", "/y/x", "inner.test:81"),
        (
            "",
            "{uriRegexRewrite: {match: '^/user/([0-9]+)/(.*)$', rewrite: '/\\2?no/\\1'}}",
            "/user/12/cart",
            "/cart?no/12",
            "{host}",
        ),
        (
            "",
            "{uriRegexRewrite: {match: '/([a-z])', rewrite: '/\\1\\1'}}",
            "/a/b?a=/c",
            "/aa/bb?a=/c",
            "{host}",
        ),
        ("", "{uriRegexRewrite: {match: '^/no$', rewrite: /yes}}", "/x?q", "/x?q", "{host}"),
    ];
    let upstream = Upstream::start("u").await;
    let host = |index: usize| format!("rewrite-{index}.test");
    let mut mesh = Mesh::default().service("u", "http", &[upstream.address()]);
    for (index, (tests, rewrite, ..)) in cases.iter().enumerate() {
        let fields = format!("{tests}rewrite: {rewrite}");
        mesh = mesh.host_to(&host(index), "u", &fields);
    }
    let serving = mesh.start(FAIRWAY).await;
    for (index, (_, rewrite, asked, path, received_host)) in cases.iter().enumerate() {
        serving.ask(&host(index), &format!("GET {asked}")).await.expect_status(200);
        let received = upstream.last();
        let received_host = received_host.replace("{host}", &host(index));
        let found = (received.path.as_str(), received.host.as_str());
        assert_eq!(found, (*path, received_host.as_str()), "{rewrite} {asked}");
        assert_eq!(received.header("host"), received_host, "once: {rewrite}");
        // Envoy 1.40 sets it where a rewrite finds nothing to change, too.
        let expected = if rewrite.contains("uri") { asked } else { "" };
        assert_eq!(received.header("x-envoy-original-path"), *expected, "{rewrite} {asked}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_host_comes_from_the_rewrite_then_the_route_then_the_destination() {
    let upstream = Upstream::start("u").await;
    let sets =
        |name: &str, host: &str| format!("headers: {{request: {{set: {{{name}: {host}}}}}}}");
    let route = |of_destination: &str, rest: &str| {
        format!("[{{route: [{{destination: {{host: u}}{of_destination}}}]{rest}}}]")
    };
    let of_destination = format!(", {}", sets("Host", "destination.test"));
    let of_route = format!(", {}", sets("':authority'", "route.test"));
    let of_rewrite = ", rewrite: {authority: rewrite.test}";
    let added = ", headers: {request: {add: {host: added.test}}}";
    let mesh = Mesh::default()
        .service("u", "http", &[upstream.address()])
        .host("none.test", &route("", ""))
        .host("dest.test", &route(&of_destination, ""))
        .host("route.test", &route(&of_destination, &of_route))
        .host("all.test", &route(&of_destination, &format!("{of_route}{of_rewrite}")))
        .host("added.test", &route(&of_destination, added));
    let serving = mesh.start(FAIRWAY).await;
    for (host, expected) in [
        ("none.test:8080", "none.test:8080"),
        ("dest.test", "destination.test"),
        ("route.test", "route.test"),
        ("all.test", "rewrite.test"),
        ("added.test", "added.test"),
    ] {
        serving.ask(host, "GET /").await.expect_status(200);
        let received = upstream.last();
        assert_eq!((&*received.host, &*received.header("host")), (expected, expected), "{host}");
    }
}
