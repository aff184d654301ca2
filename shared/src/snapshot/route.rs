//! Virtual hosts and routes: the `http` section of VirtualServices, flattened
//! (Istio contract 2.4 to 2.10).
//!
//! A route is one (http entry × match) pair. Routes of a virtual host are in order of
//! precedence: the first whose predicates all hold takes the request.

use std::sync::Arc;

use bincode::{Decode, Encode};

use crate::id::ClusterId;

/// The virtual hosts of one listener (or TLS chain).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RouteTable {
    /// No two share a domain.
    pub virtual_hosts: Vec<Arc<VirtualHost>>,
}

/// One host pattern and its routes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VirtualHost {
    /// Lower case: an exact name, `*.suffix`, or `*`. An IPv6 address stands in brackets.
    pub domain: String,
    /// In order of precedence; catch-alls last.
    pub routes: Vec<Arc<Route>>,
    /// Every request is answered 301 to `https://` instead (Istio contract 1.8). Routes may then
    /// be empty.
    pub https_redirect: bool,
}

/// One flat route: a name for people, and what it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// `<http.name>.<match.name>`, either, or empty (Istio contract 2.6).
    pub name: String,
    /// The VirtualService it came from and the index of its `http` entry, for explanations:
    /// `dk-shop/user#0`.
    pub origin: String,
    /// Shared by all routes that do the same: ten thousand hosts with the same ten routes hold
    /// ten of these.
    pub spec: Arc<RouteSpec>,
}

/// What a route matches and does.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
pub struct RouteSpec {
    /// All predicates must hold.
    pub matches: RouteMatch,
    /// What is done with the request.
    pub action: RouteAction,
    /// Route-level header operations.
    pub headers: HeaderOps,
    /// Cross-origin policy (Istio contract 2.10).
    pub cors: Option<Arc<CorsPolicy>>,
    /// Injected faults (Istio contract 2.10).
    pub fault: Option<Arc<Fault>>,
}

/// Predicates on a request; all must hold (Istio contract 2.6).
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Encode, Decode)]
pub struct RouteMatch {
    /// Test on the normalised path without query.
    pub path: PathMatch,
    /// Exact and prefix path tests ignore ASCII case.
    pub ignore_case: bool,
    /// Header tests, pseudo headers `:method`, `:scheme`, `:authority` among them.
    pub headers: Vec<HeaderMatch>,
    /// Query parameter tests.
    pub query: Vec<QueryMatch>,
}

/// Test on a path.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Encode, Decode)]
pub enum PathMatch {
    /// Holds always.
    #[default]
    Any,
    /// Byte equality.
    Exact(String),
    /// Byte prefix, not segment-aware: `/foo` takes `/foobar`.
    Prefix(String),
    /// RE2 syntax, must match the whole path.
    Regex(String),
}

/// Test on a text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
pub enum StringMatch {
    /// There is a value, whatever it is.
    Present,
    /// Byte equality.
    Exact(String),
    /// Byte prefix.
    Prefix(String),
    /// RE2 syntax, must match the whole value.
    Regex(String),
}

/// Test on a request header. A header that repeats matches if one of its values does.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
pub struct HeaderMatch {
    /// Lower case; may be a pseudo header.
    pub name: String,
    /// The test.
    pub value: StringMatch,
    /// From `withoutHeaders`: the route needs the test to fail.
    pub inverted: bool,
    /// An absent header counts as the empty string. Only for inverted tests that would
    /// otherwise hold (Istio contract 2.6, truth table).
    pub absent_is_empty: bool,
}

/// Test on the first raw value of a query parameter.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
pub struct QueryMatch {
    /// Case-sensitive key.
    pub name: String,
    /// The test.
    pub value: StringMatch,
}

/// What is done with a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
pub enum RouteAction {
    /// Sent to an upstream cluster.
    Forward(Forward),
    /// Answered with a redirect.
    Redirect(Redirect),
    /// Answered by the gateway.
    Direct(DirectResponse),
}

/// Sent to one of several upstream clusters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Forward {
    /// At least one; weights are positive.
    pub destinations: Vec<Destination>,
    /// Path and authority changes.
    pub rewrite: Option<Rewrite>,
    /// For the whole request with its retries, in milliseconds; `None` = no limit.
    pub timeout_ms: Option<u64>,
    /// `None` = never retried.
    pub retry: Option<Arc<RetryPolicy>>,
    /// Copies sent elsewhere.
    pub mirrors: Vec<Mirror>,
}

/// One weighted destination.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Destination {
    /// A cluster that the snapshot may not hold: 503 `NC` then.
    pub cluster: ClusterId,
    /// Relative; the chance is weight / sum.
    pub weight: u32,
    /// Destination-level header operations.
    pub headers: HeaderOps,
    /// What the cluster hashes, if its balancer hashes and the rule says by what.
    pub hash: Option<Arc<HashKey>>,
}

/// What of a request is hashed (Istio contract 3.3). Absent from the request: no key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
pub enum HashKey {
    /// Value of a request header, lower case.
    Header(String),
    /// Value of a cookie.
    Cookie(HashCookie),
    /// The immediate peer's address.
    SourceIp,
    /// First value of a query parameter.
    QueryParameter(String),
}

/// A cookie that is hashed, and perhaps issued.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
pub struct HashCookie {
    /// Its name.
    pub name: String,
    /// `Path` of an issued one; empty = not written.
    pub path: String,
    /// Issued where absent, living this long, in milliseconds; 0 = for the session; `None` =
    /// never issued.
    pub ttl_ms: Option<u64>,
    /// Further attributes of an issued one, in order; an empty value stands alone.
    pub attributes: Vec<(String, String)>,
}

/// Path and authority changes before forwarding (Istio contract 2.8).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Rewrite {
    /// New path.
    pub path: Option<PathRewrite>,
    /// New Host upstream.
    pub authority: Option<String>,
}

/// How the path changes. The query is always kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
pub enum PathRewrite {
    /// The matched prefix, byte-wise.
    Prefix(String),
    /// The whole path.
    Full(String),
    /// Every match of `pattern`, with `\N` groups in `substitution`.
    Regex {
        /// RE2 syntax.
        pattern: String,
        /// Text with `\0` to `\9`.
        substitution: String,
    },
}

/// Answered with a redirect (Istio contract 2.8).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Redirect {
    /// New path; `Regex` does not occur.
    pub path: Option<PathRewrite>,
    /// New host; a port in the original Host is dropped then.
    pub authority: Option<String>,
    /// `http` or `https`; `None` = as the request.
    pub scheme: Option<String>,
    /// Port to name; `None` = the scheme's default, so none is named.
    pub port: Option<u16>,
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
}

/// Answered by the gateway.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
pub struct DirectResponse {
    /// 200 to 599.
    pub status: u16,
    /// At most 1 MiB.
    pub body: Vec<u8>,
}

/// Header operations of one level (Istio contract 2.8). Removal comes before set and add.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Encode, Decode)]
pub struct HeaderOps {
    /// On the request, before it is forwarded.
    pub request: HeaderEdits,
    /// On the response, before it is returned.
    pub response: HeaderEdits,
}

/// Header operations on one message. Names are lower case; values may hold `%…%` substitutions,
/// `%%` being a literal percent sign.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Encode, Decode)]
pub struct HeaderEdits {
    /// Removed first.
    pub remove: Vec<String>,
    /// Overwrites or adds.
    pub set: Vec<(String, String)>,
    /// Appends a further value.
    pub add: Vec<(String, String)>,
}

impl HeaderEdits {
    /// Nothing to do.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }
}

/// When and how a request is tried again (Istio contract 2.9).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
pub struct RetryPolicy {
    /// Tries after the first, at least 1.
    pub attempts: u32,
    /// Limit of each try in milliseconds; `None` = only the route's timeout.
    pub per_try_timeout_ms: Option<u64>,
    /// Conditions; any suffices.
    pub on: Vec<RetryOn>,
    /// Status codes that count for `RetryOn::RetriableStatusCodes`.
    pub status_codes: Vec<u16>,
    /// Base of the exponential back-off in milliseconds (25 by default), cap ten times this.
    pub backoff_ms: u32,
    /// Prefer endpoints not tried yet.
    pub ignore_previous_hosts: bool,
    /// Prefer other priorities after two tries (`retryRemoteLocalities`).
    pub remote_localities: bool,
}

/// A condition for a retry (Istio contract 2.9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum RetryOn {
    /// Any 5xx response, or no response at all.
    FiveXx,
    /// 502, 503 or 504.
    GatewayError,
    /// No response at all: reset, closed or timed out.
    Reset,
    /// Reset before the request was sent.
    ResetBeforeRequest,
    /// No connection.
    ConnectFailure,
    /// 409.
    Retriable4xx,
    /// The upstream refused the HTTP/2 stream.
    RefusedStream,
    /// One of `status_codes`.
    RetriableStatusCodes,
    /// Response marked `x-envoy-ratelimited`.
    EnvoyRatelimited,
    /// gRPC status 1 in the response headers.
    Cancelled,
    /// gRPC status 4.
    DeadlineExceeded,
    /// gRPC status 13.
    Internal,
    /// gRPC status 8.
    ResourceExhausted,
    /// gRPC status 14.
    Unavailable,
}

/// A copy of the request, sent elsewhere, its response ignored.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Mirror {
    /// Where to.
    pub cluster: ClusterId,
    /// Share of requests.
    pub share: Share,
}

/// A percentage in millionths: 1,000,000 = always, resolution 0.0001 %.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Share(pub u32);

impl Share {
    /// Always.
    pub const ALL: Self = Self(1_000_000);
}

/// Injected faults (Istio contract 2.10): the delay comes before the abort.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Fault {
    /// Milliseconds and share.
    pub delay: Option<(u64, Share)>,
    /// What to answer and for which share.
    pub abort: Option<(AbortStatus, Share)>,
}

/// What an injected abort answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub enum AbortStatus {
    /// HTTP status 200 to 599.
    Http(u16),
    /// gRPC status 0 to 16, inside HTTP 200.
    Grpc(u8),
}

/// Cross-origin policy (Istio contract 2.10).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
pub struct CorsPolicy {
    /// Tests on `Origin`; any suffices. `Exact("*")` allows every origin.
    pub allow_origins: Vec<StringMatch>,
    /// Comma-joined as configured; `None` = not emitted.
    pub allow_methods: Option<String>,
    /// Comma-joined as configured; `None` = not emitted.
    pub allow_headers: Option<String>,
    /// Comma-joined as configured; `None` = not emitted.
    pub expose_headers: Option<String>,
    /// Seconds; `None` = not emitted.
    pub max_age_secs: Option<u64>,
    /// Emits `access-control-allow-credentials: true`.
    pub allow_credentials: bool,
    /// Preflights from origins that are not allowed go upstream (the default); else the gateway
    /// answers them without CORS headers.
    pub forward_unmatched_preflights: bool,
}
