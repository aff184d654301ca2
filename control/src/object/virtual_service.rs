//! `networking.istio.io` VirtualService (Istio contract 2).

use std::collections::BTreeMap;

use serde::Deserialize;

use super::tcp_route::{TcpRoute, TlsRoute};

/// `spec`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VirtualService {
    /// Empty makes the object a delegate.
    pub hosts: Vec<String>,
    /// Empty means `mesh`: an ingress gateway then ignores the object.
    pub gateways: Vec<String>,
    /// HTTP routes.
    pub http: Vec<HttpRoute>,
    /// TLS routes by SNI.
    pub tls: Vec<TlsRoute>,
    /// TCP routes.
    pub tcp: Vec<TcpRoute>,
    /// Visibility.
    #[serde(alias = "export_to")]
    pub export_to: Vec<String>,
}

/// `spec.http[]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRoute {
    /// Route name.
    pub name: String,
    /// Alternatives; none = unconditional.
    #[serde(rename = "match")]
    pub matches: Vec<HttpMatch>,
    /// Weighted destinations.
    pub route: Vec<RouteDestination>,
    /// Instead of `route`.
    pub redirect: Option<Redirect>,
    /// Instead of `route`.
    #[serde(alias = "direct_response")]
    pub direct_response: Option<DirectResponse>,
    /// Instead of `route`.
    pub delegate: Option<Delegate>,
    /// Path and authority changes.
    pub rewrite: Option<Rewrite>,
    /// Go duration.
    pub timeout: Option<String>,
    /// Retries; absent = the built-in default.
    pub retries: Option<Retries>,
    /// Injected faults.
    pub fault: Option<Fault>,
    /// One mirror.
    pub mirror: Option<Destination>,
    /// Share for `mirror`.
    #[serde(alias = "mirror_percentage")]
    pub mirror_percentage: Option<Percent>,
    /// Deprecated integer share for `mirror`.
    #[serde(alias = "mirror_percent")]
    pub mirror_percent: Option<u32>,
    /// Several mirrors.
    pub mirrors: Vec<MirrorPolicy>,
    /// Cross-origin policy.
    #[serde(alias = "cors_policy")]
    pub cors_policy: Option<CorsPolicy>,
    /// Header operations.
    pub headers: Option<Headers>,
}

/// `spec.http[].match[]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpMatch {
    /// Match name.
    pub name: String,
    /// Path.
    pub uri: Option<StringMatch>,
    /// `:scheme`.
    pub scheme: Option<StringMatch>,
    /// `:method`.
    pub method: Option<StringMatch>,
    /// `:authority`.
    pub authority: Option<StringMatch>,
    /// Must hold.
    pub headers: BTreeMap<String, StringMatch>,
    /// Must not hold.
    #[serde(alias = "without_headers")]
    pub without_headers: BTreeMap<String, StringMatch>,
    /// Must hold.
    #[serde(alias = "query_params")]
    pub query_params: BTreeMap<String, StringMatch>,
    /// The Gateway server's port as written.
    pub port: u32,
    /// Labels of the gateway pod.
    #[serde(alias = "source_labels")]
    pub source_labels: BTreeMap<String, String>,
    /// Namespace of the gateway pod.
    #[serde(alias = "source_namespace")]
    pub source_namespace: String,
    /// Gateways this entry is limited to.
    pub gateways: Vec<String>,
    /// Exact and prefix path tests ignore case.
    #[serde(alias = "ignore_uri_case")]
    pub ignore_uri_case: bool,
    /// For statistics.
    #[serde(alias = "stat_prefix")]
    pub stat_prefix: String,
}

/// A text test: at most one field is set; none means presence.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StringMatch {
    /// Byte equality.
    pub exact: Option<String>,
    /// Byte prefix.
    pub prefix: Option<String>,
    /// RE2 syntax over the whole value.
    pub regex: Option<String>,
}

/// `spec.http[].route[]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RouteDestination {
    /// Required.
    pub destination: Option<Destination>,
    /// Relative.
    pub weight: i64,
    /// Header operations.
    pub headers: Option<Headers>,
}

/// A destination.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Destination {
    /// Service host, short or full.
    pub host: String,
    /// Subset of its DestinationRule.
    pub subset: String,
    /// Service port.
    pub port: Option<PortSelector>,
}

/// `port: {number}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct PortSelector {
    /// 1 to 65535.
    pub number: u32,
}

/// `spec.http[].redirect`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Redirect {
    /// New path.
    pub uri: String,
    /// In place of the matched prefix.
    #[serde(alias = "prefix_rewrite")]
    pub prefix_rewrite: String,
    /// New host.
    pub authority: String,
    /// New port.
    pub port: Option<u32>,
    /// `FROM_REQUEST_PORT` or `FROM_PROTOCOL_DEFAULT`.
    #[serde(alias = "derive_port")]
    pub derive_port: String,
    /// `http` or `https`.
    pub scheme: String,
    /// 0 = 301.
    #[serde(alias = "redirect_code")]
    pub redirect_code: u32,
}

/// `spec.http[].directResponse`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DirectResponse {
    /// 200 to 599.
    pub status: u32,
    /// Optional.
    pub body: Option<Body>,
}

/// `directResponse.body`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Body {
    /// Text.
    pub string: Option<String>,
    /// Base64.
    pub bytes: Option<String>,
}

/// `spec.http[].delegate`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Delegate {
    /// Object name.
    pub name: String,
    /// Empty = the root's.
    pub namespace: String,
}

/// `spec.http[].rewrite`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rewrite {
    /// Path or prefix.
    pub uri: String,
    /// Host.
    pub authority: String,
    /// Substitution.
    #[serde(alias = "uri_regex_rewrite")]
    pub uri_regex_rewrite: Option<RegexRewrite>,
}

/// `rewrite.uriRegexRewrite`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct RegexRewrite {
    /// Pattern.
    #[serde(rename = "match")]
    pub pattern: String,
    /// Text with `\N`.
    pub rewrite: String,
}

/// `spec.http[].retries`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Retries {
    /// 0 disables.
    pub attempts: i64,
    /// Go duration.
    #[serde(alias = "per_try_timeout")]
    pub per_try_timeout: Option<String>,
    /// Comma list.
    #[serde(alias = "retry_on")]
    pub retry_on: String,
    /// Go duration.
    pub backoff: Option<String>,
    /// Default true.
    #[serde(alias = "retry_ignore_previous_hosts")]
    pub retry_ignore_previous_hosts: Option<bool>,
    /// Default false.
    #[serde(alias = "retry_remote_localities")]
    pub retry_remote_localities: Option<bool>,
}

/// `spec.http[].fault`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Fault {
    /// Before the abort.
    pub delay: Option<FaultDelay>,
    /// Instead of forwarding.
    pub abort: Option<FaultAbort>,
}

/// `fault.delay`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FaultDelay {
    /// Go duration.
    #[serde(alias = "fixed_delay")]
    pub fixed_delay: Option<String>,
    /// Rejected.
    #[serde(alias = "exponential_delay")]
    pub exponential_delay: Option<String>,
    /// Absent = never.
    pub percentage: Option<Percent>,
    /// Deprecated integer.
    pub percent: Option<u32>,
}

/// `fault.abort`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FaultAbort {
    /// 200 to 599.
    #[serde(alias = "http_status")]
    pub http_status: Option<u32>,
    /// Name such as `UNAVAILABLE`.
    #[serde(alias = "grpc_status")]
    pub grpc_status: Option<String>,
    /// Not supported by Istio.
    #[serde(alias = "http2_error")]
    pub http2_error: Option<String>,
    /// Absent = never.
    pub percentage: Option<Percent>,
}

/// `{value}`, 0.0 to 100.0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Percent {
    /// 0.0 to 100.0.
    pub value: f64,
}

/// `spec.http[].mirrors[]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct MirrorPolicy {
    /// Required.
    pub destination: Option<Destination>,
    /// Absent = 100.
    pub percentage: Option<Percent>,
}

/// `spec.http[].corsPolicy`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CorsPolicy {
    /// Deprecated exact list.
    #[serde(alias = "allow_origin")]
    pub allow_origin: Vec<String>,
    /// Tests on `Origin`.
    #[serde(alias = "allow_origins")]
    pub allow_origins: Vec<StringMatch>,
    /// Methods.
    #[serde(alias = "allow_methods")]
    pub allow_methods: Vec<String>,
    /// Headers.
    #[serde(alias = "allow_headers")]
    pub allow_headers: Vec<String>,
    /// Headers.
    #[serde(alias = "expose_headers")]
    pub expose_headers: Vec<String>,
    /// Go duration, whole seconds.
    #[serde(alias = "max_age")]
    pub max_age: Option<String>,
    /// Credentials.
    #[serde(alias = "allow_credentials")]
    pub allow_credentials: Option<bool>,
    /// `FORWARD` (default) or `IGNORE`.
    #[serde(alias = "unmatched_preflights")]
    pub unmatched_preflights: String,
}

/// `headers`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Headers {
    /// Before forwarding.
    pub request: Option<HeaderOperations>,
    /// Before returning.
    pub response: Option<HeaderOperations>,
}

/// `headers.request` and `headers.response`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct HeaderOperations {
    /// Overwrites.
    pub set: BTreeMap<String, String>,
    /// Appends.
    pub add: BTreeMap<String, String>,
    /// Deletes.
    pub remove: Vec<String>,
}
