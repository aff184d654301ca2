//! What is written down of one request or connection for access log and spans. Filled while it
//! runs, by moving and counting references: nothing is formatted or copied here.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use fairway_shared::id::ClusterId;
use fairway_shared::snapshot::route::Route;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, Uri};

use crate::http::flag::Flags;

/// See the module. What never came stays absent.
#[derive(Debug, Default)]
pub struct Record {
    /// `HTTP/1.1`, `HTTP/2`; `None` = not HTTP.
    pub protocol: Option<&'static str>,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// Method.
    pub method: Option<Method>,
    /// Path and query before any rewrite.
    pub path: Option<PathAndQuery>,
    /// Path and query as they went upstream, if they did.
    pub forwarded_path: Option<PathAndQuery>,
    /// Host or `:authority`.
    pub authority: Option<HeaderValue>,
    /// Headers and trailers that somebody wants.
    pub fields: Fields,
    /// The route's name and origin.
    pub route: Option<Arc<Route>>,
    /// Key of the cluster.
    pub cluster: Option<ClusterName>,
    /// How often it was sent.
    pub attempts: u32,
    /// Where it went last.
    pub upstream: Option<SocketAddr>,
    /// From where.
    pub upstream_local: Option<SocketAddr>,
    /// The two ends towards the client.
    pub ends: Option<Ends>,
    /// SNI.
    pub server_name: Option<Rc<str>>,
    /// What TLS agreed on with the client.
    pub tls: Option<Rc<TlsFacts>>,
    /// Response status; 0 = none.
    pub status: u16,
    /// `grpc-status`.
    pub grpc_status: Option<u16>,
    /// Why the response is what it is.
    pub flags: Flags,
    /// Who decided it.
    pub details: Option<&'static str>,
    /// Why the gateway ended the connection.
    pub termination: Option<&'static str>,
    /// What went wrong below HTTP towards the endpoint.
    pub transport_failure: Option<&'static str>,
    /// Body bytes from the client.
    pub received_bytes: u64,
    /// Body bytes to the client.
    pub sent_bytes: u64,
    /// From its begin to its end.
    pub duration: Duration,
    /// From its begin until it was received whole.
    pub received_after: Option<Duration>,
    /// From its begin to the first byte from upstream.
    pub answered_after: Option<Duration>,
}

/// Name of a cluster, shared.
pub type ClusterName = Rc<ClusterId>;

/// The two ends of a downstream connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// The client, as the trusted proxies in front name it (Istio contract 6.6).
    pub remote: SocketAddr,
    /// Whoever opened the connection.
    pub direct: SocketAddr,
    /// Where it was opened to.
    pub local: SocketAddr,
}

/// What TLS agreed on with the client, in the words of access logs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsFacts {
    /// `TLSv1.3`.
    pub version: &'static str,
    /// Name of the cipher suite.
    pub cipher: &'static str,
    /// From the client's certificate; `None` = it showed none.
    pub peer: Option<PeerFacts>,
}

/// What a client's certificate says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PeerFacts {
    /// Distinguished name.
    pub subject: String,
    /// Distinguished name of who signed it.
    pub issuer: String,
    /// URIs, comma separated.
    pub uri_sans: String,
    /// DNS names, comma separated.
    pub dns_sans: String,
    /// In hexadecimal.
    pub serial: String,
    /// SHA-256, in hexadecimal.
    pub fingerprint: String,
}

/// Which headers and trailers somebody wants, found once per snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capture {
    request: Vec<HeaderName>,
    response: Vec<HeaderName>,
    trailers: Vec<HeaderName>,
}

/// Where a header stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// In the request.
    Request,
    /// In the response.
    Response,
    /// After the response's body.
    Trailer,
}

/// Where a captured header is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot(Side, usize);

impl Capture {
    /// The slot of a header, which is captured from now on.
    pub fn slot(&mut self, side: Side, name: &HeaderName) -> Slot {
        let names = match side {
            Side::Request => &mut self.request,
            Side::Response => &mut self.response,
            Side::Trailer => &mut self.trailers,
        };
        let known = names.iter().position(|known| known == name);
        Slot(
            side,
            known.unwrap_or_else(|| {
                names.push(name.clone());
                names.len() - 1
            }),
        )
    }

    /// Puts another value in the place of a request header's, if it is wanted at all.
    pub fn replace(
        &self,
        fields: &mut Fields,
        name: &HeaderName,
        value: impl FnOnce() -> HeaderValue,
    ) {
        let at = self.request.iter().position(|wanted| wanted == name);
        if let Some(slot) = at.and_then(|at| fields.request.get_mut(at)) {
            *slot = Some(value());
        }
    }

    /// Takes what is wanted of a message's headers.
    pub fn take(&self, side: Side, headers: &HeaderMap, fields: &mut Fields) {
        let (names, values) = match side {
            Side::Request => (&self.request, &mut fields.request),
            Side::Response => (&self.response, &mut fields.response),
            Side::Trailer => (&self.trailers, &mut fields.trailers),
        };
        values.clear();
        values.extend(names.iter().map(|name| headers.get(name).cloned()));
    }
}

/// Captured values.
#[derive(Debug, Default)]
pub struct Fields {
    request: Vec<Option<HeaderValue>>,
    response: Vec<Option<HeaderValue>>,
    trailers: Vec<Option<HeaderValue>>,
}

impl Fields {
    /// The value in a slot, if there was one.
    pub fn get(&self, Slot(side, at): Slot) -> Option<&HeaderValue> {
        let values = match side {
            Side::Request => &self.request,
            Side::Response => &self.response,
            Side::Trailer => &self.trailers,
        };
        values.get(at)?.as_ref()
    }
}

impl Record {
    /// The path that went upstream.
    pub fn note_forwarded(&mut self, uri: &Uri) {
        self.forwarded_path = uri.path_and_query().cloned();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_wanted_twice_is_captured_once() {
        let mut capture = Capture::default();
        let (a, b) = (HeaderName::from_static("a"), HeaderName::from_static("b"));
        let first = capture.slot(Side::Request, &a);
        assert_eq!(capture.slot(Side::Request, &a), first);
        let second = capture.slot(Side::Request, &b);
        let mut fields = Fields::default();
        let headers = [(b, HeaderValue::from_static("1"))].into_iter().collect();
        capture.take(Side::Request, &headers, &mut fields);
        assert_eq!(fields.get(first), None);
        assert_eq!(fields.get(second).unwrap(), "1");
    }
}
