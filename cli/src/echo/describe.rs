//! The answer of `fairway echo`: a request as JSON. Pure.

use std::collections::BTreeMap;

use http::Version;
use http::request::Parts;
use serde::Serialize;

/// Who answers.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub name: String,
    pub version: Option<String>,
}

/// A request that was read to its end.
#[derive(Debug)]
pub(crate) struct Received<'a> {
    pub head: &'a Parts,
    /// Bytes of its body.
    pub body_length: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    protocol: &'static str,
    method: &'a str,
    path: &'a str,
    host: Option<&'a str>,
    headers: BTreeMap<&'a str, Vec<String>>,
    body_length: u64,
}

/// One line of JSON with a line end. `path` has the query; `host` is HTTP/2's `:authority`, else
/// the `Host` header; header values that are not UTF-8 are shown as well as they can be.
pub(crate) fn describe(upstream: &Upstream, received: &Received<'_>) -> String {
    let head = received.head;
    let mut headers: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, value) in &head.headers {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        headers.entry(name.as_str()).or_default().push(value);
    }
    let host_header = || head.headers.get("host").and_then(|value| value.to_str().ok());
    let answer = Answer {
        name: &upstream.name,
        version: upstream.version.as_deref(),
        protocol: protocol(head.version),
        method: head.method.as_str(),
        path: head.uri.path_and_query().map_or("", |path| path.as_str()),
        host: head.uri.authority().map(|authority| authority.as_str()).or_else(host_header),
        headers,
        body_length: received.body_length,
    };
    let mut text = serde_json::to_string(&answer).expect("strings and numbers are always JSON");
    text.push('\n');
    text
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        _ => "HTTP/1.1",
    }
}

#[cfg(test)]
mod tests {
    use http::Request;
    use serde_json::{Value, json};

    use super::*;

    fn check(request: Request<()>, expected: &Value) {
        let upstream = Upstream { name: "user-v1".into(), version: Some("v1.0".into()) };
        let (head, ()) = request.into_parts();
        let text = describe(&upstream, &Received { head: &head, body_length: 7 });
        assert!(text.ends_with("}\n"));
        assert_eq!(&serde_json::from_str::<Value>(&text).unwrap(), expected);
    }

    #[test]
    fn an_answer_tells_what_was_received() {
        let request = Request::post("/a%2Fb?q=1")
            .header("host", "user.thanhoo.com")
            .header("x-a", "1")
            .header("x-a", "2")
            .body(())
            .unwrap();
        check(
            request,
            &json!({
                "name": "user-v1", "version": "v1.0", "protocol": "HTTP/1.1", "method": "POST",
                "path": "/a%2Fb?q=1", "host": "user.thanhoo.com", "bodyLength": 7,
                "headers": {"host": ["user.thanhoo.com"], "x-a": ["1", "2"]},
            }),
        );
        let request =
            Request::get("http://user.thanhoo.com/").version(Version::HTTP_2).body(()).unwrap();
        check(
            request,
            &json!({
                "name": "user-v1", "version": "v1.0", "protocol": "HTTP/2", "method": "GET",
                "path": "/", "host": "user.thanhoo.com", "bodyLength": 7, "headers": {},
            }),
        );
    }
}
