//! Header fields: what configuration changes, what the gateway adds, what it takes away
//! (Istio contract 2.8, 6.5, 6.6) and what it makes of paths (6.7).

use std::collections::BTreeSet;

use fairway_integration::client::{Wire, request};
use fairway_integration::mesh::{Mesh, Serving};
use fairway_integration::upstream::{Reply, Upstream};

/// The binary under test.
const FAIRWAY: &str = env!("CARGO_BIN_EXE_fairway-tested");

/// One upstream behind one host.
async fn plain(upstream: &Upstream) -> Serving {
    let mesh = Mesh::default().service("u", "http", &[upstream.address()]);
    mesh.host_to("u.test", "u", "").start(FAIRWAY).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operations_are_carried_out_on_requests_and_responses() {
    let upstream = Upstream::start("u").await;
    let headers = ["x-r1", "x-r2", "x-r3"].map(|name| (name, "up".to_owned()));
    upstream.reply_with(Reply { headers: headers.to_vec(), ..Reply::default() });
    let edits = "headers: {\
        request: {set: {x-set: s, x-new: n}, add: {x-add: a}, remove: [X-Remove, x-both]}, \
        response: {set: {x-r1: gw}, add: {x-r2: gw}, remove: [x-r3]}}";
    let again = "headers: {request: {remove: [x-both], set: {x-both: kept}}}";
    let mesh = Mesh::default()
        .service("u", "http", &[upstream.address()])
        .host_to("edits.test", "u", edits)
        .host_to("again.test", "u", again);
    let serving = mesh.start(FAIRWAY).await;

    let client = "x-set: 1 | x-add: 1 | x-remove: 1 | x-both: 1 | x-kept: 1";
    let reply = serving.ask("edits.test", &format!("GET / | {client}")).await.expect_status(200);
    let received = upstream.last();
    for (name, expected) in [
        ("x-set", "s"),
        ("x-new", "n"),
        ("x-add", "1,a"),
        ("x-remove", ""),
        ("x-both", ""),
        ("x-kept", "1"),
    ] {
        assert_eq!(received.header(name), expected, "{name}");
    }
    let all = |name: &str| -> Vec<_> {
        reply.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
    };
    assert_eq!((all("x-r1"), all("x-r2"), all("x-r3")), (vec!["gw"], vec!["up", "gw"], vec![]));

    serving.ask("again.test", "GET / | x-both: 1").await.expect_status(200);
    assert_eq!(upstream.last().header("x-both"), "kept", "removal comes before setting");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn levels_are_applied_in_the_order_of_the_number_of_destinations() {
    // With several destinations Envoy 1.40 lets the route have the last word.
    let upstream = Upstream::start("u").await;
    let edits = |value: &str| {
        let both = format!("{{set: {{x-who: {value}}}, add: {{x-all: {value}}}}}");
        format!("headers: {{request: {both}, response: {both}}}")
    };
    let to = |service: &str, value: &str| {
        format!("{{destination: {{host: {service}}}, weight: 1, {}}}", edits(value))
    };
    let route = |list: String| format!("[{{route: [{list}], {}}}]", edits("route"));
    let mesh = Mesh::default()
        .service("u", "http", &[upstream.address()])
        .host("one.test", &route(to("u", "first")))
        .host("two.test", &route(format!("{}, {}", to("u", "first"), to("u", "second"))));
    let serving = mesh.start(FAIRWAY).await;

    let reply = serving.ask("one.test", "GET /").await.expect_status(200);
    let received = upstream.last();
    assert_eq!((&*received.header("x-who"), &*received.header("x-all")), ("first", "route,first"));
    assert_eq!(reply.header("x-who"), "first");

    let mut seen = BTreeSet::new();
    for _ in 0..10 {
        let reply = serving.ask("two.test", "GET /").await.expect_status(200);
        assert_eq!((reply.header("x-who"), &*upstream.last().header("x-who")), ("route", "route"));
        seen.insert(upstream.last().header("x-all"));
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["first,route", "second,route"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn substitutions_are_filled_in() {
    let upstream = Upstream::start("u").await;
    let values = [
        ("x-remote", "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", "127.0.0.1"),
        ("x-req", "<%REQ(X-Mine)%>", "<mine>"),
        ("x-else", "%REQ(x-none?x-mine)%", "mine"),
        ("x-short", "%REQ(x-mine):2%", "mi"),
        ("x-absent", "[%REQ(x-none)%]", "[]"),
        ("x-method", "%REQ(:method)%", "POST"),
        ("x-authority", "%REQ(:authority)%", "subst.test:99"),
        ("x-protocol", "%PROTOCOL%", "HTTP/1.1"),
        ("x-percent", "100%%", "100%"),
    ];
    let list: Vec<String> =
        values.iter().map(|(name, value, _)| format!("{name}: '{value}'")).collect();
    let set = format!("{{set: {{{}}}}}", list.join(", "));
    let fields = format!("headers: {{request: {set}, response: {set}}}");
    let mesh = Mesh::default().service("u", "http", &[upstream.address()]).host_to(
        "subst.test",
        "u",
        &fields,
    );
    let serving = mesh.start(FAIRWAY).await;
    let text = "POST / | host: subst.test:99 | x-mine: mine";
    let reply = serving.ask("subst.test", text).await.expect_status(200);
    for (name, value, expected) in values {
        assert_eq!(upstream.last().header(name), expected, "request {value}");
        assert_eq!(reply.header(name), expected, "response {value}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gateway_adds_its_fields_and_trusts_none_of_the_clients() {
    let upstream = Upstream::start("u").await;
    let up = [("server", "nginx"), ("x-request-id", "of-upstream")];
    let headers = up.map(|(name, value)| (name, value.to_owned())).to_vec();
    upstream.reply_with(Reply { headers, ..Reply::default() });
    let serving = plain(&upstream).await;

    let reply = serving.ask("u.test", "GET /").await.expect_status(200);
    assert_eq!(reply.header("server"), "istio-envoy");
    assert!(reply.header("x-envoy-upstream-service-time").parse::<u64>().is_ok());
    let received = upstream.last();
    for (name, expected) in [
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("x-envoy-external-address", "127.0.0.1"),
        ("x-envoy-attempt-count", "1"),
        ("x-envoy-original-path", ""),
        ("x-envoy-expected-rq-timeout-ms", ""),
        ("host", "u.test"),
        ("x-forwarded-host", ""),
        ("x-forwarded-port", ""),
    ] {
        assert_eq!(received.header(name), expected, "{name}");
    }
    let first_id = received.header("x-request-id");

    let forged = [
        "x-forwarded-for: 1.2.3.4, 5.6.7.8",
        "x-forwarded-proto: https",
        "x-request-id: forged",
        "x-envoy-external-address: 9.9.9.9",
        "x-envoy-attempt-count: 7",
        "x-envoy-original-path: /forged",
        "x-envoy-expected-rq-timeout-ms: 1",
        "x-envoy-upstream-rq-timeout-ms: 1",
        "x-envoy-upstream-rq-per-try-timeout-ms: 1",
        "x-envoy-retry-on: 5xx",
        "x-envoy-max-retries: 9",
        "x-envoy-force-trace: 1",
        "x-envoy-internal: true",
        "x-envoy-decorator-operation: forged",
        "x-envoy-peer-metadata: forged",
        "x-envoy-peer-metadata-id: forged",
        "x-forwarded-client-cert: forged",
    ];
    upstream.reply_once_each([Reply {
        delay: std::time::Duration::from_millis(50),
        ..Reply::default()
    }]);
    serving.ask("u.test", &format!("GET / | {}", forged.join(" | "))).await.expect_status(200);
    let received = upstream.last();
    let mut ids = BTreeSet::from([first_id]);
    ids.insert(received.header("x-request-id"));
    assert_eq!(ids.len(), 2, "{ids:?}");
    for id in ids {
        let dashes: Vec<usize> = id.match_indices('-').map(|(at, _)| at).collect();
        assert_eq!((id.len(), &dashes[..]), (36, &[8, 13, 18, 23][..]), "{id}");
    }
    for field in forged {
        let (name, value) = field.split_once(": ").unwrap();
        let expected = match name {
            "x-forwarded-for" => "1.2.3.4, 5.6.7.8,127.0.0.1".to_owned(),
            "x-forwarded-proto" => "http".to_owned(),
            "x-request-id" => received.header(name),
            "x-envoy-external-address" => "127.0.0.1".to_owned(),
            "x-envoy-attempt-count" => "1".to_owned(),
            _ => String::new(),
        };
        let found = received.header(name).replace(", ", ",");
        assert_eq!(found, expected.replace(", ", ","), "{name}: {value}");
        assert!(!found.contains("forged"), "{name}: {found}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_line_of_x_forwarded_for_is_lost() {
    let upstream = Upstream::start("u").await;
    let serving = plain(&upstream).await;
    let text = "GET / | x-forwarded-for: 1.1.1.1 | x-forwarded-for: 2.2.2.2";
    serving.ask("u.test", text).await.expect_status(200);
    let found = upstream.last().header("x-forwarded-for").replace(' ', "");
    assert_eq!(found, "1.1.1.1,2.2.2.2,127.0.0.1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_concerns_one_hop_is_not_passed_on() {
    let upstream = Upstream::start("u").await;
    let headers =
        [("keep-alive", "timeout=5"), ("connection", "x-hop"), ("x-hop", "1"), ("x-end", "1")];
    let headers = headers.map(|(name, value)| (name, value.to_owned())).to_vec();
    upstream.reply_with(Reply { headers, ..Reply::default() });
    let serving = plain(&upstream).await;
    let mut wire = Wire::connect(serving.address).await;
    wire.say(
        "GET / HTTP/1.1\r\nHost: u.test\r\nConnection: close, x-private\r\nx-private: 1\r\n\
         Keep-Alive: timeout=9\r\nProxy-Connection: keep-alive\r\nTE: gzip\r\nx-kept: 1\r\n\r\n",
    )
    .await;
    let answer = wire.hear_all().await;
    let received = upstream.last();
    for name in ["connection", "x-private", "keep-alive", "proxy-connection", "te", "upgrade"] {
        assert_eq!(received.header(name), "", "{name}: {received:?}");
    }
    assert_eq!(received.header("x-kept"), "1");
    let head = answer.split("\r\n\r\n").next().unwrap();
    let has = |name: &str| head.lines().any(|line| line.starts_with(&format!("{name}:")));
    assert!(has("x-end") && !has("x-hop") && !has("keep-alive"), "{answer}");
    serving.ask("u.test", "GET / | te: trailers").await.expect_status(200);
    assert_eq!(upstream.last().header("te"), "trailers");
    // The `connection` of a client's upgrade to something that is not taken up.
    let h2c = "GET / | upgrade: h2c | connection: upgrade, http2-settings | http2-settings: AAMA";
    serving.ask("u.test", h2c).await.expect_status(200);
    for name in ["upgrade", "connection", "http2-settings"] {
        assert_eq!(upstream.last().header(name), "", "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paths_are_normalised_before_they_are_matched_and_sent() {
    let upstream = Upstream::start("u").await;
    let serving = plain(&upstream).await;
    for (asked, expected) in [
        ("/a/b?q=/../x", Some("/a/b?q=/../x")),
        ("/a/./b/../c", Some("/a/c")),
        ("/../../etc", Some("/etc")),
        ("/a\\b", Some("/a/b")),
        ("/%61%2Db%7E", Some("/a-b~")),
        ("/%2e%2E/x", Some("/x")),
        ("/a//b", Some("/a//b")),
        ("/a%2Fb%5Cc", Some("/a%2Fb%5Cc")),
        ("/%252e", Some("/%252e")),
        ("/a;x=y/B", Some("/a;x=y/B")),
        ("/a#fragment", Some("/a")),
        ("/a?q%00=\\", Some("/a?q%00=\\")),
        ("/a%00b", None),
        ("/a%00b?q", None),
    ] {
        let mut wire = Wire::connect(serving.address).await;
        let head = format!("GET {asked} HTTP/1.1\r\nHost: u.test\r\nConnection: close\r\n\r\n");
        wire.say(head).await;
        let answer = wire.hear_all().await;
        match expected {
            Some(expected) => {
                assert!(answer.starts_with("HTTP/1.1 200 "), "{asked}: {answer}");
                assert_eq!(upstream.last().path, expected, "{asked}");
            }
            None => {
                assert!(answer.starts_with("HTTP/1.1 400 "), "{asked}: {answer}");
                assert!(answer.ends_with("\r\n\r\n"), "{asked}: {answer}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_beyond_the_limits_are_refused() {
    let upstream = Upstream::start("u").await;
    let serving = plain(&upstream).await;
    let fields = |count: usize| -> String {
        (0..count).map(|number| format!("x-{number}: 1\r\n")).collect()
    };
    let long = |bytes: usize| format!("x-long: {}\r\n", "v".repeat(bytes));
    for (what, fields, status) in [
        ("90 fields", fields(90), 200),
        ("101 fields", fields(101), 431),
        ("50 KiB", long(50 * 1024), 200),
        ("61 KiB", long(61 * 1024), 431),
    ] {
        let mut wire = Wire::connect(serving.address).await;
        let first = "GET / HTTP/1.1\r\nHost: u.test\r\nConnection: close\r\n";
        wire.say(format!("{first}{fields}\r\n")).await;
        let answer = wire.hear_all().await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{what}: `{answer}`");
        assert!(status == 200 || answer.ends_with("\r\n\r\n"), "{what}: `{answer}`");
    }
    let connection = &mut fairway_integration::client::Http1::connect(serving.address).await;
    connection.send(request("u.test", "GET /")).await.expect_status(200);
}
