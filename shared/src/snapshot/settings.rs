//! What the mesh says for the gateway as a whole: MeshConfig and Telemetry, compiled.

use bincode::{Decode, Encode};

use super::route::Share;

/// See the module. The default is Istio's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
pub struct GatewaySettings {
    /// Proxies in front that are trusted to append to `x-forwarded-for` (Istio contract 6.6).
    pub trusted_proxies: u32,
    /// Path normalisation before matching and forwarding (Istio contract 6.7).
    pub path_normalization: PathNormalization,
    /// What becomes of `x-forwarded-client-cert` (Istio contract 6.5).
    pub client_cert_header: ClientCertHeader,
    /// Access logs, all of which are written.
    pub access_logs: Vec<AccessLog>,
    /// Where spans go; `None` = no tracing.
    pub tracing: Option<Tracing>,
    /// What differs from Istio's standard metrics, each metric once.
    pub metrics: Vec<MetricChange>,
    /// Handshakes of a server whose Secret is gone fail; else it serves on with what it was made of.
    pub fails_without_secret: bool,
    /// When a name is resolved again whose answer says nothing usable of how long it holds, in
    /// milliseconds; `None` = 60,000 (Istio: `dnsRefreshRate`).
    pub dns_refresh_ms: Option<u64>,
}

/// Path normalisation (Istio contract 6.7).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, Decode)]
pub enum PathNormalization {
    /// As received.
    None,
    /// Dot segments resolved, `\\` to `/`, unreserved characters decoded.
    #[default]
    Base,
    /// As `Base`, and repeated slashes merged.
    MergeSlashes,
    /// As `MergeSlashes`, with `%2F` and `%5C` decoded first.
    DecodeAndMergeSlashes,
}

/// What becomes of `x-forwarded-client-cert`, Istio's `forwardClientCertDetails`
/// (Istio contract 6.5).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, Decode)]
pub enum ClientCertHeader {
    /// The client's copy goes; over mutual TLS the gateway writes its own.
    #[default]
    SanitizeSet,
    /// The client's copy goes.
    Sanitize,
    /// Over mutual TLS the client's copy stays, else it goes.
    ForwardOnly,
    /// Over mutual TLS the gateway's is appended to the client's copy, else that goes.
    AppendForward,
    /// The client's copy stays.
    AlwaysForwardOnly,
}

/// One access log (Istio contract 6.2).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct AccessLog {
    /// Path, `/dev/stdout` or `/dev/stderr`.
    pub file: String,
    /// How a line looks.
    pub format: LogFormat,
    /// Condition on the request, in the language of [`crate::condition`]; `None` = every one.
    pub filter: Option<String>,
}

/// How a line of an access log looks.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum LogFormat {
    /// Text with `%OPERATOR%`s, a line break at its end if wanted.
    Text(String),
    /// One JSON object a line: keys and their `%OPERATOR%` texts, in order.
    Json(Vec<(String, String)>),
}

/// Distributed tracing (Istio contract 6.4).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Tracing {
    /// Who collects.
    pub collector: Collector,
    /// Share of requests sampled where the caller does not say.
    pub sampling: Share,
    /// W3C `traceparent` is read and written beside B3.
    pub uses_w3c: bool,
    /// Spans are sent; if not, context is only passed on.
    pub is_reporting: bool,
    /// Tags beyond Istio's own.
    pub custom_tags: Vec<(String, CustomTag)>,
}

/// Who collects spans.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Collector {
    /// Zipkin JSON v2 over HTTP.
    Zipkin {
        /// `host:port`.
        address: String,
        /// `/api/v2/spans`.
        path: String,
    },
    /// OpenTelemetry over HTTP or gRPC.
    OpenTelemetry {
        /// `host:port`.
        address: String,
        /// Path for HTTP; `None` = gRPC.
        http_path: Option<String>,
    },
}

/// Value of a tag.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum CustomTag {
    /// As written.
    Literal(String),
    /// Environment variable of the data plane, and what stands in for it.
    Environment {
        /// Its name.
        name: String,
        /// Used if it is not set.
        default: String,
    },
    /// Request header, and what stands in for it.
    Header {
        /// Lower case.
        name: String,
        /// Used if it is absent.
        default: String,
    },
}

/// A standard metric of requests or connections (Istio contract 6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum StandardMetric {
    /// `istio_requests_total`.
    RequestCount,
    /// `istio_request_duration_milliseconds`.
    RequestDuration,
    /// `istio_request_bytes`.
    RequestSize,
    /// `istio_response_bytes`.
    ResponseSize,
    /// `istio_request_messages_total`.
    GrpcRequestMessages,
    /// `istio_response_messages_total`.
    GrpcResponseMessages,
    /// `istio_tcp_connections_opened_total`.
    TcpOpenedConnections,
    /// `istio_tcp_connections_closed_total`.
    TcpClosedConnections,
    /// `istio_tcp_sent_bytes_total`.
    TcpSentBytes,
    /// `istio_tcp_received_bytes_total`.
    TcpReceivedBytes,
}

impl StandardMetric {
    /// All, in the order of the contract's table.
    pub const ALL: [Self; 10] = [
        Self::RequestCount,
        Self::RequestDuration,
        Self::RequestSize,
        Self::ResponseSize,
        Self::GrpcRequestMessages,
        Self::GrpcResponseMessages,
        Self::TcpOpenedConnections,
        Self::TcpClosedConnections,
        Self::TcpSentBytes,
        Self::TcpReceivedBytes,
    ];
}

/// How one standard metric differs.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct MetricChange {
    /// Which.
    pub metric: StandardMetric,
    /// It is not counted at all.
    pub is_disabled: bool,
    /// Labels that differ, by name.
    pub labels: Vec<(String, LabelChange)>,
}

/// How one label differs.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum LabelChange {
    /// It is left out.
    Remove,
    /// It has the value of this expression, in the language of [`crate::condition`].
    Set(String),
}
