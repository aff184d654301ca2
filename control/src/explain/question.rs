//! The request as described by whoever asks, checked and in the form that rules look at.

use fairway_proto::wire;
use fairway_shared::matching::{canonical_host, strip_port};
use fairway_shared::path::{PathError, canonical_path};
use fairway_shared::snapshot::settings::PathNormalization;
use fairway_shared::trial::Request;

/// A description of no request. Names the field of `ExplainRequest`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadQuestion {
    /// No host.
    #[error("field host is missing: write the Host header, such as user.thanhoo.com")]
    NoHost,
    /// A scheme that no gateway speaks.
    #[error("field scheme is `{0}`: write http or https")]
    Scheme(String),
    /// Not 0 to 65535.
    #[error("field port is {0}: write 1 to 65535, or 0 for the scheme's own")]
    Port(u32),
    /// A path that no client sends.
    #[error("field path is `{0}`: write a path that starts with `/` and has no spaces")]
    Path(String),
    /// A name or value that HTTP does not allow.
    #[error("field headers holds `{0}`, which no HTTP header can be")]
    Header(String),
    /// No method.
    #[error("field method is `{0}`: write letters, such as GET")]
    Method(String),
}

/// A request, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// `http` or `https`.
    pub scheme: &'static str,
    /// Port the client connects to.
    pub port: u16,
    /// Server name of the TLS handshake, lower case.
    pub sni: String,
    method: String,
    authority: String,
    host: String,
    path: String,
    query: Option<String>,
    headers: Vec<(String, String)>,
}

impl Question {
    /// Checks a description.
    ///
    /// # Errors
    /// [`BadQuestion`].
    pub fn new(from: wire::ExplainRequest) -> Result<Self, BadQuestion> {
        let scheme = scheme(&from)?;
        let mut headers = Vec::with_capacity(from.headers.len());
        let mut authority = from.host;
        for (name, value) in from.headers {
            let lower = name.to_ascii_lowercase();
            if !is_token(&lower) || value.bytes().any(|byte| byte < b' ' && byte != b'\t') {
                return Err(BadQuestion::Header(name));
            }
            match lower.as_str() {
                "host" => authority = value,
                _ => headers.push((lower, value)),
            }
        }
        if authority.is_empty() {
            return Err(BadQuestion::NoHost);
        }
        let method = if from.method.is_empty() { "GET".to_owned() } else { from.method };
        if !is_token(&method) {
            return Err(BadQuestion::Method(method));
        }
        let port = port(from.port, &authority, scheme)?;
        let host = canonical_host(&authority).into_owned();
        let (path, query) = path_and_query(&from.path)?;
        let sni = if from.sni.is_empty() { host.clone() } else { from.sni.to_ascii_lowercase() };
        Ok(Self { scheme, port, sni, method, authority, host, path, query, headers })
    }

    /// The same with the path as a gateway with that mode sees it.
    ///
    /// # Errors
    /// [`PathError`]: the gateway refuses it with 400.
    pub fn normalised(&self, mode: PathNormalization) -> Result<Self, PathError> {
        let path = canonical_path(&self.path, mode)?.into_owned();
        Ok(Self { path, ..self.clone() })
    }

    /// Canonical host.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// What predicates look at.
    pub fn request(&self) -> Request<'_> {
        Request {
            host: &self.host,
            authority: &self.authority,
            path: &self.path,
            query: self.query.as_deref(),
            method: &self.method,
            scheme: self.scheme,
            headers: &self.headers,
        }
    }
}

fn scheme(from: &wire::ExplainRequest) -> Result<&'static str, BadQuestion> {
    match from.scheme.to_ascii_lowercase().as_str() {
        "http" => Ok("http"),
        "https" => Ok("https"),
        "" if from.sni.is_empty() => Ok("http"),
        "" => Ok("https"),
        _ => Err(BadQuestion::Scheme(from.scheme.clone())),
    }
}

fn port(given: u32, authority: &str, scheme: &str) -> Result<u16, BadQuestion> {
    let given = u16::try_from(given).map_err(|_| BadQuestion::Port(given))?;
    if given != 0 {
        return Ok(given);
    }
    let behind_host = authority.get(strip_port(authority).len()..).unwrap_or_default();
    let written = behind_host.trim_start_matches(':');
    Ok(written.parse().unwrap_or(if scheme == "https" { 443 } else { 80 }))
}

fn path_and_query(written: &str) -> Result<(String, Option<String>), BadQuestion> {
    let (path, query) = match written.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (written, None),
    };
    let path = if path.is_empty() { "/" } else { path };
    if !path.starts_with('/') || path.bytes().any(|byte| byte <= b' ') {
        return Err(BadQuestion::Path(written.to_owned()));
    }
    Ok((path.to_owned(), query))
}

/// RFC 9110 5.6.2.
fn is_token(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(host: &str, path: &str) -> wire::ExplainRequest {
        wire::ExplainRequest { host: host.into(), path: path.into(), ..Default::default() }
    }

    #[test]
    fn what_is_left_out_is_as_a_client_would_have_it() {
        let question = Question::new(ask("Shop.Example:8080", "/a/../b?c=d")).unwrap();
        let request = question.request();
        assert_eq!((question.scheme, question.port, request.method), ("http", 8080, "GET"));
        assert_eq!((request.host, request.authority), ("shop.example", "Shop.Example:8080"));
        assert_eq!((request.path, request.query), ("/a/../b", Some("c=d")));
        assert_eq!(Question::new(ask("a.b", "")).unwrap().port, 80);
        let secure = wire::ExplainRequest { sni: "A.b".into(), ..ask("a.b", "") };
        let question = Question::new(secure).unwrap();
        assert_eq!((question.scheme, question.port, question.sni.as_str()), ("https", 443, "a.b"));
        let mut named = ask("127.0.0.1:8080", "/");
        named.headers.insert("Host".into(), "user.example".into());
        let question = Question::new(named).unwrap();
        assert_eq!((question.host(), question.port), ("user.example", 80));
    }

    #[test]
    fn the_path_is_seen_as_the_mesh_wants_it_normalised() {
        use PathNormalization::{Base, DecodeAndMergeSlashes, MergeSlashes, None};
        let question = Question::new(ask("a.b", "/x/..//y%2Fz?q=//")).unwrap();
        for (mode, path) in [
            (None, "/x/..//y%2Fz"),
            (Base, "//y%2Fz"),
            (MergeSlashes, "/y%2Fz"),
            (DecodeAndMergeSlashes, "/y/z"),
        ] {
            let seen = question.normalised(mode).unwrap();
            assert_eq!((seen.request().path, seen.request().query), (path, Some("q=//")));
        }
        let with_nul = Question::new(ask("a.b", "/%00")).unwrap();
        assert_eq!(with_nul.normalised(Base), Err(PathError));
        assert!(with_nul.normalised(None).is_ok());
    }

    #[test]
    fn a_bad_description_names_its_field() {
        let with = |change: fn(&mut wire::ExplainRequest)| {
            let mut request = ask("a.b", "/");
            change(&mut request);
            Question::new(request).unwrap_err().to_string()
        };
        for (line, field) in [
            (with(|request| request.host.clear()), "field host"),
            (with(|request| request.scheme = "ftp".into()), "field scheme is `ftp`"),
            (with(|request| request.port = 70_000), "field port is 70000"),
            (with(|request| request.path = "a".into()), "field path is `a`"),
            (with(|request| request.path = "/a b".into()), "field path is `/a b`"),
            (with(|request| request.method = "G T".into()), "field method is `G T`"),
            (
                with(|request| drop(request.headers.insert("a b".into(), String::new()))),
                "field headers holds `a b`",
            ),
        ] {
            assert!(line.starts_with(field), "{line}");
        }
    }
}
