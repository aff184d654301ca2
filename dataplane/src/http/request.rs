//! A request as the gateway understands it: host and path canonical, hop-by-hop fields gone, the
//! gateway's own fields added (Istio contract 6.5 to 6.7, RFC 9110 7.6.1).

use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::Duration;

use fairway_shared::ipc::edge::EdgeLimits;
use fairway_shared::matching::canonical_host;
use fairway_shared::path::canonical_path;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Uri};
use http::{Method, Version};

use super::connection::{Downstream, Peer};
use super::reply::ProxyError;
use super::secure::Secure;
use super::trust::HeadRules;
use crate::route::predicate::RequestView;

/// `x-request-id`.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// `x-forwarded-for`.
pub const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// `x-forwarded-proto`.
pub const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const EXTERNAL_ADDRESS: HeaderName = HeaderName::from_static("x-envoy-external-address");
const ATTEMPT_COUNT: HeaderName = HeaderName::from_static("x-envoy-attempt-count");
const ORIGINAL_PATH: HeaderName = HeaderName::from_static("x-envoy-original-path");
const EXPECTED_TIMEOUT: HeaderName = HeaderName::from_static("x-envoy-expected-rq-timeout-ms");
const UPSTREAM_TIME: HeaderName = HeaderName::from_static("x-envoy-upstream-service-time");
/// `x-forwarded-client-cert`.
pub const CLIENT_CERT: HeaderName = HeaderName::from_static("x-forwarded-client-cert");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// The largest number that [`GRPC_TIMEOUT`] can hold.
const GRPC_TIMEOUT_MAX: u64 = 99_999_999;
/// How many fields [`prepare`] may add.
const ADDED_FIELDS: usize = 8;
/// Bytes of a field beside its name and value: `: ` and the line's end.
const FIELD_OVERHEAD: usize = 4;
/// Fields that only the gateway may set.
const RESERVED_PREFIX: &str = "x-envoy-";

/// What a client asks to turn its connection into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upgrade {
    /// Nothing.
    None,
    /// A WebSocket.
    WebSocket,
}

/// What a request's head says, once its form is found to be good.
#[derive(Debug)]
pub struct Head {
    /// Host or `:authority` as received.
    pub authority: HeaderValue,
    /// Asked for.
    pub upgrade: Upgrade,
    /// The client that trusted proxies tell of; `None` = the peer.
    pub forwarded_client: Option<SocketAddr>,
    /// `http` or `https`: the connection's, or what a trusted proxy tells.
    pub scheme: &'static str,
}

impl Head {
    /// Checks the form of a request and makes its path canonical, in place.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(
        parts: &mut Parts,
        rules: HeadRules,
        own_scheme: &'static str,
    ) -> Result<Self, ProxyError> {
        if parts.version < Version::HTTP_11 {
            return Err(ProxyError::LowVersion);
        }
        if parts.method == Method::CONNECT {
            return Err(ProxyError::UpgradeRefused);
        }
        check_target(parts)?;
        check_coding(&parts.headers)?;
        let authority = authority(parts)?;
        let upgrade = upgrade(&parts.headers)?;
        let path = parts.uri.path();
        if let Cow::Owned(canonical) =
            canonical_path(path, rules.path).map_err(|_| ProxyError::BadPath)?
        {
            set_path(&mut parts.uri, &canonical).ok_or(ProxyError::BadPath)?;
        }
        let forwarded_client = rules.client(&parts.headers);
        let scheme = rules.scheme(&parts.headers, own_scheme);
        Ok(Self { authority, upgrade, forwarded_client, scheme })
    }

    /// What routes look at. `host` is [`Self::host`] of this head.
    pub fn view<'a>(&'a self, parts: &'a Parts, host: &'a str) -> RequestView<'a> {
        RequestView {
            host,
            authority: self.authority_text(),
            path: parts.uri.path(),
            query: parts.uri.query(),
            method: parts.method.as_str(),
            scheme: self.scheme,
            headers: &parts.headers,
        }
    }

    /// Canonical host.
    pub fn host(&self) -> Cow<'_, str> {
        canonical_host(self.authority_text())
    }

    fn authority_text(&self) -> &str {
        // `check` lets only valid authorities pass, and they are ASCII.
        self.authority.to_str().unwrap_or_default()
    }
}

/// Checks a head against the limits. `heard` is at least its size for HTTP/1.1, where the library
/// leaves the exact limit to us.
///
/// # Errors
/// What is too large.
pub fn check_size(parts: &Parts, limits: &EdgeLimits, heard: u32) -> Result<(), ProxyError> {
    let target = parts.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if target > limits.target_bytes_max as usize {
        return Err(ProxyError::TargetTooLong);
    }
    let is_large = || {
        let field = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len();
        let fields: usize = parts.headers.iter().map(|pair| field(pair) + FIELD_OVERHEAD).sum();
        target + fields > limits.head_bytes_max as usize
    };
    // Counted after decoding: with HTTP/2 each crumb of a cookie is a field (RFC 9113 8.2.3).
    if parts.headers.len() > limits.fields_max as usize
        || (heard > limits.head_bytes_max && parts.version < Version::HTTP_2 && is_large())
    {
        return Err(ProxyError::HeadTooLarge);
    }
    Ok(())
}

/// Does the request want its failures as gRPC statuses?
pub fn is_grpc(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE);
    content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

/// The deadline that a gRPC client names: at most eight digits and a unit (gRPC over HTTP/2,
/// `grpc-timeout`). `None` if there is none, or none that makes sense.
pub fn grpc_timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(GRPC_TIMEOUT)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let amount: u64 = digits.parse().ok().filter(|_| digits.len() <= 8)?;
    Some(match unit {
        "H" => Duration::from_secs(amount * 3600),
        "M" => Duration::from_secs(amount * 60),
        "S" => Duration::from_secs(amount),
        "m" => Duration::from_millis(amount),
        "u" => Duration::from_micros(amount),
        "n" => Duration::from_nanos(amount),
        _ => return None,
    })
}

/// A path, an absolute URI of HTTP, or `*` of OPTIONS (RFC 9112 3.2): nothing that the library reads
/// as a host without saying so.
fn check_target(parts: &Parts) -> Result<(), ProxyError> {
    let is_bare_host = parts.uri.authority().is_some() && parts.uri.scheme().is_none();
    let is_foreign = parts.uri.scheme_str().is_some_and(|it| it != "http" && it != "https");
    let is_asterisk = parts.uri.path() == "*" && parts.method != Method::OPTIONS;
    match (is_bare_host && parts.version < Version::HTTP_2) || is_foreign || is_asterisk {
        true => Err(ProxyError::BadPath),
        false => Ok(()),
    }
}

/// Only `chunked`, once (RFC 9112 6.1): a coding that is not understood cannot be forwarded as if
/// it were, and one that is hidden from later hops is how bodies are split.
fn check_coding(headers: &HeaderMap) -> Result<(), ProxyError> {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else { return Ok(()) };
    match coding.as_bytes().eq_ignore_ascii_case(b"chunked") && codings.next().is_none() {
        true => Ok(()),
        false => Err(ProxyError::BadCoding),
    }
}

/// No port, or digits behind the one colon outside of an address in brackets.
fn has_good_port(authority: &[u8]) -> bool {
    let behind = authority.iter().position(|byte| *byte == b']').map_or(0, |at| at + 1);
    let mut parts = authority[behind..].splitn(2, |byte| *byte == b':').skip(1);
    parts.next().is_none_or(|port| port.iter().all(u8::is_ascii_digit))
}

/// `:authority`, the authority of an absolute URI (RFC 9112 3.2.2), or the one Host field.
fn authority(parts: &Parts) -> Result<HeaderValue, ProxyError> {
    if let Some(authority) = parts.uri.authority() {
        if authority.as_str().contains('@') || !has_good_port(authority.as_str().as_bytes()) {
            return Err(ProxyError::BadHost);
        }
        return HeaderValue::from_str(authority.as_str()).map_err(|_| ProxyError::BadHost);
    }
    let mut values = parts.headers.get_all(header::HOST).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(ProxyError::BadHost);
    };
    let is_good = |byte: &u8| byte.is_ascii_alphanumeric() || b".-_:[]~!$&'()*+,;=%".contains(byte);
    match value.as_bytes() {
        [] => Err(ProxyError::BadHost),
        bytes if bytes.iter().all(is_good) && has_good_port(bytes) => Ok(value.clone()),
        _ => Err(ProxyError::BadHost),
    }
}

/// `Upgrade: h2c` is not taken up (RFC 9110 7.8 lets a server ignore it); other protocols than
/// WebSocket are refused rather than ignored (Istio contract 2.12).
fn upgrade(headers: &HeaderMap) -> Result<Upgrade, ProxyError> {
    let Some(wanted) = headers.get(header::UPGRADE) else { return Ok(Upgrade::None) };
    let is_asked = headers
        .get_all(header::CONNECTION)
        .iter()
        .any(|value| tokens(value).any(|token| token.eq_ignore_ascii_case(b"upgrade")));
    let is = |name: &[u8]| wanted.as_bytes().eq_ignore_ascii_case(name);
    match is_asked {
        true if is(b"websocket") => Ok(Upgrade::WebSocket),
        true if !is(b"h2c") => Err(ProxyError::UpgradeRefused),
        _ => Ok(Upgrade::None),
    }
}

fn tokens(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

/// Replaces the path of a URI and keeps its query; `None` if that makes no valid URI.
pub fn set_path(uri: &mut Uri, path: &str) -> Option<()> {
    let text = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let mut parts = std::mem::take(uri).into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(text).ok()?);
    *uri = Uri::from_parts(parts).ok()?;
    Some(())
}

/// Does a message say in two ways where it ends (RFC 9112 6.1)? The library believes one of them.
pub fn has_two_lengths(headers: &HeaderMap) -> bool {
    headers.contains_key(header::TRANSFER_ENCODING) && headers.contains_key(header::CONTENT_LENGTH)
}

/// Takes away what concerns one hop only, in requests and responses alike.
pub fn remove_hop_by_hop(headers: &mut HeaderMap) {
    // One look at the names instead of a look-up for each.
    if !headers.keys().any(is_hop_by_hop) {
        return;
    }
    if headers.contains_key(header::CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(header::CONNECTION)
            .iter()
            .flat_map(tokens)
            .filter_map(|token| HeaderName::from_bytes(token).ok())
            .filter(|name| !is_ours_to_keep(name))
            .collect();
        headers.remove(header::CONNECTION);
        named.iter().for_each(|name| drop(headers.remove(name)));
    }
    for name in [KEEP_ALIVE, PROXY_CONNECTION, header::UPGRADE, header::TRANSFER_ENCODING] {
        headers.remove(name);
    }
    if headers.get(header::TE).is_some_and(|value| value != "trailers") {
        headers.remove(header::TE);
    }
}

fn is_hop_by_hop(name: &HeaderName) -> bool {
    [header::CONNECTION, header::TE, header::UPGRADE, header::TRANSFER_ENCODING].contains(name)
        || [KEEP_ALIVE, PROXY_CONNECTION].contains(name)
}

/// A client must not take away by `Connection` what later hops rely on.
fn is_ours_to_keep(name: &HeaderName) -> bool {
    *name == header::HOST
        || *name == header::CONTENT_LENGTH
        || *name == header::TE
        || name.as_str().starts_with("x-forwarded-")
}

/// Makes the head that goes upstream, apart from route-specific changes.
pub fn prepare(parts: &mut Parts, head: &Head, downstream: &Downstream) {
    let peer = downstream.peer();
    let headers = &mut parts.headers;
    headers.reserve(ADDED_FIELDS);
    remove_hop_by_hop(headers);
    remove_reserved(headers);
    let own = downstream.secure().and_then(Secure::client_certificate);
    downstream.rules().settle_client_cert(headers, own);
    headers.remove(header::EXPECT); // answered by the gateway
    headers.remove(HTTP2_SETTINGS);
    if head.upgrade == Upgrade::WebSocket {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    }
    headers.insert(FORWARDED_FOR, forwarded_for(headers, peer));
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static(head.scheme));
    let client = head.forwarded_client.map(|client| client.ip().to_string());
    let client = client.and_then(|text| HeaderValue::from_str(&text).ok());
    headers.insert(EXTERNAL_ADDRESS, client.unwrap_or_else(|| peer.address_text.clone()));
    headers.insert(REQUEST_ID, request_id());
    headers.insert(ATTEMPT_COUNT, HeaderValue::from_static("1"));
    headers.insert(header::HOST, head.authority.clone());
}

/// `x-forwarded-for` with the immediate peer at its end.
pub fn forwarded_for(headers: &HeaderMap, peer: &Peer) -> HeaderValue {
    match headers.contains_key(FORWARDED_FOR) {
        false => peer.address_text.clone(),
        true => appended(headers.get_all(FORWARDED_FOR).iter(), &peer.address_text),
    }
}

/// Says which try this is.
pub fn set_attempt(headers: &mut HeaderMap, attempt: u32) {
    headers.insert(ATTEMPT_COUNT, HeaderValue::from(attempt));
}

/// Tells the upstream how long the gateway will wait: in `grpc-timeout` too, where the client may
/// have asked for longer (Envoy 1.40 writes it in milliseconds whatever the client's unit is).
pub fn set_expected_timeout(headers: &mut HeaderMap, expected: Duration, is_grpc: bool) {
    let millis = u64::try_from(expected.as_millis()).unwrap_or(u64::MAX);
    headers.insert(EXPECTED_TIMEOUT, HeaderValue::from(millis));
    let text = format!("{}m", millis.min(GRPC_TIMEOUT_MAX));
    if is_grpc && let Ok(value) = HeaderValue::try_from(text) {
        headers.insert(GRPC_TIMEOUT, value);
    }
}

/// Tells the client how long the upstream took, in whole milliseconds.
pub fn set_upstream_time(headers: &mut HeaderMap, taken: Duration) {
    let value = match taken.as_millis() {
        0 => HeaderValue::from_static("0"),
        1 => HeaderValue::from_static("1"),
        millis => HeaderValue::from(u64::try_from(millis).unwrap_or(u64::MAX)),
    };
    headers.insert(UPSTREAM_TIME, value);
}

/// Remembers path and query before a rewrite.
pub fn set_original_path(headers: &mut HeaderMap, path: &str) {
    if let Ok(value) = HeaderValue::from_str(path) {
        headers.insert(ORIGINAL_PATH, value);
    }
}

/// Client copies of fields that only the gateway may set.
fn remove_reserved(headers: &mut HeaderMap) {
    let is_reserved = |name: &&HeaderName| name.as_str().starts_with(RESERVED_PREFIX);
    while let Some(name) = headers.keys().find(is_reserved).cloned() {
        headers.remove(name);
    }
}

/// A list that may stand on several lines, with one entry more (RFC 9110 5.3).
fn appended<'a>(
    lines: impl Iterator<Item = &'a HeaderValue>,
    address: &'a HeaderValue,
) -> HeaderValue {
    let all: Vec<&[u8]> = lines.chain([address]).map(HeaderValue::as_bytes).collect();
    let joined = all.join(&b","[..]);
    HeaderValue::from_bytes(&joined).unwrap_or_else(|_| address.clone())
}

/// A random UUID (RFC 9562 5.4): a client's own is not trusted (Istio contract 6.5).
pub fn request_id() -> HeaderValue {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let bits = fastrand::u128(..) & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let mut text = [b'-'; 36];
    let mut nibble = 128;
    for (place, letter) in text.iter_mut().enumerate() {
        if !matches!(place, 8 | 13 | 18 | 23) {
            nibble -= 4;
            *letter = HEX[(bits >> nibble) as usize & 0xf];
        }
    }
    HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static("-"))
}

/// The form that an HTTP/1.1 or HTTP/2 upstream needs of the request line.
pub fn set_upstream_form(parts: &mut Parts, version: Version) {
    parts.version = version;
    let path = parts.uri.path_and_query().cloned();
    let path = path.unwrap_or_else(|| PathAndQuery::from_static("/"));
    if version == Version::HTTP_2 {
        let host = parts.headers.remove(header::HOST);
        let authority = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
        let uri = Uri::builder().scheme("http").path_and_query(path.clone());
        let uri = match authority {
            Some(authority) => uri.authority(authority).build(),
            None => uri.authority("localhost").build(),
        };
        parts.uri = uri.unwrap_or_else(|_| Uri::from(path));
        return;
    }
    join_cookies(&mut parts.headers);
    if parts.uri.scheme().is_some() || parts.uri.authority().is_some() {
        parts.uri = Uri::from(path);
    }
}

/// HTTP/2 may split `Cookie`; HTTP/1.1 must have it in one line (RFC 9113 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let lines: Vec<&[u8]> =
        headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if lines.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&lines.join(&b"; "[..]))
    {
        headers.insert(header::COOKIE, joined);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn parts(uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn only_chunked_is_a_coding() {
        for (codings, is_good) in [
            (&["chunked"][..], true),
            (&["Chunked"], true),
            (&["gzip, chunked"], false),
            (&["chunked, chunked"], false),
            (&["x", "chunked"], false),
            (&[""], false),
        ] {
            let mut fields = vec![("host", "a")];
            fields.extend(codings.iter().map(|coding| ("transfer-encoding", *coding)));
            let found = Head::check(&mut parts("/", &fields), HeadRules::default(), "http");
            assert_eq!(found.is_ok(), is_good, "{codings:?}");
        }
    }

    #[test]
    fn a_head_within_the_limits_passes_and_says_what_is_too_large_otherwise() {
        let limits = EdgeLimits { fields_max: 3, target_bytes_max: 10, ..EdgeLimits::default() };
        let long = "x".repeat(61_440);
        for (uri, fields, heard, expected) in [
            ("/", vec![("a", "1")], 0, Ok(())),
            ("/12345678?", vec![], 0, Ok(())),
            ("/12345678?9", vec![], 0, Err(ProxyError::TargetTooLong)),
            ("/", vec![("cookie", "a"); 4], 0, Err(ProxyError::HeadTooLarge)),
            ("/", vec![("a", &long)], 61_441, Err(ProxyError::HeadTooLarge)),
            ("/", vec![("a", "1")], 61_441, Ok(())),
        ] {
            let found = check_size(&parts(uri, &fields), &limits, heard);
            assert_eq!(found, expected, "{uri} {}", fields.len());
        }
    }

    #[test]
    fn the_host_is_one_and_well_formed() {
        for (uri, headers, expected) in [
            ("/", vec![("host", "a.b:80")], Ok("a.b:80")),
            ("http://c.d/x", vec![("host", "a.b")], Ok("c.d")),
            ("/", vec![], Err(ProxyError::BadHost)),
            ("/", vec![("host", "a"), ("host", "b")], Err(ProxyError::BadHost)),
            ("/", vec![("host", "")], Err(ProxyError::BadHost)),
            ("/", vec![("host", "a/b")], Err(ProxyError::BadHost)),
            ("/", vec![("host", "u@a")], Err(ProxyError::BadHost)),
            ("http://u@a/", vec![], Err(ProxyError::BadHost)),
            ("/", vec![("host", "a:x")], Err(ProxyError::BadHost)),
            ("/", vec![("host", "a:1:2")], Err(ProxyError::BadHost)),
            ("/", vec![("host", "[::1]:80")], Ok("[::1]:80")),
            ("a", vec![("host", "a")], Err(ProxyError::BadPath)),
            ("ftp://a/", vec![("host", "a")], Err(ProxyError::BadPath)),
            ("*", vec![("host", "a")], Err(ProxyError::BadPath)),
        ] {
            let found = Head::check(&mut parts(uri, &headers), HeadRules::default(), "http")
                .map(|head| head.authority);
            let found = found.as_ref().map(|value| value.to_str().unwrap()).map_err(|e| *e);
            assert_eq!(found, expected, "{uri} {headers:?}");
        }
    }

    #[test]
    fn what_concerns_one_hop_is_not_forwarded() {
        let mut given = parts(
            "/",
            &[
                ("connection", "close, x-private, x-forwarded-for, host"),
                ("x-private", "1"),
                ("x-forwarded-for", "1.2.3.4"),
                ("keep-alive", "timeout=5"),
                ("te", "gzip"),
                ("upgrade", "h2c"),
                ("host", "a"),
                ("x-kept", "1"),
            ],
        );
        remove_hop_by_hop(&mut given.headers);
        let mut names: Vec<_> = given.headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["host", "x-forwarded-for", "x-kept"]);
    }

    #[test]
    fn only_websockets_are_upgraded_to() {
        for (wanted, connection, expected) in [
            ("websocket", "Upgrade", Ok(Upgrade::WebSocket)),
            ("WebSocket", "keep-alive, upgrade", Ok(Upgrade::WebSocket)),
            ("websocket", "keep-alive", Ok(Upgrade::None)),
            ("h2c", "upgrade, http2-settings", Ok(Upgrade::None)),
            ("tls/1.0", "upgrade", Err(ProxyError::UpgradeRefused)),
        ] {
            let given = parts("/", &[("upgrade", wanted), ("connection", connection)]);
            assert_eq!(upgrade(&given.headers), expected, "{wanted} {connection}");
        }
    }

    #[test]
    fn grpc_clients_name_deadlines() {
        for (text, expected) in [
            ("5S", Some(Duration::from_secs(5))),
            ("100m", Some(Duration::from_millis(100))),
            ("2H", Some(Duration::from_secs(7200))),
            ("123456789S", None),
            ("5", None),
            ("S", None),
            ("", None),
            ("-1S", None),
        ] {
            assert_eq!(grpc_timeout(&parts("/", &[("grpc-timeout", text)]).headers), expected);
        }
    }

    #[test]
    fn request_ids_are_random_uuids() {
        let (one, two) = (request_id(), request_id());
        assert_ne!(one, two);
        let text = one.to_str().unwrap();
        assert_eq!((text.len(), &text[14..15]), (36, "4"));
        assert!("89ab".contains(&text[19..20]), "{text}");
    }

    #[test]
    fn reserved_fields_of_the_client_are_dropped() {
        let mut given =
            parts("/", &[("x-envoy-retry-on", "5xx"), ("X-Envoy-Force-Trace", "1"), ("x-a", "1")]);
        remove_reserved(&mut given.headers);
        assert_eq!(given.headers.len(), 1);
    }
}
