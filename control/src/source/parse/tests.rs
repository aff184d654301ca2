use proptest::prelude::*;

use super::*;

const SHOP: &str = r#"# The shop.
apiVersion: networking.istio.io/v1alpha3
kind: Gateway
metadata:
  name: dk-shop
  namespace: dk-shop
spec:
  selector:
    istio: ingressgateway
  servers:
    - port:
        number: 80
        name: http
        protocol: HTTP
      hosts:
        - "*"
---
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata:
  name: user
  namespace: dk-shop
spec:
  hosts:
    - "user.thanhoo.com"
  gateways:
    - dk-shop
  http:
    - route:
        - destination:
            host: user
            port:
              number: 80
            subset: v1
"#;

fn objects(parsed: &ParsedFile) -> Vec<&Arc<Object>> {
    let valid = parsed.entries.iter().filter_map(|entry| match entry {
        Entry::Valid(object) => Some(object),
        Entry::Invalid(_) => None,
    });
    valid.collect()
}

/// Parses `file` and compares the objects used, each as `Kind namespace/name:line`, and all
/// findings as printed.
fn check(file: &str, content: &str, used: &[&str], findings: &[&str]) {
    let parsed = parse_file(file, content.as_bytes());
    let line = |object: &Object| object.place.as_ref().map_or(0, |place| place.line);
    let found: Vec<_> =
        objects(&parsed).iter().map(|o| format!("{}:{}", o.reference(), line(o))).collect();
    assert_eq!(found, used, "{content}");
    let invalid = parsed.entries.iter().filter_map(|entry| match entry {
        Entry::Valid(_) => None,
        Entry::Invalid(finding) => Some(&**finding),
    });
    let printed: Vec<_> = parsed.diagnostics.iter().chain(invalid).map(|f| f.to_string()).collect();
    assert_eq!(printed, findings, "{content}");
}

#[test]
fn every_document_becomes_an_object_that_knows_its_line() {
    check("shop.yaml", SHOP, &["Gateway dk-shop/dk-shop:2", "VirtualService dk-shop/user:18"], &[]);
    let parsed = parse_file("shop.yaml", SHOP.as_bytes());
    let Spec::VirtualService(service) = &objects(&parsed)[1].spec else { panic!("wrong kind") };
    let destination = service.http[0].route[0].destination.as_ref().unwrap();
    assert_eq!((destination.host.as_str(), destination.subset.as_str()), ("user", "v1"));
    assert_eq!(destination.port.as_ref().unwrap().number, 80);
}

#[test]
fn documents_are_told_apart_whatever_stands_between_them() {
    let service = "{apiVersion: v1, kind: Service, metadata: {name: a}}";
    check(
        "a.yaml",
        "",
        &[],
        &["Warning [FWY0001] (a.yaml) the file is empty: remove the file, \
        or write a comment into it, if it is to hold no objects"],
    );
    check("a.yaml", "---\n---\n# only words\n--- \n", &[], &[]);
    check("a.yaml", &format!("%YAML 1.2\n---\n{service}\n"), &["Service default/a:3"], &[]);
    check(
        "a.yaml",
        &format!("---\n...\n%YAML 1.2\n---\n{service}\n"),
        &["Service default/a:5"],
        &[],
    );
    check("a.yaml", &format!("\u{feff}---\r\n{service}\r\n---\r\n"), &["Service default/a:2"], &[]);
    check(
        "a.yaml",
        &format!("--- {service}\n...\n\n--- {service}\n"),
        &["Service default/a:1", "Service default/a:4"],
        &[],
    );
    let text = "apiVersion: v1\nkind: ConfigMap\ndata:\n  a: |\n    ---\n    kind: {\n";
    check("a.yaml", &format!("{text}---\n{service}"), &["Service default/a:8"], &[]);
}

#[test]
fn json_is_read_with_its_lines() {
    let one = "{\n\t\"apiVersion\": \"v1\",\n\t\"kind\": \"Service\",\n\t\"metadata\": \
        {\"name\": \"a\\/\\ud83d\\ude00\"},\n\t\"spec\": {\"ports\": [{\"port\":80}]}\n}";
    check("a.json", one, &["Service default/a/\u{1f600}:1"], &[]);
    check(
        "a.json",
        &format!("{one}\n{one}{one}\n"),
        &[
            "Service default/a/\u{1f600}:1",
            "Service default/a/\u{1f600}:7",
            "Service default/a/\u{1f600}:12",
        ],
        &[],
    );
    check(
        "a.json",
        &format!("{one}\n{{\"kind\":\n  oh"),
        &["Service default/a/\u{1f600}:1"],
        &["Error [FWY0001] (a.json:8) expected value: correct the syntax"],
    );
    check(
        "a.json",
        &one.replace("80", "\"x\""),
        &[],
        &["Error [IST0106] (Service default/a/\u{1f600} a.json:5) spec.ports[0].port: expected a \
           whole number (0 to 65535), found the text `x`: correct the field"],
    );
}

#[test]
fn lists_are_taken_apart() {
    check(
        "a.yaml",
        "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n  \
        metadata: {name: a}\n- {apiVersion: apps/v1, kind: Deployment}\n",
        &["Pod default/a:4"],
        &[],
    );
    check(
        "a.yaml",
        "apiVersion: networking.istio.io/v1\nkind: GatewayList\nitems:\n\
        - metadata: {name: a, namespace: b}\n",
        &["Gateway b/a:4"],
        &[],
    );
    check("a.yaml", "apiVersion: v1\nkind: List\nitems: null\n", &[], &[]);
    check(
        "a.yaml",
        "apiVersion: v1\nkind: List\nitems: [{kind: Pod}]\n",
        &[],
        &["Error [FWY0001] (a.yaml:3) the document has no apiVersion: add it, or move the file \
           out of the directory"],
    );
}

#[test]
fn what_is_not_readable_is_told_with_its_line() {
    check(
        "a.yaml",
        "a: b\n",
        &[],
        &["Error [FWY0001] (a.yaml:1) the document has no apiVersion: \
        add it, or move the file out of the directory"],
    );
    check(
        "a.yaml",
        "\n- a\n",
        &[],
        &["Error [FWY0001] (a.yaml:2) the document is not an object, \
        but a single value or a list: write an object with apiVersion, kind and metadata"],
    );
    check(
        "a.yaml",
        "apiVersion: v1\nkind: Service\nmetadata:\n",
        &[],
        &["Error [FWY0001] (a.yaml:1) Service without metadata.name: give it a name"],
    );
    let parsed = parse_file("a.yaml", b"a: b\nc: \xff\n");
    assert_eq!(
        parsed.diagnostics[0].to_string(),
        "Error [FWY0001] (a.yaml:2) the text is not UTF-8: save the file as UTF-8"
    );
    let parsed = parse_file("a.yaml", &vec![b'#'; FILE_BYTES_MAX + 1]);
    assert_eq!(
        parsed.diagnostics[0].to_string(),
        "Error [FWY0001] (a.yaml) file of 67108865 bytes exceeds 67108864: split it"
    );
}

#[test]
fn a_syntax_error_costs_its_document_only_and_each_one_is_found() {
    let broken = "kind: [\n---\n";
    let parsed = parse_file("shop.yaml", format!("{broken}{SHOP}---\nb: }}\n").as_bytes());
    assert!(parsed.is_broken);
    assert_eq!(objects(&parsed).len(), 2);
    let places: Vec<_> =
        parsed.diagnostics.iter().map(|f| (f.code, f.place.as_ref().unwrap().line)).collect();
    assert_eq!(places, [("FWY0001", 1), ("FWY0001", 38)], "{:?}", parsed.diagnostics);
}

#[test]
fn fields_of_the_wrong_type_are_named_with_their_line() {
    let spec = |spec: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: a}}\n\
                 spec:\n{spec}"
        )
    };
    let cases = [
        ("  hosts: user\n", 5, "spec.hosts: expected a list, found the text `user`"),
        ("  hosts:\n  - a\n  - 1.0\n", 7, "spec.hosts[1]: expected a text, found the number 1.0"),
        ("  hosts: [~]\n", 5, "spec.hosts[0]: expected a text, found null"),
        ("  http: [~]\n", 5, "spec.http[0]: expected a mapping, found null"),
        ("  http: [[]]\n", 5, "spec.http[0]: expected a mapping, found a list"),
        (
            "  http:\n  - match:\n    - headers: {x: null}\n",
            7,
            "spec.http[0].match[0].headers.x: expected a mapping, found null",
        ),
        (
            "  http:\n  - route:\n    - weight: half\n",
            7,
            "spec.http[0].route[0].weight: expected a whole number, found the text `half`",
        ),
        (
            "  http:\n  - match: [{port: -1}]\n",
            6,
            "spec.http[0].match[0].port: expected a whole number (not negative), found the number -1",
        ),
        (
            "  exportTo: []\n  export_to: []\n",
            5,
            "spec: field exportTo is written twice, in two spellings",
        ),
    ];
    for (text, line, message) in cases {
        let finding = format!(
            "Error [IST0106] (VirtualService default/a a.yaml:{line}) {message}: correct the field"
        );
        check("a.yaml", &spec(text), &[], &[&finding]);
    }
}

#[test]
fn what_kubernetes_takes_is_taken() {
    let used = &["VirtualService default/a:1"];
    let spec = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: \
                {name: a, annotations: {b: }, labels: ~}\nspec:\n";
    check("a.yaml", &format!("{spec}  http: null\n  tls:\n  hosts: []\n"), used, &[]);
    check("a.yaml", &format!("{spec}  http: [{{match: [{{ignoreUriCase: yes}}]}}]\n"), used, &[]);
    check("a.yaml", &format!("{spec}  http: [{{mirror_percent: 5}}]\n"), used, &[]);
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec:\n  \
                   clusterIP: None\n  ports: [{port: 80, targetPort: http, nodePort: 30001}]\n";
    check("a.yaml", service, &["Service default/a:1"], &[]);
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {restartPolicy: Always}\n\
               status: {podIP: 10.0.0.1}\n";
    check("a.yaml", pod, &["Pod default/a:1"], &[]);
}

#[test]
fn unknown_fields_and_kinds_are_warnings() {
    check(
        "a.yaml",
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata:\n  name: a\n  \
         namspace: b\nspec:\n  http:\n  - retrys: {attempts: 1}\n    route: []\nspecs: {}\n",
        &["VirtualService default/a:1"],
        &[
            "Warning [FWY0002] (VirtualService default/a a.yaml:5) unknown field metadata.namspace \
             has no effect: check its spelling and where it stands",
            "Warning [FWY0002] (VirtualService default/a a.yaml:8) unknown field \
             spec.http[0].retrys has no effect: check its spelling and where it stands",
            "Warning [FWY0002] (VirtualService default/a a.yaml:10) unknown field specs has no \
             effect: check its spelling and where it stands",
        ],
    );
    check(
        "a.yaml",
        "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: a}\n",
        &[],
        &["Warning [FWY0003] (Sidecar default/a a.yaml:1) Sidecar of networking.istio.io/v1 is \
           not supported and has no effect: remove it, or do not rely on it"],
    );
    check(
        "a.yaml",
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: a}\n",
        &[],
        &["Error [FWY0003] (AuthorizationPolicy default/a a.yaml:1) AuthorizationPolicy is not \
           enforced: requests it should stop get through: protect the services behind the \
           gateway in another way"],
    );
}

#[test]
fn aliases_are_followed_and_bombs_defused() {
    let shared = "apiVersion: v1\nkind: Service\nmetadata: {name: &n web}\nspec: {selector: \
                  {app: *n}, ports: [&p {port: 80}]}\n";
    let parsed = parse_file("a.yaml", shared.as_bytes());
    let Spec::Service(service) = &objects(&parsed)[0].spec else { panic!("wrong kind") };
    assert_eq!(service.selector["app"], "web");

    let mut bomb = "a: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..12 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(",");
        bomb.push_str(&format!("b{level}: &a{level} [{aliases}]\n"));
    }
    assert!(parse_file("a.yaml", bomb.as_bytes()).is_broken);
    let empty = "key: &a {}\nother: *a\nboth: [*a, *a]\n";
    assert!(
        parse_file("a.yaml", format!("apiVersion: v1\nkind: A\n{empty}").as_bytes())
            .diagnostics
            .is_empty()
    );
    check(
        "a.yaml",
        "a: &a [*a]\n",
        &[],
        &["Error [FWY0001] (a.yaml:1) an alias stands inside \
        what it stands for: correct the syntax"],
    );
}

#[test]
fn merged_mappings_yield_to_what_is_written() {
    let text = "x: &x {app: shop, tier: web}\napiVersion: v1\nkind: Service\nmetadata: {name: a}\n\
                spec:\n  selector:\n    <<: [*x, {tier: db, zone: b}]\n    app: user\n";
    let parsed = parse_file("a.yaml", text.as_bytes());
    let Spec::Service(service) = &objects(&parsed)[0].spec else { panic!("wrong kind") };
    let pairs: Vec<_> = service.selector.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(pairs, ["app=user", "tier=web", "zone=b"]);
    check(
        "a.yaml",
        "a: 1\n<<: 1\n",
        &[],
        &["Error [FWY0001] (a.yaml:2) the value of << is \
        neither a mapping nor a list of mappings: correct the syntax"],
    );
    check(
        "a.yaml",
        "a: 1\nb: {c: 1,\n c: 2}\n",
        &[],
        &["Error [FWY0001] (a.yaml:3) key `c` is \
        written twice in one mapping: correct the syntax"],
    );
}

#[test]
fn nesting_has_a_limit_and_needs_no_stack() {
    for (open, close) in [("[", "]"), ("{\"a\": ", "}"), ("[{\"a\":", "}]")] {
        for (depth, is_broken) in [(60, false), (250, true), (100_000, true)] {
            let deep = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            for object in [
                format!("{{\"apiVersion\": \"v1\", \"kind\": \"A\", \"a\": {deep}}}"),
                format!(
                    "{{\"apiVersion\": \"networking.istio.io/v1\", \"kind\": \"DestinationRule\", \
                     \"metadata\": {{\"name\": \"a\"}}, \
                     \"spec\": {{\"trafficPolicy\": {{\"outlierDetection\": {deep}}}}}}}"
                ),
            ] {
                for file in ["a.yaml", "a.json"] {
                    let parsed = parse_file(file, object.as_bytes());
                    assert_eq!(parsed.is_broken, is_broken, "{open} {depth} {file}");
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(content in proptest::collection::vec(any::<u8>(), 0..400)) {
        parse_file("a.yaml", &content);
        parse_file("a.json", &content);
    }

    #[test]
    fn no_yaml_like_text_panics(content in "([ \\-:\\[\\]{},&*!|>'\"#%@`?~a-c0-9\n\t]|---\n|<<: ){0,200}") {
        parse_file("a.yaml", content.as_bytes());
        parse_file("a.json", content.as_bytes());
    }

    /// Every cut and every changed byte of a good file parses to something, and what it yields
    /// lies inside the file.
    #[test]
    fn mangled_files_never_panic(at in 0..SHOP.len(), byte: u8, cut in 0..SHOP.len()) {
        let mut content = SHOP.as_bytes().to_vec();
        content[at] = byte;
        content.truncate(cut);
        let parsed = parse_file("a.yaml", &content);
        let lines = content.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count() + 1;
        for finding in &parsed.diagnostics {
            prop_assert!(finding.place.as_ref().unwrap().line as usize <= lines, "{}", finding);
            prop_assert!(!finding.to_string().contains('\n'));
        }
        prop_assert!(parsed.entries.len() <= 2);
    }
}
