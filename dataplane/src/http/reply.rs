//! Answers that the gateway makes itself: one closed list of cases, decided by `match`
//! (Istio contract 2.12).

use std::borrow::Cow;
use std::fmt::Write;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Response, StatusCode};

use super::flag::Flags;
use super::response::ReplyBody;
use crate::tls::fault::Fault;
use fairway_shared::snapshot::route::AbortStatus;

/// How every body begins that tells of an endpoint without a response head.
const RESET: &str = "upstream connect error or disconnect/reset before headers. ";
/// Tells a client that the endpoint was not even asked (Istio contract 3.4).
const OVERLOADED: HeaderName = HeaderName::from_static("x-envoy-overloaded");

/// Why a request is not answered by an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyError {
    /// No virtual host, or none of its routes.
    RouteNotFound,
    /// The route's cluster does not exist.
    ClusterNotFound,
    /// The cluster has no endpoint.
    NoHealthyUpstream,
    /// A limit of the cluster is reached.
    Overflow,
    /// Refused, unreachable, reset while connecting.
    ConnectFailed,
    /// The cluster's connect timeout passed.
    ConnectTimedOut,
    /// The handshake came to nothing.
    TlsFailed(Fault),
    /// Closed before a response head.
    UpstreamClosed,
    /// Stream reset before a response head.
    UpstreamReset,
    /// Stream refused before it was processed (HTTP/2).
    UpstreamRefused,
    /// The response is not valid HTTP.
    UpstreamProtocol,
    /// The route's timeout passed.
    TimedOut,
    /// The last try's timeout passed.
    TryTimedOut,
    /// Nothing moved for too long of a request that was received whole.
    StreamIdle,
    /// Nothing came for too long of a request's body.
    RequestIdle,
    /// The request's head is too large, or has too many fields.
    HeadTooLarge,
    /// The request's target is too long.
    TargetTooLong,
    /// The client broke its request off or sent garbage in its body.
    ClientBody,
    /// The authority belongs to a server that this TLS connection does not lead to.
    Misdirected,
    /// No Host, or more than one, or one that is not valid.
    BadHost,
    /// HTTP/1.0 or older.
    LowVersion,
    /// A transfer coding other than `chunked`.
    BadCoding,
    /// The path cannot be made canonical, or the target has not the form of one.
    BadPath,
    /// CONNECT, or an upgrade other than WebSocket.
    UpgradeRefused,
    /// Requests like it have crashed workers.
    Quarantined,
    /// An injected abort.
    FaultAbort(AbortStatus),
}

impl ProxyError {
    /// HTTP status.
    pub fn status(self) -> StatusCode {
        match self {
            Self::RouteNotFound => StatusCode::NOT_FOUND,
            Self::ClusterNotFound
            | Self::NoHealthyUpstream
            | Self::Overflow
            | Self::ConnectFailed
            | Self::ConnectTimedOut
            | Self::TlsFailed(_)
            | Self::UpstreamClosed
            | Self::UpstreamRefused
            | Self::UpstreamReset => StatusCode::SERVICE_UNAVAILABLE,
            Self::UpstreamProtocol => StatusCode::BAD_GATEWAY,
            Self::TimedOut | Self::TryTimedOut | Self::StreamIdle => StatusCode::GATEWAY_TIMEOUT,
            Self::BadCoding => StatusCode::NOT_IMPLEMENTED,
            Self::RequestIdle => StatusCode::REQUEST_TIMEOUT,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::ClientBody | Self::BadHost | Self::BadPath => StatusCode::BAD_REQUEST,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::LowVersion => StatusCode::UPGRADE_REQUIRED,
            Self::UpgradeRefused => StatusCode::FORBIDDEN,
            Self::Quarantined => StatusCode::INTERNAL_SERVER_ERROR,
            Self::FaultAbort(AbortStatus::Grpc(_)) => StatusCode::OK,
            Self::FaultAbort(AbortStatus::Http(code)) => {
                StatusCode::from_u16(code).unwrap_or(StatusCode::SERVICE_UNAVAILABLE)
            }
        }
    }

    /// Response flags.
    pub fn flags(self) -> Flags {
        match self {
            Self::RouteNotFound => Flags::NO_ROUTE,
            Self::ClusterNotFound => Flags::NO_CLUSTER,
            Self::NoHealthyUpstream => Flags::NO_HEALTHY_UPSTREAM,
            Self::Overflow => Flags::OVERFLOW,
            Self::ConnectFailed | Self::ConnectTimedOut | Self::TlsFailed(_) => {
                Flags::CONNECT_FAILURE
            }
            Self::UpstreamClosed => Flags::UPSTREAM_CLOSED,
            Self::UpstreamReset | Self::UpstreamRefused => Flags::UPSTREAM_RESET,
            Self::UpstreamProtocol => Flags::UPSTREAM_PROTOCOL,
            Self::TimedOut | Self::TryTimedOut => Flags::TIMEOUT,
            Self::StreamIdle | Self::RequestIdle => Flags::STREAM_IDLE,
            Self::ClientBody
            | Self::BadCoding
            | Self::HeadTooLarge
            | Self::TargetTooLong
            | Self::LowVersion => Flags::CLIENT_PROTOCOL,
            Self::FaultAbort(_) => Flags::FAULT_ABORT,
            Self::Misdirected
            | Self::BadHost
            | Self::BadPath
            | Self::UpgradeRefused
            | Self::Quarantined => Flags::NONE,
        }
    }

    /// Body, as Envoy words it; after several tries it says so.
    pub fn body(self, is_retried: bool) -> Cow<'static, str> {
        if let Some(reason) = self.reset_reason() {
            let retried = if is_retried { "retried and the latest " } else { "" };
            return Cow::Owned(format!("{RESET}{retried}reset reason: {reason}"));
        }
        Cow::Borrowed(match self {
            Self::NoHealthyUpstream => "no healthy upstream",
            Self::TimedOut | Self::TryTimedOut => "upstream request timeout",
            Self::StreamIdle | Self::RequestIdle => "stream timeout",
            Self::ClientBody => "Bad Request",
            Self::LowVersion => "Upgrade Required",
            Self::FaultAbort(_) => "fault filter abort",
            Self::RouteNotFound
            | Self::ClusterNotFound
            | Self::Misdirected
            | Self::BadHost
            | Self::BadCoding
            | Self::HeadTooLarge
            | Self::TargetTooLong
            | Self::BadPath
            | Self::UpgradeRefused
            | Self::Quarantined
            | Self::Overflow
            | Self::ConnectFailed
            | Self::ConnectTimedOut
            | Self::TlsFailed(_)
            | Self::UpstreamClosed
            | Self::UpstreamReset
            | Self::UpstreamRefused
            | Self::UpstreamProtocol => "",
        })
    }

    /// Why there is no response head from an endpoint that was picked, as Envoy words it.
    fn reset_reason(self) -> Option<&'static str> {
        Some(match self {
            Self::Overflow => "overflow",
            Self::ConnectFailed => "remote connection failure",
            Self::TlsFailed(fault) => fault.reset_reason(),
            Self::ConnectTimedOut => "connection timeout",
            Self::UpstreamClosed => "connection termination",
            Self::UpstreamReset => "remote reset",
            Self::UpstreamRefused => "remote refused stream reset",
            Self::UpstreamProtocol => "protocol error",
            Self::RouteNotFound
            | Self::ClusterNotFound
            | Self::NoHealthyUpstream
            | Self::TimedOut
            | Self::TryTimedOut
            | Self::StreamIdle
            | Self::RequestIdle
            | Self::ClientBody
            | Self::Misdirected
            | Self::BadHost
            | Self::BadCoding
            | Self::HeadTooLarge
            | Self::TargetTooLong
            | Self::LowVersion
            | Self::BadPath
            | Self::UpgradeRefused
            | Self::Quarantined
            | Self::FaultAbort(_) => return None,
        })
    }

    /// `response_code_details`, as Envoy words it.
    pub fn details(self) -> &'static str {
        match self {
            Self::RouteNotFound => "route_not_found",
            Self::ClusterNotFound => "cluster_not_found",
            Self::NoHealthyUpstream => "no_healthy_upstream",
            Self::ConnectFailed | Self::TlsFailed(_) => {
                "upstream_reset_before_response_started{remote_connection_failure}"
            }
            Self::ConnectTimedOut => "upstream_reset_before_response_started{connection_timeout}",
            Self::UpstreamClosed => {
                "upstream_reset_before_response_started{connection_termination}"
            }
            Self::UpstreamReset => "upstream_reset_before_response_started{remote_reset}",
            Self::UpstreamRefused => {
                "upstream_reset_before_response_started{remote_refused_stream_reset}"
            }
            Self::UpstreamProtocol => "upstream_reset_before_response_started{protocol_error}",
            Self::TimedOut => "response_timeout",
            Self::TryTimedOut => "upstream_per_try_timeout",
            Self::StreamIdle | Self::RequestIdle => "stream_idle_timeout",
            Self::BadCoding => "http1.invalid_transfer_encoding",
            Self::HeadTooLarge => "request_headers_too_large",
            Self::TargetTooLong => "request_target_too_long",
            Self::ClientBody => "http1.codec_error",
            Self::BadHost => "missing_host_header",
            Self::LowVersion => "low_version",
            Self::BadPath => "path_normalization_failed",
            Self::UpgradeRefused => "upgrade_failed",
            Self::Quarantined => "quarantined",
            Self::Misdirected => "misdirected_request",
            Self::Overflow => "upstream_reset_before_response_started{overflow}",
            Self::FaultAbort(_) => "fault_filter_abort",
        }
    }

    /// The answer. A gRPC caller gets status 200 with the failure in `grpc-status`.
    pub fn reply(self, is_grpc: bool, is_retried: bool) -> Response<ReplyBody> {
        let (status, body) = (self.status(), self.body(is_retried));
        let mut reply = match self {
            Self::FaultAbort(AbortStatus::Grpc(code)) => grpc(code.into(), body.as_bytes()),
            _ => local(status, Bytes::copy_from_slice(body.as_bytes()), is_grpc),
        };
        if matches!(self, Self::UpgradeRefused | Self::BadCoding) {
            // What follows was meant for a protocol that is not spoken here.
            reply.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if self == Self::Overflow {
            reply.headers_mut().insert(OVERLOADED, HeaderValue::from_static("true"));
        }
        reply
    }
}

/// A response of the gateway's own. Whoever speaks gRPC gets it as status 200 with a `grpc-status`
/// and the body as `grpc-message`, whatever it is: Envoy 1.40 does so with direct responses and
/// redirects too.
pub fn local(status: StatusCode, body: Bytes, is_grpc: bool) -> Response<ReplyBody> {
    if is_grpc {
        return grpc(grpc_status(status), &body);
    }
    let plain = (!body.is_empty()).then(|| HeaderValue::from_static("text/plain"));
    let mut response = Response::new(ReplyBody::full(body));
    *response.status_mut() = status;
    if let Some(plain) = plain {
        response.headers_mut().insert(header::CONTENT_TYPE, plain);
    }
    response
}

fn grpc(code: u16, message: &[u8]) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::full(Bytes::new()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(HeaderName::from_static("grpc-status"), HeaderValue::from(code));
    if !message.is_empty()
        && let Ok(message) = HeaderValue::try_from(percent_encoded(message))
    {
        headers.insert(HeaderName::from_static("grpc-message"), message);
    }
    response
}

/// As gRPC wants its messages: printable ASCII but for `%`, the rest as escapes.
fn percent_encoded(message: &[u8]) -> String {
    message.iter().fold(String::with_capacity(message.len()), |mut out, byte| {
        match byte {
            b' '..=b'~' if *byte != b'%' => out.push(char::from(*byte)),
            // Writing to a string does not fail.
            _ => drop(write!(out, "%{byte:02X}")),
        }
        out
    })
}

/// HTTP status of a local reply to gRPC status (Istio contract 2.12, last line).
fn grpc_status(status: StatusCode) -> u16 {
    match status.as_u16() {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_worded_as_envoy_words_them() {
        // All as Envoy 1.40 answers.
        let reset = "upstream connect error or disconnect/reset before headers. ";
        for (error, reason) in [
            (ProxyError::ConnectFailed, "remote connection failure"),
            (ProxyError::ConnectTimedOut, "connection timeout"),
            (ProxyError::UpstreamClosed, "connection termination"),
            (ProxyError::UpstreamReset, "remote reset"),
            (ProxyError::UpstreamRefused, "remote refused stream reset"),
            (ProxyError::UpstreamProtocol, "protocol error"),
            (ProxyError::Overflow, "overflow"),
        ] {
            assert_eq!(error.body(false), format!("{reset}reset reason: {reason}"));
            let retried = format!("{reset}retried and the latest reset reason: {reason}");
            assert_eq!(error.body(true), retried);
        }
        for is_retried in [false, true] {
            assert_eq!(ProxyError::NoHealthyUpstream.body(is_retried), "no healthy upstream");
            assert_eq!(ProxyError::TryTimedOut.body(is_retried), "upstream request timeout");
            assert_eq!(ProxyError::RouteNotFound.body(is_retried), "");
        }
    }

    #[test]
    fn grpc_callers_get_the_body_as_an_encoded_message() {
        let told = |status, body: &'static str| {
            let reply = local(StatusCode::from_u16(status).unwrap(), body.into(), true);
            let header = |name| reply.headers().get(name).map(|v| v.to_str().unwrap().to_owned());
            (reply.status().as_u16(), header("grpc-status"), header("grpc-message"))
        };
        let some = |text: &str| Some(text.to_owned());
        for (status, body, expected) in [
            (200, "hi", (200, some("2"), some("hi"))),
            (503, "50% busy\n", (200, some("14"), some("50%25 busy%0A"))),
            (404, "", (200, some("12"), None)),
            (400, "ü", (200, some("13"), some("%C3%BC"))),
        ] {
            assert_eq!(told(status, body), expected, "{status} {body}");
        }
    }
}
