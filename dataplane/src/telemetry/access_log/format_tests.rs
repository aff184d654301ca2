use super::*;
use crate::telemetry::record::{Ends, PeerFacts, TlsFacts};
use fairway_shared::id::ServicePort;
use http::Method;
use http::header::{HeaderMap, HeaderValue};
use std::rc::Rc;
use std::time::UNIX_EPOCH;

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    let pair = |(name, value): &(&'static str, &'static str)| {
        (HeaderName::from_static(name), HeaderValue::from_static(value))
    };
    pairs.iter().map(pair).collect()
}

/// A request that was rewritten, forwarded and answered.
fn whole(capture: &Capture) -> Record {
    let mut record = Record {
        protocol: Some("HTTP/1.1"),
        scheme: "http",
        method: Some(Method::GET),
        path: Some("/old?q=1".parse().unwrap()),
        forwarded_path: Some("/new?q=1".parse().unwrap()),
        authority: Some(HeaderValue::from_static("a.example")),
        cluster: Some(Rc::new(ClusterId {
            service: ServicePort { host: "a.ns.svc.cluster.local".into(), port: 80 },
            subset: "v1".into(),
        })),
        attempts: 2,
        upstream: Some(address("10.0.0.9:8080")),
        upstream_local: Some(address("10.0.0.1:4000")),
        ends: Some(Ends {
            remote: address("192.0.2.7:5000"),
            direct: address("10.0.0.2:5001"),
            local: address("10.0.0.1:80"),
        }),
        server_name: Some("a.example".into()),
        status: 200,
        details: Some("via_upstream"),
        received_bytes: 5,
        sent_bytes: 7,
        duration: Duration::from_micros(12_900),
        answered_after: Some(Duration::from_millis(10)),
        ..Record::default()
    };
    let request =
        [("user-agent", "a \"b\""), ("x-request-id", "id"), ("x-forwarded-for", "1.2.3.4")];
    capture.take(Side::Request, &headers(&request), &mut record.fields);
    let response = [("x-envoy-upstream-service-time", "9"), ("x-r", "é")];
    capture.take(Side::Response, &headers(&response[..1]), &mut record.fields);
    record
}

fn written(format: &LogFormat, record: impl FnOnce(&Capture) -> Record) -> String {
    let mut capture = Capture::default();
    let format = Format::new(format, "gateway-0", &mut capture).unwrap();
    let (mut scratch, mut out) = (Vec::new(), Vec::new());
    let now = UNIX_EPOCH + Duration::from_micros(1_738_367_999_019_900);
    format.write(&record(&capture), now, &mut scratch, &mut out);
    String::from_utf8(out).unwrap()
}

#[track_caller]
fn check(text: &str, expected: &str) {
    assert_eq!(written(&LogFormat::Text(text.into()), whole), expected, "{text}");
}

#[test]
fn the_default_text_is_byte_for_byte_the_references() {
    assert_eq!(
        written(&LogFormat::default_text(), whole),
        "[2025-01-31T23:59:59.007Z] \"GET /old?q=1 HTTP/1.1\" 200 - via_upstream - \"-\" 5 7 12 9 \
         \"1.2.3.4\" \"a \"b\"\" \"id\" \"a.example\" \"10.0.0.9:8080\" \
         outbound|80|v1|a.ns.svc.cluster.local 10.0.0.1:4000 10.0.0.1:80 192.0.2.7:5000 \
         a.example -\n"
    );
}

#[test]
fn what_never_came_is_a_dash_in_text_and_null_in_json() {
    let nothing = |_: &Capture| Record { status: 0, ..Record::default() };
    assert_eq!(
        written(&LogFormat::default_text(), nothing),
        "[2025-01-31T23:59:59.019Z] \"- - -\" 0 - - - \"-\" 0 0 0 - \"-\" \"-\" \"-\" \"-\" \"-\" \
         - - - - - -\n"
    );
    let line = written(&LogFormat::default_json(), nothing);
    let object: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(object.as_object().unwrap().len(), 24);
    for (key, value) in object.as_object().unwrap() {
        let expected = match key.as_str() {
            "start_time" => "2025-01-31T23:59:59.019Z".into(),
            "response_code" | "bytes_received" | "bytes_sent" | "duration" => 0.into(),
            "response_flags" => "-".into(),
            _ => serde_json::Value::Null,
        };
        assert_eq!(*value, expected, "{key}");
    }
}

#[test]
fn the_default_json_has_numbers_and_escaped_texts() {
    let line = written(&LogFormat::default_json(), whole);
    assert!(line.ends_with("}\n") && line.lines().count() == 1);
    let object: serde_json::Value = serde_json::from_str(&line).unwrap();
    for (key, expected) in [
        ("response_code", serde_json::json!(200)),
        ("duration", 12.into()),
        ("bytes_sent", 7.into()),
        ("user_agent", "a \"b\"".into()),
        ("upstream_service_time", "9".into()),
        ("upstream_cluster", "outbound|80|v1|a.ns.svc.cluster.local".into()),
        ("route_name", serde_json::Value::Null),
    ] {
        assert_eq!(object[key], expected, "{key}");
    }
}

#[test]
fn every_operator_writes_its_value() {
    for (text, expected) in [
        ("%HOSTNAME%|%PROTOCOL%", "gateway-0|HTTP/1.1"),
        ("%REQ(:PATH)% %REQ(:SCHEME)%", "/new?q=1 http"),
        ("%REQ_WITHOUT_QUERY(X-ENVOY-ORIGINAL-PATH?:PATH)%", "/old"),
        ("%REQ(:METHOD):2%", "GE"),
        ("%REQ(X-NONE?USER-AGENT):1%", "a"),
        ("%REQ(X-NONE?X-NOR-THIS)%", "-"),
        ("%REQ(not a name)%", "-"),
        ("%RESP(X-NONE)%%TRAILER(GRPC-STATUS)%", "--"),
        ("%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", "192.0.2.7"),
        ("%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%", "10.0.0.2:5001"),
        ("%DOWNSTREAM_LOCAL_PORT%", "80"),
        ("%UPSTREAM_CLUSTER%", "outbound|80|v1|a.ns.svc.cluster.local"),
        ("%UPSTREAM_REQUEST_ATTEMPT_COUNT%", "2"),
        ("%REQUEST_DURATION% %RESPONSE_DURATION% %RESPONSE_TX_DURATION%", "- 10 2"),
        ("%DOWNSTREAM_TLS_VERSION%%DOWNSTREAM_PEER_SUBJECT%", "--"),
        ("%START_TIME(%s)% 100%%", "1738367999 100%"),
    ] {
        check(text, expected);
    }
}

#[test]
fn a_clients_certificate_is_told() {
    let peer = PeerFacts { subject: "CN=a".into(), ..PeerFacts::default() };
    let tls = TlsFacts { version: "TLSv1.3", cipher: "x", peer: Some(peer) };
    let record = |_: &Capture| Record { tls: Some(Rc::new(tls)), ..Record::default() };
    let format = "%DOWNSTREAM_PEER_SUBJECT% %DOWNSTREAM_PEER_ISSUER% %DOWNSTREAM_TLS_VERSION%";
    assert_eq!(written(&LogFormat::Text(format.into()), record), "CN=a - TLSv1.3");
}

#[test]
fn keys_and_mixed_values_of_json_are_texts() {
    let pairs = vec![("a \"b\"".to_owned(), "%RESPONSE_CODE% %PROTOCOL%".to_owned())];
    assert_eq!(written(&LogFormat::Json(pairs), whole), "{\"a \\\"b\\\"\":\"200 HTTP/1.1\"}\n");
    assert_eq!(written(&LogFormat::Json(vec![]), whole), "{}\n");
}
