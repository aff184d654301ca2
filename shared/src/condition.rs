//! Conditions and values over a request: the part of CEL that telemetry settings use
//! (Istio contract 6.1). Control checks them with the same parser that a worker compiles them
//! with; what lies beyond is an error that names what is missing.
//!
//! | form | examples |
//! | --- | --- |
//! | attributes | `response.code`, `request.url_path`, `request.headers['x-a']` |
//! | literals | `200`, `'text'`, `true` |
//! | tests | `==` `!=` `<` `<=` `>` `>=` `in [..]`, `.startsWith(..)`, `.endsWith(..)`, `.contains(..)`, `.matches(..)`, `has(..)` |
//! | together | `&&` <code>\|\|</code> `!` `( )` |

mod parse;

pub use parse::{ConditionError, parse, parse_value};

/// A test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// All hold.
    All(Vec<Condition>),
    /// One holds.
    Any(Vec<Condition>),
    /// It does not hold.
    Not(Box<Condition>),
    /// Two values compare so. An absent one compares as the empty text.
    Compare(Value, Comparison, Value),
    /// The value is one of these.
    In(Value, Vec<Value>),
    /// A test on a text.
    Text(Value, TextTest, String),
    /// There is a value.
    Has(Value),
    /// `true` or `false`.
    Constant(bool),
}

/// How two values compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// A test on a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextTest {
    /// `startsWith`
    Prefix,
    /// `endsWith`
    Suffix,
    /// `contains`
    Contains,
    /// `matches`: RE2 syntax, anywhere in the text.
    Matches,
}

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A number as written.
    Number(i64),
    /// A text as written.
    Text(String),
    /// Of the request.
    Attribute(Attribute),
}

macro_rules! attributes {
    ($($variant:ident = $name:literal, $doc:literal;)*) => {
        /// What a condition can ask of a request.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Attribute {
            $(#[doc = $doc] $variant,)*
            /// `request.headers['name']`, lower case.
            RequestHeader(String),
            /// `response.headers['name']`, lower case.
            ResponseHeader(String),
        }

        impl Attribute {
            fn named(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

attributes! {
    RequestHost = "request.host", "Host or `:authority`.";
    RequestMethod = "request.method", "Method.";
    RequestPath = "request.path", "Path with query.";
    RequestUrlPath = "request.url_path", "Path without query.";
    RequestProtocol = "request.protocol", "`HTTP/1.1` or `HTTP/2`.";
    RequestScheme = "request.scheme", "`http` or `https`.";
    RequestId = "request.id", "`x-request-id`.";
    RequestUserAgent = "request.useragent", "`user-agent`.";
    RequestSize = "request.size", "Body bytes from the client.";
    RequestDuration = "request.duration", "Milliseconds in all.";
    ResponseCode = "response.code", "Status.";
    ResponseCodeDetails = "response.code_details", "Who decided the response, and why.";
    ResponseFlags = "response.flags", "Letters; the reference has a number here.";
    ResponseGrpcStatus = "response.grpc_status", "`grpc-status`.";
    ResponseSize = "response.size", "Body bytes to the client.";
    SourceAddress = "source.address", "Client address and port.";
    DestinationAddress = "destination.address", "Address and port the client connected to.";
    UpstreamAddress = "upstream.address", "Address and port of the endpoint.";
    ServerName = "connection.requested_server_name", "SNI.";
    TlsVersion = "connection.tls_version", "`TLSv1.3`.";
    RouteName = "xds.route_name", "Name of the route.";
    ClusterName = "xds.cluster_name", "Key of the cluster.";
}
