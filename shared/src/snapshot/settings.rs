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
    /// Access logs, all of which are written.
    pub access_logs: Vec<AccessLog>,
    /// Where spans go; `None` = no tracing.
    pub tracing: Option<Tracing>,
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

/// One access log (Istio contract 6.2).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct AccessLog {
    /// Path, `/dev/stdout` or `/dev/stderr`.
    pub file: String,
    /// How a line looks.
    pub format: LogFormat,
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
