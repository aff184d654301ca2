//! Explanations of one small configuration.

use fairway_proto::wire;

use super::*;
use crate::compile::{Compiled, compile};
use crate::object::GatewayPod;
use crate::source::parse::{Entry, parse_file};

const SHOP: &str = r#"apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
    - {port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: user, namespace: shop}
spec:
  hosts: [user.example]
  gateways: [gw]
  http:
    - name: beta
      match: [{uri: {prefix: /api}, headers: {x-beta: {exact: "1"}}}]
      route: [{destination: {host: user, subset: v2}}]
    - match: [{uri: {exact: /old}}]
      redirect: {uri: /new}
    - match: [{uri: {prefix: /api}, method: {exact: GET}, queryParams: {v: {regex: "[0-9]+"}}}]
      route:
        - {destination: {host: user, subset: v1}, weight: 90}
        - {destination: {host: user, subset: v9}, weight: 10}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: cart, namespace: shop}
spec:
  hosts: [cart.example]
  http: [{route: [{destination: {host: user}}]}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: user, namespace: shop}
spec:
  host: user
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
---
apiVersion: v1
kind: Service
metadata: {name: user, namespace: shop}
spec: {selector: {app: user}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: user-1, namespace: shop, labels: {app: user, version: v1}}
status: {podIP: 10.0.0.1}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: user-a, namespace: shop, labels: {kubernetes.io/service-name: user}}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints:
  - {addresses: [10.0.0.1], conditions: {ready: true}, targetRef: {kind: Pod, name: user-1, namespace: shop}}
"#;

fn answer(request: wire::ExplainRequest) -> wire::ExplainResponse {
    let entries = parse_file("shop.yaml", SHOP.as_bytes()).entries;
    let objects = entries.into_iter().filter_map(|entry| match entry {
        Entry::Valid(object) => Some(object),
        Entry::Invalid(_) => None,
    });
    let pod = GatewayPod {
        labels: [("istio".into(), "ingressgateway".into())].into(),
        namespace: "istio-system".into(),
        domain: "cluster.local".into(),
        ..GatewayPod::default()
    };
    let config = ConfigSet { pod, objects: objects.collect(), ..ConfigSet::default() };
    let Compiled { snapshot, diagnostics } = compile(&config);
    let evidence = Evidence { snapshot: &snapshot, config: &config, diagnostics: &diagnostics };
    explain(evidence, &Question::new(request).unwrap())
}

fn get(host: &str, path: &str) -> wire::ExplainRequest {
    wire::ExplainRequest { host: host.into(), path: path.into(), ..Default::default() }
}

/// The verdict, the status, and for each rule tried what it failed.
fn check(request: &wire::ExplainRequest, verdict: &str, status: u32, failures: &[&str]) {
    let answer = answer(request.clone());
    let failed: Vec<&str> = answer.rules.iter().map(|rule| rule.failed.as_str()).collect();
    assert_eq!(failed, failures, "{request:?}");
    assert_eq!((answer.verdict.as_str(), answer.status), (verdict, status), "{request:?}");
    assert_eq!(answer.found, answer.rules.last().is_some_and(|rule| rule.matched), "{request:?}");
}

#[test]
fn each_rule_names_the_predicate_that_failed() {
    check(
        &get("user.example", "/x"),
        "404: virtual host `user.example` has no route for GET /x: none of its 3 rules matches",
        404,
        &[
            "path is `/x`, not something that starts with `/api`",
            "path is `/x`, not `/old`",
            "path is `/x`, not something that starts with `/api`",
        ],
    );
    check(
        &wire::ExplainRequest { method: "POST".into(), ..get("user.example", "/api") },
        "404: virtual host `user.example` has no route for POST /api: none of its 3 rules matches",
        404,
        &[
            "header x-beta is absent, not exact \"1\"",
            "path is `/api`, not `/old`",
            "method is `POST`, not exact \"GET\"",
        ],
    );
    let failures = ["header x-beta is absent, not exact \"1\"", "path is `/api`, not `/old`"];
    let wrong = "query parameter v is `x`, not regex \"[0-9]+\"";
    check(
        &get("user.example", "/api?v=x"),
        "404: virtual host `user.example` has no route for GET /api: none of its 3 rules matches",
        404,
        &[failures[0], failures[1], wrong],
    );
    check(
        &get("user.example", "/api?v=1"),
        "90 %: sent to outbound|80|v1|user.shop.svc.cluster.local (1 endpoint); \
         10 %: 503: cluster outbound|80|v9|user.shop.svc.cluster.local does not exist",
        0,
        &[failures[0], failures[1], ""],
    );
}

#[test]
fn the_gateways_own_answers_have_their_status() {
    let failed = "path is `/old`, not something that starts with `/api`";
    check(&get("user.example", "/old"), "answered with a redirect, status 301", 301, &[failed, ""]);
    let mut beta = get("user.example", "/api");
    beta.headers.insert("X-Beta".into(), "1".into());
    let none = "503: cluster outbound|80|v2|user.shop.svc.cluster.local has no ready endpoint";
    check(&beta, none, 503, &[""]);
    let host = "404: no virtual host takes `other.example`: there are user.example";
    check(&get("other.example", "/"), host, 404, &[]);
    let nul = "400: the path holds an encoded NUL";
    check(&get("user.example", "/%00"), nul, 400, &[]);
    let port = "connection refused: nothing listens on port 81: Gateways open 80";
    check(&wire::ExplainRequest { port: 81, ..get("user.example", "/") }, port, 0, &[]);
}

#[test]
fn an_answer_leads_to_objects_and_lines() {
    let answer = answer(get("user.example", "/api?v=1"));
    let place = |object: &wire::ObjectPlace| {
        format!(
            "{} {}/{} {}:{}",
            object.kind, object.namespace, object.name, object.file, object.line
        )
    };
    let listener = answer.listener.unwrap();
    assert_eq!(place(&listener.gateways[0]), "Gateway shop/gw shop.yaml:1");
    let rule = answer.rules.last().unwrap();
    assert_eq!(rule.origin, "shop/user#2");
    assert_eq!(place(rule.object.as_ref().unwrap()), "VirtualService shop/user shop.yaml:9");
    let objects: Vec<String> = answer.clusters[0].objects.iter().map(place).collect();
    assert_eq!(
        objects,
        ["Service shop/user shop.yaml:40", "DestinationRule shop/user shop.yaml:33"]
    );
    assert_eq!(answer.clusters[0].endpoints[0].address, "10.0.0.1:8080");
    assert!(answer.hints[0].contains("v9"), "{:?}", answer.hints);
}

#[test]
fn a_virtual_service_that_does_not_apply_says_why() {
    let hints = answer(get("cart.example", "/")).hints;
    assert!(
        hints[0].contains("(VirtualService shop/cart shop.yaml:26) names this host"),
        "{hints:?}"
    );
    assert!(hints[0].ends_with("add spec.gateways"), "{hints:?}");
}
