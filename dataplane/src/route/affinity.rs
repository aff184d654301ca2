//! What of a request decides its endpoint where the cluster hashes (Istio contract 3.3), compiled.
//! Pure; a cookie that is to be issued is returned, not set.

use std::fmt::Write;
use std::net::IpAddr;

use fairway_shared::snapshot::route::{HashCookie, HashKey};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Uri};

use super::table::RouteError;
use crate::subset::hash;

/// Where the key is read from.
#[derive(Debug)]
pub enum Affinity {
    /// Value of a header.
    Header(HeaderName),
    /// Value of a pseudo header.
    Pseudo(Pseudo),
    /// Value of a cookie.
    Cookie(Box<Cookie>),
    /// The immediate peer's address.
    SourceIp,
    /// First value of a query parameter.
    Query(Box<str>),
}

/// What HTTP/2 has as pseudo headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pseudo {
    /// Host.
    Authority,
    /// Path with query.
    Path,
    /// Method.
    Method,
}

/// A cookie, and what an issued one looks like.
#[derive(Debug)]
pub struct Cookie {
    name: Box<str>,
    /// What follows the value; `None` = never issued.
    suffix: Option<Box<str>>,
}

/// A request as it goes upstream, and who sent it.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Method.
    pub method: &'a Method,
    /// Path and query.
    pub uri: &'a Uri,
    /// All fields.
    pub headers: &'a HeaderMap,
    /// The immediate peer.
    pub peer: IpAddr,
}

/// A request's key.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// `None` = any endpoint will do.
    pub key: Option<u64>,
    /// `set-cookie` for the response.
    pub issued: Option<HeaderValue>,
}

impl Affinity {
    /// # Errors
    /// A header name, or a cookie's name or attribute, that HTTP does not allow.
    pub fn new(source: &HashKey) -> Result<Self, RouteError> {
        Ok(match source {
            HashKey::SourceIp => Self::SourceIp,
            HashKey::QueryParameter(name) => Self::Query(name.as_str().into()),
            HashKey::Cookie(cookie) => Self::Cookie(Box::new(Cookie::new(cookie)?)),
            HashKey::Header(name) => match name.as_str() {
                ":authority" | "host" => Self::Pseudo(Pseudo::Authority),
                ":path" => Self::Pseudo(Pseudo::Path),
                ":method" => Self::Pseudo(Pseudo::Method),
                name => Self::Header(HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
                    RouteError::Header { name: name.to_owned(), value: String::new() }
                })?),
            },
        })
    }

    /// The request's key. `chance` makes the value of a new cookie.
    pub fn find(&self, asked: Asked<'_>, chance: impl FnOnce() -> u64) -> Found {
        let key = match self {
            Self::SourceIp => Some(hash::of_ip(asked.peer)),
            Self::Query(name) => parameter(asked.uri.query(), name).map(of_text),
            Self::Header(name) => asked.headers.get(name).map(|v| hash::of_bytes(v.as_bytes())),
            Self::Pseudo(Pseudo::Method) => Some(of_text(asked.method.as_str())),
            Self::Pseudo(Pseudo::Path) => asked.uri.path_and_query().map(|p| of_text(p.as_str())),
            Self::Pseudo(Pseudo::Authority) => {
                asked.headers.get(header::HOST).map(|value| hash::of_bytes(value.as_bytes()))
            }
            Self::Cookie(cookie) => match cookie.value(asked.headers) {
                Some(value) => Some(hash::of_bytes(value)),
                None => return cookie.issue(chance),
            },
        };
        Found { key, issued: None }
    }
}

impl Cookie {
    fn new(source: &HashCookie) -> Result<Self, RouteError> {
        let suffix = source.ttl_ms.map(|ttl_ms| suffix(source, ttl_ms));
        let refused = |text: &str| RouteError::Value { value: text.to_owned(), place: "cookie" };
        let is_token = HeaderName::from_bytes(source.name.as_bytes()).is_ok();
        if !is_token {
            return Err(refused(&source.name));
        }
        if let Some(suffix) = &suffix
            && HeaderValue::from_str(suffix).is_err()
        {
            return Err(refused(suffix));
        }
        Ok(Self { name: source.name.as_str().into(), suffix: suffix.map(String::into) })
    }

    /// Its first value in the request, without quotes.
    fn value<'a>(&self, headers: &'a HeaderMap) -> Option<&'a [u8]> {
        let lines = headers.get_all(header::COOKIE).iter();
        let mut pairs = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
        pairs.find_map(|pair| {
            let rest = pair.trim_ascii().strip_prefix(self.name.as_bytes())?;
            let value = rest.strip_prefix(b"=")?;
            let inner = value.strip_prefix(b"\"").and_then(|inner| inner.strip_suffix(b"\""));
            Some(inner.unwrap_or(value)).filter(|value| !value.is_empty())
        })
    }

    /// A value of the gateway's own, and its hash as the key, so that the first request goes
    /// where the next ones will.
    fn issue(&self, chance: impl FnOnce() -> u64) -> Found {
        let Some(suffix) = &self.suffix else { return Found::default() };
        let value = format!("{:016x}", chance());
        let text = format!("{}=\"{value}\"{suffix}", self.name);
        Found { key: Some(of_text(&value)), issued: HeaderValue::from_str(&text).ok() }
    }
}

/// What follows the value of an issued cookie.
fn suffix(source: &HashCookie, ttl_ms: u64) -> String {
    let mut text = String::new();
    let mut attribute = |name: &str, value: &str| {
        let equals = if value.is_empty() { "" } else { "=" };
        // Writing to a string cannot fail.
        let _ = write!(text, "; {name}{equals}{value}");
    };
    if ttl_ms > 0 {
        attribute("Max-Age", &ttl_ms.div_ceil(1000).to_string());
    }
    if !source.path.is_empty() {
        attribute("Path", &source.path);
    }
    source.attributes.iter().for_each(|(name, value)| attribute(name, value));
    let is_said = |(name, _): &(String, String)| name.eq_ignore_ascii_case("HttpOnly");
    if !source.attributes.iter().any(is_said) {
        attribute("HttpOnly", "");
    }
    text
}

fn of_text(text: &str) -> u64 {
    hash::of_bytes(text.as_bytes())
}

/// First raw value of a query parameter.
fn parameter<'a>(query: Option<&'a str>, name: &str) -> Option<&'a str> {
    query?.split('&').find_map(|pair| match pair.split_once('=') {
        Some((key, value)) => (key == name).then_some(value),
        None => (pair == name && !pair.is_empty()).then_some(""),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(source: &HashKey, uri: &str, fields: &[(&'static str, &str)]) -> Found {
        let pair =
            |(name, value): &(&'static str, &str)| (name.parse().unwrap(), value.parse().unwrap());
        let headers: HeaderMap = fields.iter().map(pair).collect();
        let asked = Asked {
            method: &Method::GET,
            uri: &uri.parse().unwrap(),
            headers: &headers,
            peer: [10, 0, 0, 7].into(),
        };
        Affinity::new(source).unwrap().find(asked, || 0xABC)
    }

    fn cookie(ttl_ms: Option<u64>) -> HashKey {
        HashKey::Cookie(HashCookie {
            name: "sid".into(),
            path: "/shop".into(),
            ttl_ms,
            attributes: vec![("SameSite".into(), "Lax".into()), ("Secure".into(), "".into())],
        })
    }

    #[test]
    fn each_source_gives_the_hash_of_its_value_or_none() {
        let header = |name: &str| HashKey::Header(name.into());
        let query = |name: &str| HashKey::QueryParameter(name.into());
        for (source, uri, fields, expected) in [
            (header("x-user"), "/", &[("x-user", "ada")][..], Some("ada")),
            (header("x-user"), "/", &[], None),
            (header(":path"), "/a?b", &[], Some("/a?b")),
            (header(":method"), "/", &[], Some("GET")),
            (header(":authority"), "/", &[("host", "shop")], Some("shop")),
            (query("user"), "/?a=1&user=ada&user=bob", &[], Some("ada")),
            (query("user"), "/?user", &[], Some("")),
            (query("user"), "/?xuser=1", &[], None),
            (cookie(None), "/", &[("cookie", "a=1; sid=ada; b=2")], Some("ada")),
            (cookie(None), "/", &[("cookie", "a=1"), ("cookie", "sid=\"ada\"")], Some("ada")),
            (cookie(None), "/", &[("cookie", "xsid=ada; sid=")], None),
        ] {
            let found = find(&source, uri, fields);
            let expected = Found { key: expected.map(of_text), issued: None };
            assert_eq!(found, expected, "{source:?} {uri} {fields:?}");
        }
        let found = find(&HashKey::SourceIp, "/", &[]);
        assert_eq!(found.key, Some(hash::of_ip([10, 0, 0, 7].into())));
    }

    #[test]
    fn a_missing_cookie_is_issued_if_it_has_a_life() {
        let tail = "Path=/shop; SameSite=Lax; Secure; HttpOnly";
        for (ttl_ms, expected) in [
            (None, None),
            (Some(0), Some(format!("sid=\"0000000000000abc\"; {tail}"))),
            (Some(1500), Some(format!("sid=\"0000000000000abc\"; Max-Age=2; {tail}"))),
        ] {
            let found = find(&cookie(ttl_ms), "/", &[("cookie", "other=1")]);
            assert_eq!(found.issued.map(|v| v.to_str().unwrap().to_owned()), expected);
            assert_eq!(found.key, ttl_ms.map(|_| of_text("0000000000000abc")));
        }
        let again = find(&cookie(Some(0)), "/", &[("cookie", "sid=\"0000000000000abc\"")]);
        assert_eq!(again, Found { key: Some(of_text("0000000000000abc")), issued: None });
    }

    #[test]
    fn what_http_does_not_allow_is_refused() {
        assert!(Affinity::new(&HashKey::Header("x y".into())).is_err());
        let HashKey::Cookie(good) = cookie(Some(0)) else { unreachable!() };
        let refused = |bad| Affinity::new(&HashKey::Cookie(bad)).is_err();
        assert!(refused(HashCookie { name: "a b".into(), ..good.clone() }));
        assert!(refused(HashCookie { path: "/\n".into(), ..good }));
    }
}
