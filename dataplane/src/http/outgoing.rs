//! A request as it goes upstream: its head, and its body for as many tries as it can be had.

use std::mem::take;
use std::rc::Rc;

use http::header::{HOST, HeaderValue, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Uri, Version};
use hyper::body::{Body, Incoming};

use super::body::{Completion, Replay, RequestBody, Streamed};
use super::request;
use crate::telemetry::account::Account;

/// A request head as it goes upstream.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// Its method.
    pub method: Method,
    /// Path and query; scheme and authority only for HTTP/2.
    pub uri: Uri,
    /// All its fields, Host among them.
    pub headers: HeaderMap,
}

/// A request body and whether it can be had again.
#[derive(Debug)]
pub enum BodySource {
    /// There is none.
    None,
    /// It can be sent once.
    Once(Option<Streamed>),
    /// A copy of another request's, to be sent once.
    Ready(Option<RequestBody>),
    /// It can be sent until more was read than is kept.
    Again(Replay),
}

impl BodySource {
    /// Keeps the body only if a retry could need it.
    pub fn new(
        incoming: Incoming,
        completion: Option<Rc<Completion>>,
        account: &mut Account,
        keep: bool,
    ) -> Self {
        if incoming.is_end_stream() {
            return Self::None;
        }
        let streamed = Streamed::new(incoming, completion, account.receives());
        if keep { Self::Again(Replay::new(streamed)) } else { Self::Once(Some(streamed)) }
    }

    /// The body for the next try; `None` if it cannot be had again.
    pub fn next(&mut self) -> Option<RequestBody> {
        match self {
            Self::None => Some(RequestBody::Empty),
            Self::Once(body) => body.take().map(RequestBody::Stream),
            Self::Ready(body) => body.take(),
            Self::Again(replay) => replay.again().map(RequestBody::Replay),
        }
    }

    /// The whole body once more, if it has been read to its end and all of it is kept.
    pub fn complete(&self) -> Option<RequestBody> {
        match self {
            Self::None => Some(RequestBody::Empty),
            Self::Once(_) | Self::Ready(_) => None,
            Self::Again(replay) => replay.again_complete().map(RequestBody::Replay),
        }
    }

    /// Is there no body?
    pub fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// Could [`Self::next`] return a body?
    pub fn can_be_sent(&self) -> bool {
        match self {
            Self::None => true,
            Self::Once(body) => body.is_some(),
            Self::Ready(body) => body.is_some(),
            Self::Again(replay) => replay.is_kept(),
        }
    }
}

impl Default for Outgoing {
    fn default() -> Self {
        Self { method: Method::GET, uri: Uri::default(), headers: HeaderMap::new() }
    }
}

impl Outgoing {
    /// What is left of `parts` is of no use.
    pub fn take(parts: &mut Parts) -> Self {
        let Parts { method, uri, headers, .. } = parts;
        Self { method: take(method), uri: take(uri), headers: take(headers) }
    }

    /// As a request of that version.
    pub fn request(self, version: Version, body: RequestBody) -> Request<RequestBody> {
        let mut request = Request::new(body);
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri;
        *request.headers_mut() = self.headers;
        let (mut parts, body) = request.into_parts();
        request::set_upstream_form(&mut parts, version);
        // The library takes a body of unknown length away from GET unless it is told.
        if version == Version::HTTP_11
            && matches!(parts.method, Method::GET | Method::HEAD)
            && !body.is_end_stream()
            && body.size_hint().exact().is_none()
        {
            parts.headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        Request::from_parts(parts, body)
    }

    /// Takes back a request that was not sent.
    pub fn recover(&mut self, unsent: Request<RequestBody>, body: &mut BodySource) {
        let (mut parts, unsent_body) = unsent.into_parts();
        // HTTP/2 has it in the URI; the next try may need it as a field again.
        if let Some(authority) = parts.uri.authority()
            && let Ok(host) = HeaderValue::from_str(authority.as_str())
        {
            parts.headers.insert(HOST, host);
        }
        *self = Self { method: parts.method, uri: parts.uri, headers: parts.headers };
        match (body, unsent_body) {
            (BodySource::Once(slot), RequestBody::Stream(incoming)) => *slot = Some(incoming),
            (BodySource::Ready(slot), unsent) => *slot = Some(unsent),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_was_not_sent_comes_back_with_its_host() {
        for version in [Version::HTTP_11, Version::HTTP_2] {
            let headers = [(HOST, HeaderValue::from_static("a.example"))].into_iter().collect();
            let uri = Uri::from_static("/x?q=1");
            let unsent =
                Outgoing { method: Method::GET, uri, headers }.request(version, RequestBody::Empty);
            let mut back = Outgoing::default();
            back.recover(unsent, &mut BodySource::None);
            assert_eq!(back.headers.get(HOST).unwrap(), "a.example", "{version:?}");
            let again = back.request(Version::HTTP_11, RequestBody::Empty);
            assert_eq!(again.uri(), "/x?q=1", "{version:?}");
        }
    }
}
