//! Redirects (Istio contract 2.8).

use fairway_shared::snapshot::route::{self, RouteSpec};
use http::StatusCode;

use super::action::{PathChange, status};
use super::edit::Edits;
use super::predicate::RequestView;
use super::table::RouteError;
use fairway_shared::matching::strip_port;

/// A redirect, compiled.
#[derive(Debug)]
pub struct Redirect {
    /// Its status.
    pub status: StatusCode,
    /// Route-level response operations.
    pub edits: Edits,
    path: Option<PathChange>,
    authority: Option<Box<str>>,
    scheme: Option<Box<str>>,
    port: Option<u16>,
}

impl Redirect {
    /// # Errors
    /// The first value that HTTP does not allow.
    pub fn new(route: &RouteSpec, source: &route::Redirect) -> Result<Self, RouteError> {
        Ok(Self {
            status: status(source.status)?,
            edits: Edits::new(&route.headers.response)?,
            path: source.path.as_ref().map(|path| PathChange::new(route, path)).transpose()?,
            authority: source.authority.as_deref().map(Into::into),
            scheme: source.scheme.as_deref().map(Into::into),
            port: source.port,
        })
    }

    /// The `location` for a request.
    pub fn location(&self, request: &RequestView<'_>) -> String {
        let scheme = self.scheme.as_deref().unwrap_or(request.scheme);
        let host = match &self.authority {
            Some(authority) => authority,
            None if self.port.is_some() => strip_port(request.authority),
            // Only the port that the old scheme implies goes with it: Envoy 1.40 redirects
            // `http://a:80` to `https://a`, `http://a:8080` to `https://a:8080`.
            None if scheme != request.scheme => without_implied_port(request),
            None => request.authority,
        };
        let is_default = matches!((scheme, self.port), ("http", Some(80)) | ("https", Some(443)));
        let port = match self.port.filter(|_| !is_default) {
            Some(port) => format!(":{port}"),
            None => String::new(),
        };
        let path = match &self.path {
            Some(change) => change.apply(request.path),
            None => request.path.to_owned(),
        };
        let query = match request.query {
            Some(query) if !path.contains('?') => format!("?{query}"),
            _ => String::new(),
        };
        format!("{scheme}://{host}{port}{path}{query}")
    }
}

fn without_implied_port<'a>(request: &RequestView<'a>) -> &'a str {
    let port = if request.scheme == "https" { ":443" } else { ":80" };
    request.authority.strip_suffix(port).unwrap_or(request.authority)
}

/// The `location` of a virtual host that sends all requests to https (Istio contract 1.8): Host
/// as received, port included.
pub fn https_location(request: &RequestView<'_>) -> String {
    let query = request.query.map(|query| format!("?{query}")).unwrap_or_default();
    format!("https://{}{}{query}", request.authority, request.path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fairway_shared::snapshot::route::{
        DirectResponse, HeaderOps, PathMatch, PathRewrite, RouteAction, RouteMatch,
    };
    use http::HeaderMap;

    /// Location of `redirect` for a request to `http://a.example:8080/api/x?q=1`, matched by the
    /// prefix `/api`.
    fn location(redirect: &route::Redirect) -> String {
        let route = RouteSpec {
            matches: RouteMatch { path: PathMatch::Prefix("/api".into()), ..RouteMatch::default() },
            action: RouteAction::Direct(DirectResponse { status: 200, body: vec![] }),
            headers: HeaderOps::default(),
            cors: None,
            fault: None,
        };
        let headers = HeaderMap::new();
        let request = RequestView {
            host: "a.example",
            authority: "a.example:8080",
            path: "/api/x",
            query: Some("q=1"),
            method: "GET",
            scheme: "http",
            headers: &headers,
        };
        Redirect::new(&route, redirect).unwrap().location(&request)
    }

    fn redirect() -> route::Redirect {
        route::Redirect { path: None, authority: None, scheme: None, port: None, status: 301 }
    }

    #[test]
    fn each_part_is_replaced_alone() {
        let full = |path: &str| Some(PathRewrite::Full(path.into()));
        for (redirect, expected) in [
            (redirect(), "http://a.example:8080/api/x?q=1"),
            (route::Redirect { path: full("/new"), ..redirect() }, "http://a.example:8080/new?q=1"),
            (
                route::Redirect { path: full("/new?own=2"), ..redirect() },
                "http://a.example:8080/new?own=2",
            ),
            (
                route::Redirect { path: Some(PathRewrite::Prefix("/v2".into())), ..redirect() },
                "http://a.example:8080/v2/x?q=1",
            ),
            (
                route::Redirect { authority: Some("b.example".into()), ..redirect() },
                "http://b.example/api/x?q=1",
            ),
            (
                route::Redirect { scheme: Some("https".into()), ..redirect() },
                "https://a.example:8080/api/x?q=1",
            ),
            (route::Redirect { port: Some(9000), ..redirect() }, "http://a.example:9000/api/x?q=1"),
            (route::Redirect { port: Some(80), ..redirect() }, "http://a.example/api/x?q=1"),
        ] {
            assert_eq!(location(&redirect), expected, "{redirect:?}");
        }
    }
}
