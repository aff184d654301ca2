//! A request, remembered in the black box while it is answered: from its head to the head of its
//! response. Who panics meanwhile leaves word of it. A quarantined one is answered here, and here
//! answers of a connection that is to end say so.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;

use http::header::{CONNECTION, HeaderValue};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;

use super::connection::Downstream;
use super::exchange;
use super::reply::ProxyError;
use super::response::ReplyBody;
use crate::black_box::head::Head;
use crate::black_box::writer;

/// As [`exchange::serve`].
///
/// # Errors
/// None; the type is what `hyper` asks for.
pub async fn serve(
    downstream: Rc<Downstream>,
    request: Request<Incoming>,
) -> Result<Response<ReplyBody>, Infallible> {
    let connection = Rc::clone(&downstream);
    let Ok(mut response) = record(downstream, request).await;
    if connection.must_say_close() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

async fn record(
    downstream: Rc<Downstream>,
    request: Request<Incoming>,
) -> Result<Response<ReplyBody>, Infallible> {
    let Some(black_box) = writer::get() else {
        return exchange::serve(downstream, request).await;
    };
    let mut head = Head::line(&request);
    if black_box.is_quarantined(&head) {
        return Ok(exchange::refuse(&downstream, &request, ProxyError::Quarantined));
    }
    head.add_details(&request);
    let entry = black_box.begin(&head);
    let mut answering = pin!(exchange::serve(downstream, request));
    poll_fn(|cx| entry.handle(|| answering.as_mut().poll(cx))).await
}
