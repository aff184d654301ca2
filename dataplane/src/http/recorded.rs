//! A request, remembered in the black box while it is answered: from its head to the head of its
//! response. Who panics meanwhile leaves word of it. A quarantined one is answered here, and here
//! answers of a connection that is to end say so.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;

use http::header::{CONNECTION, HeaderValue};
use http::{Request, Response, StatusCode};
use hyper::body::{Body, Incoming};

use super::connection::Downstream;
use super::exchange;
use super::reply::ProxyError;
use super::response::ReplyBody;
use crate::black_box::head::Head;
use crate::black_box::writer::{self, Entry};

/// As [`exchange::serve`]. What the future is to hold is made before it: a future keeps room for
/// its arguments, and every request's is moved once.
pub fn serve(
    downstream: Rc<Downstream>,
    request: Request<Incoming>,
) -> impl Future<Output = Result<Response<ReplyBody>, Infallible>> {
    let remembered = remember(&request);
    let (mut parts, body) = request.into_parts();
    let in_flight = downstream.begin(!body.is_end_stream());
    async move {
        let mut response = match remembered {
            Ok(entry) => {
                let mut answering = pin!(exchange::serve(&downstream, &mut parts, body));
                poll_fn(|cx| match &entry {
                    Some(entry) => entry.handle(|| answering.as_mut().poll(cx)),
                    None => answering.as_mut().poll(cx),
                })
                .await
            }
            Err(error) => exchange::refuse(&downstream, &parts, error),
        };
        response.body_mut().keep(in_flight);
        if downstream.must_say_close() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response)
    }
}

/// The request's entry in the black box, if there is one; an error if it is quarantined.
fn remember(request: &Request<Incoming>) -> Result<Option<Entry>, ProxyError> {
    let Some(black_box) = writer::get() else { return Ok(None) };
    let mut head = Head::line(request);
    if black_box.is_quarantined(&head) {
        return Err(ProxyError::Quarantined);
    }
    head.add_details(request);
    Ok(Some(black_box.begin(&head)))
}
