//! Access-log formats: text with `%OPERATOR(argument):length%` in it (Istio contract 6.2). Control
//! checks a format with the same parser that a worker compiles it with.

use crate::snapshot::settings::LogFormat;

/// A line as the reference writes it unless told otherwise: 22 columns.
pub const DEFAULT_TEXT: &str = concat!(
    "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" ",
    "%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% ",
    "\"%UPSTREAM_TRANSPORT_FAILURE_REASON%\" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% ",
    "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" ",
    "\"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\" %UPSTREAM_CLUSTER_RAW% ",
    "%UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% ",
    "%REQUESTED_SERVER_NAME% %ROUTE_NAME%\n",
);

/// Keys and operators of the JSON form, in order of key.
pub const DEFAULT_JSON: &[(&str, &str)] = &[
    ("authority", "%REQ(:AUTHORITY)%"),
    ("bytes_received", "%BYTES_RECEIVED%"),
    ("bytes_sent", "%BYTES_SENT%"),
    ("connection_termination_details", "%CONNECTION_TERMINATION_DETAILS%"),
    ("downstream_local_address", "%DOWNSTREAM_LOCAL_ADDRESS%"),
    ("downstream_remote_address", "%DOWNSTREAM_REMOTE_ADDRESS%"),
    ("duration", "%DURATION%"),
    ("method", "%REQ(:METHOD)%"),
    ("path", "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%"),
    ("protocol", "%PROTOCOL%"),
    ("request_id", "%REQ(X-REQUEST-ID)%"),
    ("requested_server_name", "%REQUESTED_SERVER_NAME%"),
    ("response_code", "%RESPONSE_CODE%"),
    ("response_code_details", "%RESPONSE_CODE_DETAILS%"),
    ("response_flags", "%RESPONSE_FLAGS%"),
    ("route_name", "%ROUTE_NAME%"),
    ("start_time", "%START_TIME%"),
    ("upstream_cluster", "%UPSTREAM_CLUSTER_RAW%"),
    ("upstream_host", "%UPSTREAM_HOST%"),
    ("upstream_local_address", "%UPSTREAM_LOCAL_ADDRESS%"),
    ("upstream_service_time", "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%"),
    ("upstream_transport_failure_reason", "%UPSTREAM_TRANSPORT_FAILURE_REASON%"),
    ("user_agent", "%REQ(USER-AGENT)%"),
    ("x_forwarded_for", "%REQ(X-FORWARDED-FOR)%"),
];

impl LogFormat {
    /// [`DEFAULT_TEXT`].
    pub fn default_text() -> Self {
        Self::Text(DEFAULT_TEXT.to_owned())
    }

    /// [`DEFAULT_JSON`].
    pub fn default_json() -> Self {
        let pairs = DEFAULT_JSON.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned()));
        Self::Json(pairs.collect())
    }

    /// # Errors
    /// The first text that is not a format.
    pub fn check(&self) -> Result<(), LogFormatError> {
        match self {
            Self::Text(text) => parse(text).map(drop),
            Self::Json(pairs) => pairs.iter().try_for_each(|(_, text)| parse(text).map(drop)),
        }
    }
}

/// Part of a format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// As it stands; `%%` has become `%`.
    Literal(String),
    /// A value, cut to that many bytes if given.
    Value(Operator, Option<usize>),
}

/// A header and the one asked for if it is absent, both lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderChoice {
    /// Asked first; may be `:method`, `:path`, `:authority`, `:scheme`.
    pub name: String,
    /// Asked if the first is absent.
    pub alternative: Option<String>,
}

/// What a client's certificate says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerField {
    /// `%DOWNSTREAM_PEER_SUBJECT%`.
    Subject,
    /// `%DOWNSTREAM_PEER_ISSUER%`.
    Issuer,
    /// `%DOWNSTREAM_PEER_URI_SAN%`.
    UriSan,
    /// `%DOWNSTREAM_PEER_DNS_SAN%`.
    DnsSan,
    /// `%DOWNSTREAM_PEER_SERIAL%`.
    Serial,
    /// `%DOWNSTREAM_PEER_FINGERPRINT_256%`.
    Fingerprint,
}

/// One end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Where the client connected to.
    DownstreamLocal,
    /// The client, as the trusted proxies in front name it.
    DownstreamRemote,
    /// Whoever opened the connection.
    DownstreamDirectRemote,
    /// Where the gateway connected from.
    UpstreamLocal,
    /// The endpoint.
    UpstreamHost,
}

/// How much of an address is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressPart {
    /// `10.0.0.1:80`.
    Whole,
    /// `10.0.0.1`.
    Ip,
    /// `80`.
    Port,
}

/// What stands for an operator (Istio contract 6.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operator {
    /// ISO 8601 in UTC with milliseconds, or as the `strftime` pattern says.
    StartTime(Option<String>),
    /// A request header, as it went upstream.
    Request(HeaderChoice),
    /// As `Request`, without the query of a path.
    RequestWithoutQuery(HeaderChoice),
    /// A response header.
    Response(HeaderChoice),
    /// A response trailer.
    Trailer(HeaderChoice),
    /// `HTTP/1.1` or `HTTP/2`.
    Protocol,
    /// 0 for TCP and for clients that left first.
    ResponseCode,
    /// Who decided the response, and why.
    ResponseCodeDetails,
    /// Letters, comma separated.
    ResponseFlags,
    /// Why the connection was ended by the gateway.
    ConnectionTerminationDetails,
    /// What went wrong below HTTP towards the endpoint.
    UpstreamTransportFailureReason,
    /// Body bytes from the client.
    BytesReceived,
    /// Body bytes to the client.
    BytesSent,
    /// Milliseconds from the first byte in to the last byte out.
    Duration,
    /// Milliseconds until the request was received whole.
    RequestDuration,
    /// Milliseconds until the first byte from upstream.
    ResponseDuration,
    /// Milliseconds from the first byte from upstream to the last byte out.
    ResponseTxDuration,
    /// Key of the cluster.
    UpstreamCluster,
    /// How often the request was sent.
    UpstreamRequestAttemptCount,
    /// One end's address.
    Address(End, AddressPart),
    /// SNI.
    RequestedServerName,
    /// Name of the route.
    RouteName,
    /// `grpc-status`.
    GrpcStatus,
    /// Of this host.
    Hostname,
    /// Of the client's certificate.
    DownstreamPeer(PeerField),
    /// `TLSv1.3`.
    DownstreamTlsVersion,
    /// Name of the cipher suite.
    DownstreamTlsCipher,
}

/// Why a text is not a format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogFormatError {
    /// An odd number of percent signs.
    #[error("`{text}` has a `%` without its partner: write `%%` for a percent sign")]
    Unpaired {
        /// As written.
        text: String,
    },
    /// Not among [`Operator`]s.
    #[error("`%{operator}%` is no operator that an access log can write")]
    Unknown {
        /// As written, without percent signs.
        operator: String,
    },
}

/// Takes a format apart.
///
/// # Errors
/// [`LogFormatError`].
pub fn parse(text: &str) -> Result<Vec<Piece>, LogFormatError> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        literal.push_str(before);
        let end = operator_end(after)
            .ok_or_else(|| LogFormatError::Unpaired { text: text.trim_end().to_owned() })?;
        match &after[..end] {
            "" => literal.push('%'),
            written => {
                if !literal.is_empty() {
                    pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                }
                let piece = value(written)
                    .ok_or_else(|| LogFormatError::Unknown { operator: written.to_owned() })?;
                pieces.push(piece);
            }
        }
        rest = &after[end + 1..];
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal));
    }
    Ok(pieces)
}

/// Where the closing percent sign stands: those within parentheses belong to the argument.
fn operator_end(after: &str) -> Option<usize> {
    let mut depth = 0_u32;
    after.char_indices().find_map(|(at, letter)| {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            '%' if depth == 0 => return Some(at),
            _ => {}
        }
        None
    })
}

/// `NAME(argument):length`
fn value(written: &str) -> Option<Piece> {
    let (name, argument, tail) = match written.split_once('(') {
        Some((name, rest)) => {
            let (argument, tail) = rest.rsplit_once(')')?;
            (name, Some(argument), tail)
        }
        None => match written.split_once(':') {
            Some((name, _)) => (name, None, &written[name.len()..]),
            None => (written, None, ""),
        },
    };
    let length = match tail.strip_prefix(':') {
        Some(digits) => Some(digits.parse().ok()?),
        None if tail.is_empty() => None,
        None => return None,
    };
    let operator = match argument {
        None => plain(name)?,
        Some(argument) => with_argument(name, argument)?,
    };
    Some(Piece::Value(operator, length))
}

fn with_argument(name: &str, argument: &str) -> Option<Operator> {
    let (first, alternative) = match argument.split_once('?') {
        Some((first, alternative)) => (first, Some(alternative.to_ascii_lowercase())),
        None => (argument, None),
    };
    let header = || {
        let name = first.to_ascii_lowercase();
        (!name.is_empty()).then_some(HeaderChoice { name, alternative })
    };
    Some(match name {
        "START_TIME" if argument.is_empty() => Operator::StartTime(None),
        "START_TIME" => Operator::StartTime(Some(argument.to_owned())),
        "REQ" => Operator::Request(header()?),
        "REQ_WITHOUT_QUERY" => Operator::RequestWithoutQuery(header()?),
        "RESP" => Operator::Response(header()?),
        "TRAILER" => Operator::Trailer(header()?),
        // Numbers, names in capitals and in camel case: the number is what a gateway has.
        "GRPC_STATUS" => Operator::GrpcStatus,
        _ => return None,
    })
}

fn plain(name: &str) -> Option<Operator> {
    use AddressPart::{Ip, Port, Whole};
    Some(match name {
        "START_TIME" => Operator::StartTime(None),
        "PROTOCOL" => Operator::Protocol,
        "RESPONSE_CODE" => Operator::ResponseCode,
        "RESPONSE_CODE_DETAILS" => Operator::ResponseCodeDetails,
        "RESPONSE_FLAGS" => Operator::ResponseFlags,
        "CONNECTION_TERMINATION_DETAILS" => Operator::ConnectionTerminationDetails,
        "UPSTREAM_TRANSPORT_FAILURE_REASON" => Operator::UpstreamTransportFailureReason,
        "BYTES_RECEIVED" => Operator::BytesReceived,
        "BYTES_SENT" => Operator::BytesSent,
        "DURATION" => Operator::Duration,
        "REQUEST_DURATION" => Operator::RequestDuration,
        "RESPONSE_DURATION" => Operator::ResponseDuration,
        "RESPONSE_TX_DURATION" => Operator::ResponseTxDuration,
        "UPSTREAM_CLUSTER" | "UPSTREAM_CLUSTER_RAW" => Operator::UpstreamCluster,
        "UPSTREAM_REQUEST_ATTEMPT_COUNT" => Operator::UpstreamRequestAttemptCount,
        "UPSTREAM_HOST" | "UPSTREAM_REMOTE_ADDRESS" => Operator::Address(End::UpstreamHost, Whole),
        "UPSTREAM_LOCAL_ADDRESS" => Operator::Address(End::UpstreamLocal, Whole),
        "UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT" => Operator::Address(End::UpstreamHost, Ip),
        "UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT" => Operator::Address(End::UpstreamLocal, Ip),
        "DOWNSTREAM_LOCAL_ADDRESS" => Operator::Address(End::DownstreamLocal, Whole),
        "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT" => Operator::Address(End::DownstreamLocal, Ip),
        "DOWNSTREAM_LOCAL_PORT" => Operator::Address(End::DownstreamLocal, Port),
        "DOWNSTREAM_REMOTE_ADDRESS" => Operator::Address(End::DownstreamRemote, Whole),
        "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT" => Operator::Address(End::DownstreamRemote, Ip),
        "DOWNSTREAM_REMOTE_PORT" => Operator::Address(End::DownstreamRemote, Port),
        "DOWNSTREAM_DIRECT_REMOTE_ADDRESS" => Operator::Address(End::DownstreamDirectRemote, Whole),
        "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT" => {
            Operator::Address(End::DownstreamDirectRemote, Ip)
        }
        "REQUESTED_SERVER_NAME" => Operator::RequestedServerName,
        "ROUTE_NAME" => Operator::RouteName,
        "GRPC_STATUS" | "GRPC_STATUS_NUMBER" => Operator::GrpcStatus,
        "HOSTNAME" => Operator::Hostname,
        "DOWNSTREAM_PEER_SUBJECT" => Operator::DownstreamPeer(PeerField::Subject),
        "DOWNSTREAM_PEER_ISSUER" => Operator::DownstreamPeer(PeerField::Issuer),
        "DOWNSTREAM_PEER_URI_SAN" => Operator::DownstreamPeer(PeerField::UriSan),
        "DOWNSTREAM_PEER_DNS_SAN" => Operator::DownstreamPeer(PeerField::DnsSan),
        "DOWNSTREAM_PEER_SERIAL" => Operator::DownstreamPeer(PeerField::Serial),
        "DOWNSTREAM_PEER_FINGERPRINT_256" => Operator::DownstreamPeer(PeerField::Fingerprint),
        "DOWNSTREAM_TLS_VERSION" => Operator::DownstreamTlsVersion,
        "DOWNSTREAM_TLS_CIPHER" => Operator::DownstreamTlsCipher,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[Piece]) {
        assert_eq!(parse(text).as_deref(), Ok(expected), "{text}");
    }

    fn literal(text: &str) -> Piece {
        Piece::Literal(text.into())
    }

    fn header(name: &str, alternative: Option<&str>) -> HeaderChoice {
        HeaderChoice { name: name.into(), alternative: alternative.map(Into::into) }
    }

    #[test]
    fn formats_come_apart() {
        check("", &[]);
        check("100%%\n", &[literal("100%\n")]);
        check(
            "a %PROTOCOL% b",
            &[literal("a "), Piece::Value(Operator::Protocol, None), literal(" b")],
        );
        check(
            "%REQ(X-A?x-B):12%%RESP(C)%",
            &[
                Piece::Value(Operator::Request(header("x-a", Some("x-b"))), Some(12)),
                Piece::Value(Operator::Response(header("c", None)), None),
            ],
        );
        check(
            "%START_TIME(%Y/%m/%dT%H:%M:%S%z %s)%",
            &[Piece::Value(Operator::StartTime(Some("%Y/%m/%dT%H:%M:%S%z %s".into())), None)],
        );
        check("%ROUTE_NAME:3%", &[Piece::Value(Operator::RouteName, Some(3))]);
    }

    #[test]
    fn what_is_no_operator_is_named() {
        for text in ["%NOPE%", "%REQ()%", "%REQ(a)x%", "%REQ(a):b%", "%PROTOCOL(x)%"] {
            assert!(matches!(parse(text), Err(LogFormatError::Unknown { .. })), "{text}");
        }
        assert!(matches!(parse("50%"), Err(LogFormatError::Unpaired { .. })));
    }

    #[test]
    fn the_defaults_are_formats_of_the_same_columns() {
        assert_eq!(LogFormat::default_text().check(), Ok(()));
        assert_eq!(LogFormat::default_json().check(), Ok(()));
        let values = |text| {
            let all = parse(text).unwrap().into_iter();
            all.filter(|piece| matches!(piece, Piece::Value(..))).collect::<Vec<_>>()
        };
        let text = values(DEFAULT_TEXT);
        let json: Vec<_> = DEFAULT_JSON.iter().flat_map(|(_, text)| values(text)).collect();
        assert!(text.iter().all(|column| json.contains(column)), "{text:?}\n{json:?}");
        assert_eq!(json.len(), text.len());
        assert_eq!(text.len(), 24);
    }
}
