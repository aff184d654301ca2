//! Answers that a route itself orders: redirects, fixed responses, answers to preflights.

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Response, StatusCode};

use super::reply::local;
use super::response::ReplyBody;
use crate::route::action::Direct;
use crate::route::cors::{Cors, Verdict};

/// A redirect to there. Never with a body.
pub fn moved(status: StatusCode, location: &str, is_grpc: bool) -> Response<ReplyBody> {
    let mut response = local(status, Bytes::new(), is_grpc);
    if let Ok(location) = HeaderValue::from_str(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// A fixed response.
pub fn fixed(direct: &Direct, is_grpc: bool) -> Response<ReplyBody> {
    local(direct.status, direct.body.clone(), is_grpc)
}

/// The answer to a preflight, if the policy gives one.
pub fn preflight((cors, verdict): &(&Cors, Verdict)) -> Option<Response<ReplyBody>> {
    let mut response = Response::new(ReplyBody::full(Bytes::new()));
    match verdict {
        Verdict::Preflight(origin) => {
            cors.mark_preflight(origin.clone(), response.headers_mut());
            Some(response)
        }
        Verdict::Refuse => Some(response),
        Verdict::Pass | Verdict::Mark(_) => None,
    }
}
