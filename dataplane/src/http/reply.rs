//! Answers that the gateway makes itself: one closed list of cases, decided by `match`
//! (Istio contract 2.12).

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Response, StatusCode};

use super::flag::Flags;
use super::response::ReplyBody;
use crate::tls::fault::Fault;
use fairway_shared::snapshot::route::AbortStatus;

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
            Self::ClientBody | Self::BadCoding | Self::HeadTooLarge | Self::TargetTooLong => {
                Flags::CLIENT_PROTOCOL
            }
            Self::FaultAbort(_) => Flags::FAULT_ABORT,
            Self::Misdirected
            | Self::BadHost
            | Self::LowVersion
            | Self::BadPath
            | Self::UpgradeRefused
            | Self::Quarantined => Flags::NONE,
        }
    }

    /// Body, as Envoy words it.
    pub fn body(self) -> &'static str {
        match self {
            Self::NoHealthyUpstream => "no healthy upstream",
            Self::Overflow => {
                "upstream connect error or disconnect/reset before headers. reset reason: overflow"
            }
            Self::ConnectFailed => {
                "upstream connect error or disconnect/reset before headers. reset reason: remote \
                 connection failure"
            }
            Self::TlsFailed(fault) => fault.body(),
            Self::ConnectTimedOut => {
                "upstream connect error or disconnect/reset before headers. reset reason: \
                 connection timeout"
            }
            Self::UpstreamClosed => {
                "upstream connect error or disconnect/reset before headers. reset reason: \
                 connection termination"
            }
            Self::UpstreamReset | Self::UpstreamRefused => {
                "upstream connect error or disconnect/reset before headers. reset reason: remote \
                 reset"
            }
            Self::UpstreamProtocol => {
                "upstream connect error or disconnect/reset before headers. reset reason: protocol \
                 error"
            }
            Self::TimedOut | Self::TryTimedOut => "upstream request timeout",
            Self::StreamIdle | Self::RequestIdle => "stream timeout",
            Self::ClientBody => "Bad Request",
            Self::FaultAbort(_) => "fault filter abort",
            Self::RouteNotFound
            | Self::ClusterNotFound
            | Self::Misdirected
            | Self::BadHost
            | Self::BadCoding
            | Self::HeadTooLarge
            | Self::TargetTooLong
            | Self::LowVersion
            | Self::BadPath
            | Self::UpgradeRefused
            | Self::Quarantined => "",
        }
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
            Self::TimedOut => "upstream_response_timeout",
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
    pub fn reply(self, is_grpc: bool) -> Response<ReplyBody> {
        let (status, body) = (self.status(), self.body());
        let mut reply = match self {
            Self::FaultAbort(AbortStatus::Grpc(code)) => grpc(code.into(), body),
            _ if is_grpc => grpc(grpc_status(status), body),
            _ => text(status, body),
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

fn text(status: StatusCode, body: &'static str) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::full(Bytes::from_static(body.as_bytes())));
    *response.status_mut() = status;
    if !body.is_empty() {
        let plain = HeaderValue::from_static("text/plain");
        response.headers_mut().insert(header::CONTENT_TYPE, plain);
    }
    response
}

fn grpc(code: u16, message: &'static str) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::full(Bytes::new()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(HeaderName::from_static("grpc-status"), HeaderValue::from(code));
    if !message.is_empty() {
        let message = HeaderValue::from_static(message);
        headers.insert(HeaderName::from_static("grpc-message"), message);
    }
    response
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
