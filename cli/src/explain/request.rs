//! From the words of the command line to the description of a request.

use std::collections::BTreeMap;

use fairway_proto::wire::ExplainRequest;
use http::Uri;

use super::ExplainArgs;

/// What is wrong with the request as typed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum RequestError {
    #[error("`{0}` is no URL: write http://host/path")]
    Url(String),
    #[error("-H names {0} twice: join its values with a comma")]
    Twice(String),
}

/// Describes the request.
pub(super) fn read(args: &ExplainArgs) -> Result<ExplainRequest, RequestError> {
    let (method, url) = match args.url.trim().split_once(' ') {
        Some((method, url)) => (method, url.trim()),
        None => ("", args.url.trim()),
    };
    let bad = || RequestError::Url(args.url.clone());
    let whole = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    // A fragment never leaves the client.
    let sent = whole.split('#').next().unwrap_or_default();
    let uri: Uri = sent.parse().map_err(|_| bad())?;
    let authority = uri.authority().ok_or_else(bad)?.as_str();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let mut headers = BTreeMap::new();
    for (name, value) in &args.headers {
        if headers.insert(name.to_ascii_lowercase(), value.clone()).is_some() {
            return Err(RequestError::Twice(name.clone()));
        }
    }
    // The URL says where to connect, a Host header only what to ask for there.
    let written = uri.port_u16().unwrap_or(0);
    let port = match (args.port, written, uri.scheme_str()) {
        (Some(port), _, _) => port,
        (None, 0, Some("https")) => 443,
        (None, 0, _) => 80,
        (None, port, _) => port,
    };
    Ok(ExplainRequest {
        method: args.method.clone().unwrap_or_else(|| method.to_owned()),
        scheme: uri.scheme_str().unwrap_or_default().to_owned(),
        host: host.to_owned(),
        port: port.into(),
        path: uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
        headers,
        sni: args.sni.clone().unwrap_or_default(),
    })
}

/// `Name: value`
pub(super) fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("wanted: `Name: value`")?;
    if name.trim().is_empty() {
        return Err("wanted: `Name: value`".to_owned());
    }
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Command, Fairway};

    fn request(words: &[&str]) -> Result<ExplainRequest, RequestError> {
        let words = ["fairway", "explain"].iter().chain(words);
        let Command::Explain(args) = Fairway::try_parse_from(words).unwrap().command else {
            panic!("another command");
        };
        super::read(&args)
    }

    #[test]
    fn a_url_is_a_request() {
        let plain = |host: &str, port, path: &str| ExplainRequest {
            scheme: "http".into(),
            host: host.into(),
            port,
            path: path.into(),
            ..Default::default()
        };
        for (words, expected) in [
            (&["http://a.b/c?d=e#f"][..], plain("a.b", 80, "/c?d=e")),
            (&["a.b:81"], plain("a.b:81", 81, "/")),
            (&["--port", "8080", "http://a.b/"], plain("a.b", 8080, "/")),
            (
                &["PUT https://u@a.b/", "--sni", "c"],
                ExplainRequest {
                    method: "PUT".into(),
                    scheme: "https".into(),
                    sni: "c".into(),
                    ..plain("a.b", 443, "/")
                },
            ),
            (
                &["-X", "POST", "-H", "X-A: b: c", "a.b"],
                ExplainRequest {
                    method: "POST".into(),
                    headers: [("x-a".into(), "b: c".into())].into(),
                    ..plain("a.b", 80, "/")
                },
            ),
        ] {
            assert_eq!(request(words), Ok(expected), "{words:?}");
        }
        assert!(request(&["http:///x"]).is_err());
        assert_eq!(request(&["a.b", "-Hx:1", "-H", "X: 2"]), Err(RequestError::Twice("X".into())));
    }
}
