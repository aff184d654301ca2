//! Which route takes a request (Istio contract 2.4 to 2.6): virtual host by name, route by order and
//! predicates.

use fairway_integration::client::Wire;
use fairway_integration::mesh::Mesh;

/// The binary under test.
const FAIRWAY: &str = env!("CARGO_BIN_EXE_fairway-tested");

/// A match entry, what it takes and what it does not.
struct Case {
    entry: &'static str,
    hits: &'static [&'static str],
    misses: &'static [&'static str],
}

/// Each case is a virtual host of its own, `{authority}` in its texts is that host.
async fn check(cases: &[Case]) {
    let host = |index: usize| format!("case-{index}.test");
    let mut mesh = Mesh::default();
    for (index, case) in cases.iter().enumerate() {
        let entry = case.entry.replace("{authority}", &host(index));
        let answer = "directResponse: {status: 200, body: {string: hit}}";
        mesh = mesh.host(&host(index), &format!("[{{match: [{entry}], {answer}}}]"));
    }
    let serving = mesh.start(FAIRWAY).await;
    for (index, case) in cases.iter().enumerate() {
        let all = case.hits.iter().map(|text| (text, (200, "hit")));
        for (text, expected) in all.chain(case.misses.iter().map(|text| (text, (404, "")))) {
            let text = text.replace("{authority}", &host(index));
            let reply = serving.ask(&host(index), &text).await;
            let found = (reply.status.as_u16(), std::str::from_utf8(&reply.body).expect("text"));
            assert_eq!(found, expected, "{}: {text}", case.entry);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paths_match_by_exact_prefix_and_whole_regex() {
    check(&[
        Case {
            entry: "{uri: {exact: /a/b}}",
            hits: &["GET /a/b", "POST /a/b", "GET /a/b?q=1", "GET /a/./b", "GET /%61/b"],
            misses: &["GET /a/b/", "GET /a/bc", "GET /A/b", "GET /a", "GET /x/a/b"],
        },
        Case {
            entry: "{uri: {prefix: /foo}}",
            hits: &["GET /foo", "GET /foobar", "GET /foo/bar?x", "GET /x/../foo"],
            misses: &["GET /fo", "GET /Foo", "GET /x/foo", "GET /foo/../x"],
        },
        Case { entry: "{uri: {prefix: ''}}", hits: &["GET /", "GET /any"], misses: &[] },
        Case {
            entry: "{uri: {regex: '/v[0-9]+/(a|b)'}}",
            hits: &["GET /v1/a", "GET /v42/b?c=d"],
            misses: &["GET /v/a", "GET /v1/ab", "GET /v1/a/", "GET /x/v1/a", "GET /V1/a"],
        },
        Case {
            entry: "{uri: {exact: /Case}, ignoreUriCase: true}",
            hits: &["GET /case", "GET /CASE", "GET /Case"],
            misses: &["GET /case/", "GET /cas"],
        },
        Case {
            entry: "{uri: {prefix: /Pre}, ignoreUriCase: true}",
            hits: &["GET /pre", "GET /PREfix/x"],
            misses: &["GET /pr", "GET /x/pre"],
        },
        Case {
            entry: "{uri: {regex: '/re.*'}, ignoreUriCase: true}",
            hits: &["GET /re", "GET /rest"],
            misses: &["GET /RE", "GET /Re"],
        },
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn method_scheme_and_authority_match_as_received() {
    check(&[
        Case {
            entry: "{method: {exact: PUT}}",
            hits: &["PUT /", "PUT /x"],
            misses: &["GET /", "POST /", "PUTS /"],
        },
        Case {
            entry: "{method: {regex: 'GET|DELETE'}}",
            hits: &["GET /", "DELETE /"],
            misses: &["POST /", "HEAD /"],
        },
        Case { entry: "{scheme: {exact: http}}", hits: &["GET /"], misses: &[] },
        Case { entry: "{scheme: {exact: https}}", hits: &[], misses: &["GET /"] },
        Case {
            entry: "{authority: {exact: '{authority}:8080'}}",
            hits: &["GET / | host: {authority}:8080"],
            misses: &["GET /", "GET / | host: {authority}:80", "GET / | host: {authority}:80800"],
        },
        Case {
            entry: "{authority: {prefix: '{authority}'}}",
            hits: &["GET /", "GET / | host: {authority}:99"],
            misses: &[],
        },
        Case {
            entry: "{headers: {':method': {exact: PATCH}}}",
            hits: &["PATCH /"],
            misses: &["GET /"],
        },
        Case { entry: "{port: 80}", hits: &["GET /"], misses: &[] },
        Case { entry: "{port: 8080}", hits: &[], misses: &["GET /"] },
        Case { entry: "{gateways: [all]}", hits: &["GET /"], misses: &[] },
        Case { entry: "{gateways: [other]}", hits: &[], misses: &["GET /"] },
        Case { entry: "{sourceLabels: {no: such}}", hits: &[], misses: &["GET /"] },
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn header_tests_look_at_the_value_and_not_at_the_case_of_the_name() {
    // Envoy 1.40 holds each value of a repeated field against the test by itself.
    check(&[
        Case {
            entry: "{headers: {X-User: {exact: jason}}}",
            hits: &["GET / | x-user: jason", "GET / | X-USER: jason"],
            misses: &[
                "GET /",
                "GET / | x-user: Jason",
                "GET / | x-user: jasons",
                "GET / | x: jason",
            ],
        },
        Case {
            entry: "{headers: {x-user: {prefix: ja}}}",
            hits: &["GET / | x-user: ja", "GET / | x-user: jason"],
            misses: &["GET /", "GET / | x-user: aja"],
        },
        Case {
            entry: "{headers: {x-user: {regex: 'j[a-z]+'}}}",
            hits: &["GET / | x-user: jason"],
            misses: &["GET /", "GET / | x-user: j", "GET / | x-user: jason1"],
        },
        Case {
            entry: "{headers: {x-user: {}}}",
            hits: &["GET / | x-user: any", "GET / | x-user:"],
            misses: &["GET /", "GET / | x-users: any"],
        },
        Case {
            entry: "{headers: {x-user: {regex: '*'}}}",
            hits: &["GET / | x-user: any"],
            misses: &["GET /"],
        },
        Case {
            entry: "{headers: {x-a: {exact: '1'}, x-b: {exact: '2'}}}",
            hits: &["GET / | x-b: 2 | x-a: 1"],
            misses: &["GET / | x-a: 1", "GET / | x-b: 2", "GET / | x-a: 2 | x-b: 1"],
        },
        Case {
            entry: "{uri: {prefix: /p}, method: {exact: GET}, headers: {x-a: {exact: '1'}}}",
            hits: &["GET /p | x-a: 1"],
            misses: &["GET /p", "POST /p | x-a: 1", "GET /q | x-a: 1"],
        },
        Case {
            entry: "{headers: {x-a: {exact: '1'}}}, {headers: {x-b: {exact: '1'}}}",
            hits: &["GET / | x-a: 1", "GET / | x-b: 1", "GET / | x-a: 1 | x-b: 1"],
            misses: &["GET /", "GET / | x-a: 2 | x-b: 2"],
        },
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_headers_follows_its_truth_table() {
    check(&[
        Case {
            entry: "{withoutHeaders: {h: {}}}",
            hits: &["GET /", "GET / | other: 1"],
            misses: &["GET / | h: v", "GET / | h:", "GET / | H: v"],
        },
        Case {
            entry: "{withoutHeaders: {h: {regex: '*'}}}",
            hits: &["GET /"],
            misses: &["GET / | h: v"],
        },
        Case {
            entry: "{withoutHeaders: {h: {exact: v}}}",
            hits: &["GET /", "GET / | h: w", "GET / | h:"],
            misses: &["GET / | h: v"],
        },
        Case {
            entry: "{withoutHeaders: {h: {prefix: v}}}",
            hits: &["GET /", "GET / | h: w"],
            misses: &["GET / | h: value"],
        },
        Case {
            entry: "{withoutHeaders: {h: {regex: '.*'}}}",
            hits: &[],
            misses: &["GET /", "GET / | h: v", "GET / | h:"],
        },
        Case {
            entry: "{headers: {a: {exact: '1'}}, withoutHeaders: {b: {}}}",
            hits: &["GET / | a: 1"],
            misses: &["GET /", "GET / | a: 1 | b: 1"],
        },
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn query_parameters_match_raw_and_by_their_first_value() {
    // Envoy 1.40 does the same; a parameter without `=` is empty to it.
    check(&[
        Case {
            entry: "{queryParams: {v: {exact: '2'}}}",
            hits: &["GET /?v=2", "GET /?a=b&v=2&c", "GET /?v=2&v=3"],
            misses: &[
                "GET /",
                "GET /?v=3&v=2",
                "GET /?V=2",
                "GET /?v=%32",
                "GET /?v",
                "GET /?vv=2",
            ],
        },
        Case {
            entry: "{queryParams: {v: {prefix: ab}}}",
            hits: &["GET /?v=ab", "GET /?v=abc"],
            misses: &["GET /?v=a", "GET /?x=ab"],
        },
        Case {
            entry: "{queryParams: {v: {regex: '[0-9]+'}}}",
            hits: &["GET /?v=12"],
            misses: &["GET /?v=12a", "GET /?v="],
        },
        Case {
            entry: "{queryParams: {v: {}}}",
            hits: &["GET /?v=1", "GET /?v=", "GET /?v", "GET /?a&v"],
            misses: &["GET /", "GET /?w=v"],
        },
        Case {
            entry: "{queryParams: {v: {exact: 'a=b'}}}",
            hits: &["GET /?v=a=b"],
            misses: &["GET /?v=a"],
        },
    ])
    .await;
}

/// A route that answers with a word.
fn says(tests: &str, word: &str) -> String {
    format!("{{{tests}directResponse: {{status: 200, body: {{string: {word}}}}}}}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_route_wins_and_a_catch_all_comes_last() {
    let listed = |entries: &[(&str, &str)]| {
        let entries: Vec<String> = entries.iter().map(|(tests, word)| says(tests, word)).collect();
        format!("[{}]", entries.join(", "))
    };
    let mesh = Mesh::default()
        .host(
            "order.test",
            &listed(&[
                ("match: [{uri: {prefix: /a}}], ", "short"),
                ("match: [{uri: {exact: /a/b}}], ", "exact"),
                ("match: [{uri: {regex: '/[b-z].*'}}], ", "regex"),
                ("match: [{uri: {prefix: /bb}}], ", "long"),
                ("", "all"),
                ("match: [{uri: {prefix: /0}}], ", "unreachable"),
            ]),
        )
        // Two objects on one host: the older's catch-all does not hide the younger's routes.
        .host("two.test", &listed(&[("match: [{uri: {prefix: /a}}], ", "a1"), ("", "all1")]))
        .host(
            "two.test",
            &listed(&[
                ("match: [{uri: {prefix: /a}}], ", "a2"),
                ("match: [{uri: {prefix: /b}}], ", "b2"),
                ("", "all2"),
            ]),
        )
        // Prefix `/` and regex `.*` are catch-alls too; with another test they are not.
        .host("slash.test", &listed(&[("match: [{uri: {prefix: /}}], ", "slash")]))
        .host("slash.test", &listed(&[("match: [{uri: {exact: /x}}], ", "specific")]))
        .host("any.test", &listed(&[("match: [{uri: {regex: '.*'}}], ", "any")]))
        .host("any.test", &listed(&[("match: [{uri: {exact: /x}}], ", "specific")]))
        .host("cond.test", &listed(&[("match: [{uri: {prefix: /}, headers: {h: {}}}], ", "with")]))
        .host("cond.test", &listed(&[("match: [{uri: {exact: /x}}], ", "specific")]));
    let serving = mesh.start(FAIRWAY).await;
    for (host, text, expected) in [
        ("order.test", "GET /a/b", "short"),
        ("order.test", "GET /bb", "regex"),
        ("order.test", "GET /0", "all"),
        ("order.test", "GET /", "all"),
        ("two.test", "GET /a", "a1"),
        ("two.test", "GET /b", "b2"),
        ("two.test", "GET /c", "all1"),
        ("slash.test", "GET /x", "specific"),
        ("slash.test", "GET /y", "slash"),
        ("any.test", "GET /x", "specific"),
        ("any.test", "GET /y", "any"),
        ("cond.test", "GET /x | h: 1", "with"),
        ("cond.test", "GET /x", "specific"),
    ] {
        let reply = serving.ask(host, text).await.expect_status(200);
        assert_eq!(reply.body, expected, "{host} {text}");
    }
    serving.ask("cond.test", "GET /y").await.expect_status(404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_virtual_host_is_chosen_and_there_is_no_way_back() {
    let mesh = Mesh::default()
        .host("a.foo.test", &format!("[{}]", says("match: [{uri: {prefix: /a}}], ", "exact")))
        .host("*.foo.test", &format!("[{}]", says("", "wild")))
        .host("*.b.foo.test", &format!("[{}]", says("", "longer")))
        .host("*", &format!("[{}]", says("match: [{uri: {prefix: /star}}], ", "star")));
    let serving = mesh.start(FAIRWAY).await;
    let check = async |host: &str, path: &str, expected: Option<&str>| {
        let reply = serving.ask(host, &format!("GET {path}")).await;
        let (status, body) = (reply.status.as_u16(), reply.body);
        match expected {
            Some(word) => assert_eq!((status, &body[..]), (200, word.as_bytes()), "{host}{path}"),
            None => assert_eq!((status, &body[..]), (404, &b""[..]), "{host}{path}"),
        }
    };
    for (host, path, expected) in [
        ("a.foo.test", "/a", Some("exact")),
        // No route of the exact host: the wildcard's and the star's routes are not tried.
        ("a.foo.test", "/b", None),
        ("a.foo.test", "/star", None),
        ("A.Foo.TEST", "/a", Some("exact")),
        ("a.foo.test:80", "/a", Some("exact")),
        ("a.foo.test:31380", "/a", Some("exact")),
        ("x.foo.test", "/", Some("wild")),
        ("x.y.foo.test", "/", Some("wild")),
        ("X.FOO.test:8443", "/", Some("wild")),
        ("x.b.foo.test", "/", Some("longer")),
        ("b.foo.test", "/", Some("wild")),
        // A wildcard stands for at least one label.
        ("foo.test", "/", None),
        ("foo.test", "/star", Some("star")),
        ("xfoo.test", "/star", Some("star")),
        ("127.0.0.1", "/star", Some("star")),
        ("[::1]:80", "/star", Some("star")),
        ("other.test", "/", None),
    ] {
        check(host, path, expected).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_host_gets_an_empty_404_from_the_gateway() {
    let serving =
        Mesh::default().host("known.test", &format!("[{}]", says("", "x"))).start(FAIRWAY).await;
    let reply = serving.ask("unknown.test", "GET /").await.expect_status(404);
    assert_eq!((reply.header("server"), &reply.body[..]), ("istio-envoy", &b""[..]));
    assert_eq!(reply.header("x-envoy-upstream-service-time"), "");
    // The target's own host outweighs the field.
    let mut wire = Wire::connect(serving.address).await;
    wire.say("GET http://known.test/ HTTP/1.1\r\nHost: unknown.test\r\nConnection: close\r\n\r\n")
        .await;
    let answer = wire.hear_all().await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}
