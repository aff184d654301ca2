//! What the gateway answers by itself: redirects and direct responses (Istio contract 2.8).

use fairway_shared::snapshot::route::{DirectResponse, PathRewrite, Redirect};

use super::destinations::SERVER_PORT;
use super::findings::{DUBIOUS, Scope};
use super::quantities::decode_base64;
use crate::object::virtual_service as object;

/// Largest body of a direct response, in bytes.
const BODY_BYTES_MAX: usize = 1 << 20;
/// A body beyond this many bytes draws a warning.
const BODY_BYTES_LARGE: usize = 100 << 10;

/// Reads `redirect`. The port may be [`SERVER_PORT`] still.
pub(super) fn read_redirect(redirect: &object::Redirect, scope: &mut Scope<'_>) -> Redirect {
    if *redirect
        == (object::Redirect { redirect_code: redirect.redirect_code, ..Default::default() })
    {
        scope.invalid("redirect", "changes nothing", "set uri, authority, port or scheme");
    }
    if !redirect.uri.is_empty() && !redirect.prefix_rewrite.is_empty() {
        scope.invalid("redirect.uri", "excludes prefixRewrite", "keep one");
    }
    let path = match (redirect.uri.as_str(), redirect.prefix_rewrite.as_str()) {
        ("", "") => None,
        ("", prefix) => Some(PathRewrite::Prefix(prefix.to_owned())),
        (uri, _) => Some(PathRewrite::Full(uri.to_owned())),
    };
    if !matches!(redirect.scheme.as_str(), "" | "http" | "https") {
        let what = format_args!("is `{}`", redirect.scheme);
        scope.invalid("redirect.scheme", what, "use http or https");
    }
    let status = match redirect.redirect_code {
        0 => 301,
        code @ (301 | 302 | 303 | 307 | 308) => code as u16,
        code => {
            let remedy = "use 301, 302, 303, 307 or 308";
            scope.invalid("redirect.redirectCode", format_args!("is {code}"), remedy);
            301
        }
    };
    let some = |text: &String| (!text.is_empty()).then(|| text.clone());
    let scheme = some(&redirect.scheme);
    let port = read_port(redirect, scope);
    Redirect { path, authority: some(&redirect.authority), scheme, port, status }
}

fn read_port(redirect: &object::Redirect, scope: &mut Scope<'_>) -> Option<u16> {
    let from_request = match redirect.derive_port.as_str() {
        "" | "FROM_PROTOCOL_DEFAULT" => false,
        "FROM_REQUEST_PORT" => true,
        other => {
            let remedy = "use FROM_REQUEST_PORT or FROM_PROTOCOL_DEFAULT";
            scope.invalid("redirect.derivePort", format_args!("`{other}` is unknown"), remedy);
            false
        }
    };
    if redirect.port.is_some() && !redirect.derive_port.is_empty() {
        scope.invalid("redirect.port", "excludes derivePort", "keep one");
    }
    let Some(written) = redirect.port else { return from_request.then_some(SERVER_PORT) };
    let port = u16::try_from(written).ok().filter(|port| *port != 0);
    if port.is_none() {
        scope.invalid("redirect.port", format_args!("is {written}"), "use 1 to 65535");
    }
    port
}

/// Ports that need no naming. Without a scheme the request's own counts, and every listener so
/// far is plaintext.
pub(super) fn is_default_port(port: u16, scheme: Option<&str>) -> bool {
    matches!((port, scheme), (80, None | Some("http")) | (443, Some("https")))
}

/// Reads `directResponse`.
pub(super) fn read_direct(
    response: &object::DirectResponse,
    scope: &mut Scope<'_>,
) -> DirectResponse {
    let status = u16::try_from(response.status).ok().filter(|code| (200..=599).contains(code));
    if status.is_none() {
        let what = format_args!("is {}", response.status);
        scope.invalid("directResponse.status", what, "use 200 to 599");
    }
    let field = "directResponse.body";
    let body = match response.body.as_ref().map(|body| (&body.string, &body.bytes)) {
        None | Some((None, None)) => Vec::new(),
        Some((Some(text), None)) => text.clone().into_bytes(),
        Some((None, Some(base64))) => decode_base64(base64).unwrap_or_else(|| {
            scope.invalid(field, "bytes are not Base64", "encode them, or use string");
            Vec::new()
        }),
        Some((Some(_), Some(_))) => {
            scope.invalid(field, "sets both string and bytes", "keep one");
            Vec::new()
        }
    };
    let bytes = body.len();
    if bytes > BODY_BYTES_MAX {
        let what = format_args!("has {bytes} bytes, more than {BODY_BYTES_MAX}");
        scope.invalid(field, what, "serve it from a backend");
    } else if bytes > BODY_BYTES_LARGE {
        let what = format_args!("has {bytes} bytes, which every worker keeps in memory");
        scope.warn(DUBIOUS, field, what, "serve it from a backend");
    }
    DirectResponse { status: status.unwrap_or(200), body }
}
