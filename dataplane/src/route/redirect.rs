//! Redirects (Istio contract 2.8).

use fairway_shared::snapshot::route::{self, Route};
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
    pub fn new(route: &Route, source: &route::Redirect) -> Result<Self, RouteError> {
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
        let changes_place = self.port.is_some() || self.scheme.is_some();
        let host = match &self.authority {
            Some(authority) => authority,
            // The client's port belongs to the client's scheme.
            None if changes_place => strip_port(request.authority),
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

/// The `location` of a virtual host that sends all requests to https (Istio contract 1.8): Host
/// as received, port included.
pub fn https_location(request: &RequestView<'_>) -> String {
    let query = request.query.map(|query| format!("?{query}")).unwrap_or_default();
    format!("https://{}{}{query}", request.authority, request.path)
}
