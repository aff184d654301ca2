//! Which request to show a person: one that some route takes, found in the snapshot that control
//! publishes. Only the printed line depends on it.

use std::time::Duration;

use http::Request;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::banner::Hint;

/// How long a person waits for a better line.
const PATIENCE: Duration = Duration::from_secs(1);
/// Largest snapshot looked at, in bytes; a larger one has its own way of being explored.
const DUMP_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Asks control's debug pages at `address:port`; `None` if there is no answer in a moment, or no
/// route that a plain GET can show.
pub(crate) async fn find(debug: &str) -> Option<Hint> {
    let dump = timeout(PATIENCE, config_dump(debug)).await.ok()??;
    hint(&dump)
}

async fn config_dump(debug: &str) -> Option<Value> {
    let stream = TcpStream::connect(debug).await.ok()?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
    tokio::spawn(connection);
    let request = Request::get("/debug/config_dump").header("host", debug);
    let reply = sender.send_request(request.body(Empty::<Bytes>::new()).ok()?).await.ok()?;
    let body = Limited::new(reply.into_body(), DUMP_BYTES_MAX).collect().await.ok()?;
    serde_json::from_slice(&body.to_bytes()).ok()
}

/// The best of all routes: an exact host before a wildcard before any host.
fn hint(dump: &Value) -> Option<Hint> {
    let candidates = list(dump, "listeners").iter().flat_map(|listener| {
        let table = listener["http"]["route_table"].as_str();
        let port = listener["port"].as_u64().and_then(|port| u16::try_from(port).ok());
        let tables = list(dump, "route_tables").iter().filter(move |t| t["id"].as_str() == table);
        tables
            .flat_map(|table| list(table, "virtual_hosts"))
            .filter_map(move |virtual_host| of_virtual_host(port?, virtual_host))
    });
    candidates.min_by_key(|(rank, _)| *rank).map(|(_, hint)| hint)
}

/// The first route that asks for nothing but a path, and how good its host is to show.
fn of_virtual_host(port: u16, virtual_host: &Value) -> Option<(u8, Hint)> {
    let path = list(virtual_host, "routes").iter().find_map(plain_path)?;
    let (rank, host) = match virtual_host["domain"].as_str()? {
        "*" => (2, None),
        domain => match domain.strip_prefix('*') {
            Some(suffix) => (1, Some(format!("www{suffix}"))),
            None => (0, Some(domain.to_owned())),
        },
    };
    Some((rank, Hint { port, host, path }))
}

fn plain_path(route: &Value) -> Option<String> {
    let matches = &route["match"];
    let is_plain = list(matches, "headers").is_empty() && list(matches, "query").is_empty();
    let is_any = matches["path"].is_null();
    let path = &matches["path"];
    let fixed = path["exact"].as_str().or_else(|| path["prefix"].as_str());
    match (is_plain, is_any, fixed) {
        (true, true, _) => Some("/".to_owned()),
        (true, false, Some(path)) if path.starts_with('/') => Some(path.to_owned()),
        _ => None,
    }
}

fn list<'a>(of: &'a Value, name: &str) -> &'a [Value] {
    of[name].as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A snapshot with one listener and these virtual hosts.
    fn check(virtual_hosts: &Value, expected: Option<(Option<&str>, &str)>) {
        let dump = json!({
            "listeners": [{"port": 80, "http": {"route_table": "http.80"}}],
            "route_tables": [
                {"id": "http.81", "virtual_hosts": [{"domain": "other", "routes": [{}]}]},
                {"id": "http.80", "virtual_hosts": virtual_hosts},
            ],
        });
        let expected = expected.map(|(host, path)| Hint {
            port: 80,
            host: host.map(str::to_owned),
            path: path.to_owned(),
        });
        assert_eq!(hint(&dump), expected, "{virtual_hosts}");
    }

    fn on(domain: &str, path: &Value) -> Value {
        json!({"domain": domain, "routes": [{"match": {"path": path, "headers": []}}]})
    }

    #[test]
    fn an_exact_host_is_shown_before_a_wildcard_before_any() {
        let (any, wild, exact) =
            (on("*", &json!(null)), on("*.a.b", &json!(null)), on("a.b", &json!(null)));
        check(&json!([any, wild, exact]), Some((Some("a.b"), "/")));
        check(&json!([any, wild]), Some((Some("www.a.b"), "/")));
        check(&json!([any]), Some((None, "/")));
        check(&json!([]), None);
    }

    #[test]
    fn a_route_that_a_plain_get_cannot_reach_is_passed_over() {
        check(&json!([on("a.b", &json!({"prefix": "/api/"}))]), Some((Some("a.b"), "/api/")));
        check(&json!([on("a.b", &json!({"exact": "/x"}))]), Some((Some("a.b"), "/x")));
        check(&json!([on("a.b", &json!({"regex": "/x+"}))]), None);
        let by_header = json!({"match": {"path": null, "headers": [{"name": "x"}]}});
        let by_path = json!({"match": {"path": {"exact": "/y"}}});
        let virtual_host = json!({"domain": "a.b", "routes": [by_header, by_path]});
        check(&json!([virtual_host]), Some((Some("a.b"), "/y")));
        assert_eq!(hint(&Value::Null), None);
    }
}
