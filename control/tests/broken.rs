//! One right configuration and the ways in which people break it: each is found under its code, at
//! the object that has to change, with advice.

use fairway_control::analyze::analyze;
use fairway_control::compile::compile;
use fairway_control::object::{ConfigSet, GatewayPod};
use fairway_control::source::parse::{Entry, parse_file};
use fairway_shared::diagnostic::Diagnostic;

/// What breaks it: a text of the configuration and what stands in its place, what has to be found,
/// and a part of the advice.
struct Break {
    from: &'static str,
    to: &'static str,
    /// Code, kind, namespace/name.
    found: (&'static str, &'static str, &'static str),
    remedy: &'static str,
}

const RIGHT: &str = include_str!("broken/right.yaml");

/// All findings of reading, compiling and analysing a text, and the objects read.
fn findings(text: &str) -> Vec<Diagnostic> {
    let parsed = parse_file("shop.yaml", text.as_bytes());
    let mut found = parsed.diagnostics;
    let mut objects = Vec::new();
    for entry in parsed.entries {
        match entry {
            Entry::Valid(object) => objects.push(object),
            Entry::Invalid(finding) => found.push(*finding),
        }
    }
    objects.sort_by_key(|object| {
        (object.spec.kind(), object.meta.namespace.clone(), object.meta.name.clone())
    });
    let pod = GatewayPod {
        labels: [("istio".into(), "ingressgateway".into())].into(),
        namespace: "istio-system".into(),
        domain: "cluster.local".into(),
        ..GatewayPod::default()
    };
    let config = ConfigSet { pod, objects, ..ConfigSet::default() };
    found.extend(compile(&config).diagnostics);
    found.extend(analyze(&config));
    found
}

/// The line on which the document of an object starts.
fn line_of(text: &str, kind: &str, key: &str) -> u32 {
    let (namespace, name) = key.split_once('/').expect("namespace/name");
    let (kind, name) = (format!("kind: {kind}"), format!("{{name: {name}, namespace: {namespace}"));
    let mut line = 1;
    for document in text.split_inclusive("---\n") {
        if document.lines().any(|line| line == kind) && document.contains(&name) {
            return line;
        }
        line += u32::try_from(document.lines().count()).expect("a short file");
    }
    panic!("no {kind} {key} in\n{text}");
}

/// Breaks the right configuration and looks for what it must find.
fn check(case: &Break) {
    let text = match case.from {
        "" => format!("{RIGHT}---\n{}", case.to),
        from => {
            assert_eq!(RIGHT.matches(from).count(), 1, "`{from}` is not there once");
            RIGHT.replace(from, case.to)
        }
    };
    let all = findings(&text);
    let (code, kind, key) = case.found;
    let object = format!("{kind} {key}");
    let found = all.iter().find(|one| one.code == code && one.object.to_string() == object);
    let Some(found) = found else {
        let lines: Vec<String> = all.iter().map(ToString::to_string).collect();
        panic!("no {code} on {object}, but {lines:#?}");
    };
    assert!(found.remedy.contains(case.remedy), "{found}");
    let place = found.place.as_ref().expect("a place");
    let line = line_of(&text, kind, key);
    let is_inside = ["IST0106", "FWY0002"].contains(&code) && place.line >= line;
    assert!(place.file == "shop.yaml" && (place.line == line || is_inside), "{found}: not {line}");
}

#[test]
fn what_is_right_is_passed_in_silence() {
    let lines: Vec<String> = findings(RIGHT).iter().map(ToString::to_string).collect();
    assert_eq!(lines, Vec::<String>::new());
}

const GATEWAY: (&str, &str) = ("Gateway", "shop/gw");
const VIRTUAL_SERVICE: (&str, &str) = ("VirtualService", "shop/user");
const RULE: (&str, &str) = ("DestinationRule", "shop/user");
const SERVICE: (&str, &str) = ("Service", "shop/user");

const fn broken(
    from: &'static str,
    to: &'static str,
    code: &'static str,
    (kind, key): (&'static str, &'static str),
    remedy: &'static str,
) -> Break {
    Break { from, to, found: (code, kind, key), remedy }
}

#[test]
fn each_mistake_is_found_with_its_code_place_and_advice() {
    for case in CASES {
        check(case);
    }
    assert!(CASES.len() >= 30, "{} cases", CASES.len());
}

const CASES: &[Break] = &[
    // References to nothing.
    broken("{istio: ingressgateway}", "{istio: nothing}", "IST0101", GATEWAY, "gateway pod"),
    broken(
        "[user.example]\n  gateways: [gw]",
        "[user.example]\n  gateways: [gateway]",
        "IST0101",
        VIRTUAL_SERVICE,
        "create the Gateway",
    ),
    broken("host: user, subset: v1", "host: usr, subset: v1", "IST0101", VIRTUAL_SERVICE, ""),
    broken("subset: v1, port", "subset: v3, port", "IST0101", VIRTUAL_SERVICE, ""),
    broken("number: 8080}", "number: 8081}", "IST0101", VIRTUAL_SERVICE, ""),
    broken("  host: user\n", "  host: usr\n", "IST0174", RULE, "create the Service"),
    // Names that fit nothing.
    broken(
        "hosts: [user.example]",
        "hosts: [user.test]",
        "IST0132",
        VIRTUAL_SERVICE,
        "name a host",
    ),
    broken("version: v2}}]", "version: v9}}]", "IST0173", RULE, "correct the labels"),
    // Broken schema.
    broken("protocol: HTTP}", "protocol: HTTPX}", "IST0106", GATEWAY, "use HTTP"),
    broken("number: 80,", "number: 0,", "IST0106", GATEWAY, "1 to 65535"),
    broken("number: 80,", "number: eighty,", "IST0106", GATEWAY, "correct the field"),
    broken("[\"*.example\"]", "[]", "IST0106", GATEWAY, "name a host"),
    broken("hosts: [user.example]", "hosts: [user..example]", "IST0106", VIRTUAL_SERVICE, ""),
    broken("{prefix: /api}", "{regex: \"/api(\"}", "IST0106", VIRTUAL_SERVICE, ""),
    broken("{prefix: /api}", "{prefix: /api, exact: /api}", "IST0106", VIRTUAL_SERVICE, ""),
    broken("weight: 90", "weight: -1", "IST0106", VIRTUAL_SERVICE, ""),
    broken("timeout: 5s", "timeout: 5", "IST0106", VIRTUAL_SERVICE, ""),
    broken("attempts: 2", "attempts: -2", "IST0106", VIRTUAL_SERVICE, ""),
    broken("redirectCode: 302", "redirectCode: 200", "IST0106", VIRTUAL_SERVICE, ""),
    broken("httpStatus: 503", "httpStatus: 99", "IST0106", VIRTUAL_SERVICE, ""),
    broken(
        "redirect: {uri: /new",
        "redirect: {uri: /new, scheme: ftp",
        "IST0106",
        VIRTUAL_SERVICE,
        "",
    ),
    broken("name: v2, labels", "name: v1, labels", "IST0106", RULE, ""),
    broken("simple: RANDOM", "simple: RANDUM", "IST0106", RULE, ""),
    // Unknown and unreadable.
    broken("timeout: 5s", "timeOut: 5s", "FWY0002", VIRTUAL_SERVICE, "check its spelling"),
    // Rules that take nothing.
    broken("{exact: /old}", "{prefix: /api}", "IST0130", VIRTUAL_SERVICE, "move it up"),
    broken("{exact: /old}", "{exact: /api/old}", "IST0131", VIRTUAL_SERVICE, "move it up"),
    // Services.
    broken("name: http, port: 80,", "name: web, port: 80,", "IST0118", SERVICE, "begin the name"),
    broken(", port: {number: 8080}", "", "IST0112", VIRTUAL_SERVICE, ""),
    broken(
        "",
        "apiVersion: v1\nkind: Service\nmetadata: {name: other, namespace: shop}\nspec: {selector: {app: user}, ports: [{name: tcp, port: 80}]}\n",
        "IST0116",
        ("Pod", "shop/user-1"),
        "one protocol",
    ),
    broken(
        "",
        "apiVersion: v1\nkind: Service\nmetadata: {name: other, namespace: shop}\nspec: {selector: {app: user}, ports: [{name: http, port: 81, targetPort: 9000}]}\n",
        "IST0137",
        ("Pod", "shop/user-1"),
        "the same port",
    ),
    broken(
        "",
        "apiVersion: v1\nkind: Service\nmetadata: {name: far, namespace: shop}\nspec: {type: ExternalName, externalName: far.test, ports: [{name: tcp-a, port: 80}]}\n",
        "IST0150",
        ("Service", "shop/far"),
        "begin the name",
    ),
    // Objects that contradict one another.
    broken(
        "",
        "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: twin, namespace: shop}\nspec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [\"*.example\"]}]}\n",
        "IST0145",
        ("Gateway", "shop/twin"),
        "keep the host in one",
    ),
    broken(
        "",
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: mesh, namespace: shop}\nspec: {hosts: [cart], http: [{route: [{destination: {host: cart}}]}]}\n---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: mesh-too, namespace: shop}\nspec: {hosts: [cart.shop.svc.cluster.local], http: [{route: [{destination: {host: cart}}]}]}\n",
        "IST0109",
        ("VirtualService", "shop/mesh"),
        "merge them",
    ),
    broken(
        "",
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: split, namespace: shop}\nspec: {hosts: [cart], http: [{route: [{destination: {host: cart, subset: v1}}]}]}\n",
        "IST0140",
        ("VirtualService", "shop/cart"),
        "name the subsets",
    ),
    broken(
        "[user.example]\n  gateways: [gw]",
        "[user.example]\n  gateways: [gw, shop/a-istio-autogenerated-k8s-gateway]",
        "IST0165",
        VIRTUAL_SERVICE,
        "attach routes",
    ),
];
