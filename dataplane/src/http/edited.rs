//! Header operations bound to one request. What substitutions may need of the request is copied
//! only where there are operations.

use std::net::SocketAddr;

use http::Response;
use http::header::{HeaderMap, HeaderValue};

use super::connection::Downstream;
use super::request::Head;
use crate::route::edit::{EditContext, Edits, Value};
use crate::route::predicate::RequestView;

/// Operations with the request they were chosen for.
pub struct EditedBy<'a> {
    edits: &'a [Edits],
    downstream: &'a Downstream,
    remote: SocketAddr,
    facts: Option<Box<Facts>>,
}

/// An owned [`RequestView`].
struct Facts {
    host: String,
    authority: String,
    path: String,
    query: Option<String>,
    method: String,
    scheme: &'static str,
    headers: HeaderMap,
}

impl<'a> EditedBy<'a> {
    /// Copies what is needed of the request before it is changed.
    pub fn new(
        edits: &'a [Edits],
        downstream: &'a Downstream,
        head: &Head,
        view: &RequestView<'_>,
    ) -> Self {
        let facts = edits.iter().any(|edits| !edits.is_empty()).then(|| {
            Box::new(Facts {
                host: view.host.to_owned(),
                authority: view.authority.to_owned(),
                path: view.path.to_owned(),
                query: view.query.map(str::to_owned),
                method: view.method.to_owned(),
                scheme: if view.scheme == "https" { "https" } else { "http" },
                headers: view.headers.clone(),
            })
        });
        let remote = head.forwarded_client.unwrap_or(downstream.peer().remote);
        Self { edits, downstream, remote, facts }
    }

    /// Carries the operations out.
    pub fn apply(&self, headers: &mut HeaderMap) {
        if let Some(facts) = &self.facts {
            let context = self.context(facts);
            self.edits.iter().for_each(|edits| edits.apply(headers, &context));
        }
    }

    /// The same for a response of the gateway's own.
    pub fn applied<B>(&self, mut response: Response<B>) -> Response<B> {
        self.apply(response.headers_mut());
        response
    }

    /// A single value for the same request.
    pub fn resolve(&self, value: &Value) -> Option<HeaderValue> {
        value.resolve(&self.context(self.facts.as_deref()?))
    }

    fn context<'b>(&'b self, facts: &'b Facts) -> EditContext<'b> {
        let peer = self.downstream.peer();
        EditContext {
            request: RequestView {
                host: &facts.host,
                authority: &facts.authority,
                path: &facts.path,
                query: facts.query.as_deref(),
                method: &facts.method,
                scheme: facts.scheme,
                headers: &facts.headers,
            },
            remote: self.remote,
            local: peer.local,
            protocol: self.downstream.protocol(),
        }
    }
}
