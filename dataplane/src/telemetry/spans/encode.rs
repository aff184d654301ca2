//! Spans as collectors read them: Zipkin's JSON v2, and OTLP in its JSON form. Pure.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::span::Span;

/// A span whose end is a request to another service (OTLP `SPAN_KIND_CLIENT`).
const KIND_CLIENT: u8 = 3;
/// OTLP `STATUS_CODE_ERROR`.
const STATUS_ERROR: u8 = 2;

/// `POST /api/v2/spans`.
pub(super) fn zipkin(spans: &[Span], service: &str) -> Vec<u8> {
    let all: Vec<Value> = spans.iter().map(|span| zipkin_span(span, service)).collect();
    Value::from(all).to_string().into_bytes()
}

fn zipkin_span(span: &Span, service: &str) -> Value {
    let tags: serde_json::Map<_, _> =
        span.tags.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
    let mut object = json!({
        "traceId": span.context.trace_text(),
        "id": format!("{:016x}", span.context.span_id),
        "kind": "CLIENT",
        "name": span.name,
        "timestamp": span.start_us,
        "duration": span.duration_us,
        "localEndpoint": { "serviceName": service },
        "tags": tags,
    });
    if let Some(parent) = span.context.parent {
        object["parentId"] = format!("{parent:016x}").into();
    }
    if let Some(upstream) = span.upstream {
        object["remoteEndpoint"] = zipkin_endpoint(upstream);
    }
    object
}

fn zipkin_endpoint(address: SocketAddr) -> Value {
    let family = if address.is_ipv4() { "ipv4" } else { "ipv6" };
    json!({ family: address.ip().to_string(), "port": address.port() })
}

/// `POST /v1/traces`.
pub(super) fn otlp(spans: &[Span], service: &str) -> Vec<u8> {
    let all: Vec<Value> = spans.iter().map(otlp_span).collect();
    let document = json!({ "resourceSpans": [{
        "resource": { "attributes": [attribute("service.name", service)] },
        "scopeSpans": [{ "scope": { "name": "fairway" }, "spans": all }],
    }]});
    document.to_string().into_bytes()
}

fn attribute(name: &str, value: &str) -> Value {
    json!({ "key": name, "value": { "stringValue": value } })
}

fn otlp_span(span: &Span) -> Value {
    let attributes: Vec<Value> =
        span.tags.iter().map(|(name, value)| attribute(name, value)).collect();
    let nanos = |micros: u64| format!("{}000", micros);
    let mut object = json!({
        "traceId": format!("{:032x}", span.context.trace_id),
        "spanId": format!("{:016x}", span.context.span_id),
        "name": span.name,
        "kind": KIND_CLIENT,
        "startTimeUnixNano": nanos(span.start_us),
        "endTimeUnixNano": nanos(span.start_us.saturating_add(span.duration_us)),
        "attributes": attributes,
    });
    if let Some(parent) = span.context.parent {
        object["parentSpanId"] = format!("{parent:016x}").into();
    }
    if span.is_error {
        object["status"] = json!({ "code": STATUS_ERROR });
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::spans::Context;
    use fairway_shared::snapshot::route::Share;

    fn span() -> Span {
        let pairs = [("b3", "463ac35c9f6413ad48485a3953bb6124-a2fb4a1d1a96d312-1")];
        let pairs = pairs.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        let headers = pairs.into_iter().collect();
        let family = crate::telemetry::spans::Family::B3;
        Span {
            context: Context::begin(&headers, false, family, Share(0)),
            name: "a:80/*".into(),
            start_us: 1_000,
            duration_us: 5,
            tags: vec![("error".into(), "true".into())],
            upstream: Some("10.0.0.1:80".parse().unwrap()),
            is_error: true,
        }
    }

    #[test]
    fn zipkin_reads_its_own_json() {
        let span = span();
        let found: Value =
            serde_json::from_slice(&zipkin(std::slice::from_ref(&span), "gw.ns")).unwrap();
        let expected = json!([{
            "traceId": "463ac35c9f6413ad48485a3953bb6124",
            "id": format!("{:016x}", span.context.span_id),
            "parentId": "a2fb4a1d1a96d312",
            "kind": "CLIENT",
            "name": "a:80/*",
            "timestamp": 1000,
            "duration": 5,
            "localEndpoint": { "serviceName": "gw.ns" },
            "remoteEndpoint": { "ipv4": "10.0.0.1", "port": 80 },
            "tags": { "error": "true" },
        }]);
        assert_eq!(found, expected);
    }

    #[test]
    fn open_telemetry_reads_its_own_json() {
        let found: Value = serde_json::from_slice(&otlp(&[span()], "gw.ns")).unwrap();
        let resource = &found["resourceSpans"][0];
        assert_eq!(resource["resource"]["attributes"][0]["value"]["stringValue"], "gw.ns");
        let span = &resource["scopeSpans"][0]["spans"][0];
        for (key, expected) in [
            ("parentSpanId", json!("a2fb4a1d1a96d312")),
            ("startTimeUnixNano", json!("1000000")),
            ("endTimeUnixNano", json!("1005000")),
            ("kind", json!(3)),
            ("status", json!({ "code": 2 })),
        ] {
            assert_eq!(span[key], expected, "{key}");
        }
    }
}
