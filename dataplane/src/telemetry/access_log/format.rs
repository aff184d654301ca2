//! A log format compiled once per snapshot, and how a record becomes a line with it.

use std::io::Write;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use fairway_shared::id::ClusterId;
use fairway_shared::log_format::{
    AddressPart, End, HeaderChoice, LogFormatError, Operator, PeerField, Piece, parse,
};
use fairway_shared::snapshot::settings::LogFormat;
use http::header::HeaderName;

use super::time::{self, Pattern};
use crate::http::flag::Flags;
use crate::telemetry::record::{Capture, Record, Side, Slot};

/// What stands for a value that never came, in text.
const ABSENT: &[u8] = b"-";

/// A format ready to be written. See the module.
#[derive(Debug)]
pub enum Format {
    /// Pieces one after the other.
    Text(Box<[Part]>),
    /// One object: key as JSON text, and its pieces.
    Json(Box<[(String, Box<[Part]>)]>),
}

/// Part of a compiled format.
#[derive(Debug)]
pub enum Part {
    /// As it stands.
    Literal(Box<[u8]>),
    /// A value, cut to that many bytes if given.
    Value(Source, Option<usize>),
}

/// Where a value comes from.
#[derive(Debug)]
pub enum Source {
    /// The first of these that is there; the query of a path is cut off if asked for.
    Header(Place, Option<Place>, bool),
    /// The start, in a form of the user's.
    StartTime(Pattern),
    /// All else.
    Operator(Operator),
}

/// Where a header's value is found in a record.
#[derive(Debug, Clone, Copy)]
pub enum Place {
    /// Its method.
    Method,
    /// Its path as it went upstream.
    Path,
    /// Its path before any rewrite.
    OriginalPath,
    /// Its host.
    Authority,
    /// Its scheme.
    Scheme,
    /// Among the captured ones.
    Field(Slot),
    /// A name that no header can have.
    Nowhere,
}

/// A value before it is written.
#[derive(Debug, Clone, Copy)]
enum Value<'a> {
    Absent,
    Bytes(&'a [u8]),
    Number(u64),
    Address(SocketAddr, AddressPart),
    Start(SystemTime, Option<&'a Pattern>),
    Flags(Flags),
    Cluster(&'a ClusterId),
}

impl Format {
    /// Compiles a format; what it wants of headers is added to `capture`.
    ///
    /// # Errors
    /// The first text that is not a format.
    pub fn new(
        source: &LogFormat,
        hostname: &str,
        capture: &mut Capture,
    ) -> Result<Self, LogFormatError> {
        let mut parts = |text: &str| -> Result<Box<[Part]>, LogFormatError> {
            Ok(parse(text)?.into_iter().map(|piece| part(piece, hostname, capture)).collect())
        };
        Ok(match source {
            LogFormat::Text(text) => Self::Text(parts(text)?),
            LogFormat::Json(pairs) => {
                let pair = |(key, text): &(String, String)| {
                    Ok((serde_json::Value::from(key.as_str()).to_string(), parts(text)?))
                };
                Self::Json(pairs.iter().map(pair).collect::<Result<_, LogFormatError>>()?)
            }
        })
    }

    /// Appends the record's line; `scratch` is room to work in. A text ends as its format does.
    pub fn write(
        &self,
        record: &Record,
        now: SystemTime,
        scratch: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) {
        let writing = Writing { record, now };
        match self {
            Self::Text(parts) => writing.text(parts, out),
            Self::Json(pairs) => {
                let mut before = b"{";
                for (key, parts) in pairs {
                    out.extend_from_slice(before);
                    before = b",";
                    out.extend_from_slice(key.as_bytes());
                    out.push(b':');
                    writing.json(parts, scratch, out);
                }
                out.extend_from_slice(if pairs.is_empty() { b"{}\n" } else { b"}\n" });
            }
        }
    }
}

fn part(piece: Piece, hostname: &str, capture: &mut Capture) -> Part {
    let mut header = |side, choice: &HeaderChoice, cuts_query| {
        let mut place = |name: &str| place(side, name, capture);
        let first = place(&choice.name);
        Source::Header(first, choice.alternative.as_deref().map(place), cuts_query)
    };
    let (operator, length) = match piece {
        Piece::Literal(text) => return Part::Literal(text.into_bytes().into()),
        Piece::Value(operator, length) => (operator, length),
    };
    let source = match operator {
        Operator::Hostname => return Part::Literal(hostname.as_bytes().into()),
        Operator::Request(choice) => header(Side::Request, &choice, false),
        Operator::RequestWithoutQuery(choice) => header(Side::Request, &choice, true),
        Operator::Response(choice) => header(Side::Response, &choice, false),
        Operator::Trailer(choice) => header(Side::Trailer, &choice, false),
        Operator::StartTime(Some(pattern)) => Source::StartTime(Pattern::new(&pattern)),
        other => Source::Operator(other),
    };
    Part::Value(source, length)
}

/// Where a header is found, which is captured from now on.
pub(in crate::telemetry) fn place(side: Side, name: &str, capture: &mut Capture) -> Place {
    match (side, name) {
        (Side::Request, ":method") => Place::Method,
        (Side::Request, ":path") => Place::Path,
        (Side::Request, "x-envoy-original-path") => Place::OriginalPath,
        (Side::Request, ":authority" | "host") => Place::Authority,
        (Side::Request, ":scheme") => Place::Scheme,
        _ => HeaderName::from_str(name)
            .map_or(Place::Nowhere, |name| Place::Field(capture.slot(side, &name))),
    }
}

/// The value at a place.
pub(in crate::telemetry) fn at(record: &Record, place: Place) -> Option<&[u8]> {
    let original = || record.path.as_ref().map(|path| path.as_str().as_bytes());
    match place {
        Place::Method => record.method.as_ref().map(|method| method.as_str().as_bytes()),
        Place::Path => match &record.forwarded_path {
            Some(path) => Some(path.as_str().as_bytes()),
            None => original(),
        },
        Place::OriginalPath => original(),
        Place::Authority => record.authority.as_ref().map(|value| value.as_bytes()),
        Place::Scheme => (!record.scheme.is_empty()).then_some(record.scheme.as_bytes()),
        Place::Field(slot) => record.fields.get(slot).map(|value| value.as_bytes()),
        Place::Nowhere => None,
    }
}

#[derive(Clone, Copy)]
struct Writing<'a> {
    record: &'a Record,
    /// The record's end.
    now: SystemTime,
}

impl<'a> Writing<'a> {
    fn text(self, parts: &'a [Part], out: &mut Vec<u8>) {
        for part in parts {
            match part {
                Part::Literal(text) => out.extend_from_slice(text),
                Part::Value(source, length) => {
                    cut(*length, out, |out| self.value(source).text(out))
                }
            }
        }
    }

    /// One value alone keeps its type; a number is a number and what never came is null.
    fn json(self, parts: &'a [Part], scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
        if let [Part::Value(source, None)] = parts {
            match self.value(source) {
                Value::Absent => return out.extend_from_slice(b"null"),
                Value::Number(number) => return push(out, number),
                _ => {}
            }
        }
        scratch.clear();
        self.text(parts, scratch);
        // Writing to memory cannot fail.
        let _ = serde_json::to_writer(out, &String::from_utf8_lossy(scratch));
    }

    fn value(self, source: &'a Source) -> Value<'a> {
        let record = self.record;
        match source {
            Source::Header(first, alternative, cuts_query) => {
                let found = at(record, *first);
                let found = found.or_else(|| at(record, (*alternative)?));
                let cut = |bytes: &'a [u8]| match cuts_query {
                    true => bytes.split(|byte| *byte == b'?').next().unwrap_or_default(),
                    false => bytes,
                };
                found.map_or(Value::Absent, |bytes| Value::Bytes(cut(bytes)))
            }
            Source::StartTime(pattern) => Value::Start(self.start(), Some(pattern)),
            Source::Operator(operator) => self.operator(operator),
        }
    }

    fn start(self) -> SystemTime {
        self.now.checked_sub(self.record.duration).unwrap_or(self.now)
    }

    fn operator(self, operator: &Operator) -> Value<'a> {
        let record = self.record;
        let millis = |duration: Duration| Value::Number(millis(duration));
        let maybe = |duration: Option<Duration>| duration.map_or(Value::Absent, millis);
        match operator {
            Operator::StartTime(_) => Value::Start(self.start(), None),
            Operator::Protocol => text(record.protocol),
            Operator::ResponseCode => Value::Number(record.status.into()),
            Operator::ResponseCodeDetails => text(record.details),
            Operator::ResponseFlags => Value::Flags(record.flags),
            Operator::ConnectionTerminationDetails => text(record.termination),
            Operator::UpstreamTransportFailureReason => text(record.transport_failure),
            Operator::BytesReceived => Value::Number(record.received_bytes),
            Operator::BytesSent => Value::Number(record.sent_bytes),
            Operator::Duration => millis(record.duration),
            Operator::RequestDuration => maybe(record.received_after),
            Operator::ResponseDuration => maybe(record.answered_after),
            Operator::ResponseTxDuration => {
                maybe(record.answered_after.map(|after| record.duration.saturating_sub(after)))
            }
            Operator::UpstreamCluster => {
                record.cluster.as_deref().map_or(Value::Absent, Value::Cluster)
            }
            Operator::UpstreamRequestAttemptCount => Value::Number(record.attempts.into()),
            Operator::Address(end, part) => self.address(*end, *part),
            Operator::RequestedServerName => text(record.server_name.as_deref()),
            Operator::RouteName => text(record.route.as_ref().map(|route| route.name.as_str())),
            Operator::GrpcStatus => {
                record.grpc_status.map_or(Value::Absent, |status| Value::Number(status.into()))
            }
            Operator::DownstreamPeer(field) => self.peer(*field),
            Operator::DownstreamTlsVersion => text(record.tls.as_ref().map(|tls| tls.version)),
            Operator::DownstreamTlsCipher => text(record.tls.as_ref().map(|tls| tls.cipher)),
            // These were resolved when the format was compiled.
            Operator::Hostname
            | Operator::Request(_)
            | Operator::RequestWithoutQuery(_)
            | Operator::Response(_)
            | Operator::Trailer(_) => Value::Absent,
        }
    }

    fn address(self, end: End, part: AddressPart) -> Value<'a> {
        let record = self.record;
        let address = match end {
            End::DownstreamLocal => record.ends.map(|ends| ends.local),
            End::DownstreamRemote => record.ends.map(|ends| ends.remote),
            End::DownstreamDirectRemote => record.ends.map(|ends| ends.direct),
            End::UpstreamLocal => record.upstream_local,
            End::UpstreamHost => record.upstream,
        };
        address.map_or(Value::Absent, |address| Value::Address(address, part))
    }

    fn peer(self, field: PeerField) -> Value<'a> {
        let Some(peer) = self.record.tls.as_ref().and_then(|tls| tls.peer.as_ref()) else {
            return Value::Absent;
        };
        text(Some(match field {
            PeerField::Subject => peer.subject.as_str(),
            PeerField::Issuer => peer.issuer.as_str(),
            PeerField::UriSan => peer.uri_sans.as_str(),
            PeerField::DnsSan => peer.dns_sans.as_str(),
            PeerField::Serial => peer.serial.as_str(),
            PeerField::Fingerprint => peer.fingerprint.as_str(),
        }))
    }
}

/// The empty text counts as absent.
fn text(text: Option<&str>) -> Value<'_> {
    match text.filter(|text| !text.is_empty()) {
        Some(text) => Value::Bytes(text.as_bytes()),
        None => Value::Absent,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Value<'_> {
    fn text(self, out: &mut Vec<u8>) {
        match self {
            Value::Absent => out.extend_from_slice(ABSENT),
            Value::Bytes(bytes) => out.extend_from_slice(bytes),
            Value::Number(number) => push(out, number),
            Value::Address(address, AddressPart::Whole) => push(out, address),
            Value::Address(address, AddressPart::Ip) => push(out, address.ip()),
            Value::Address(address, AddressPart::Port) => push(out, address.port()),
            Value::Start(at, None) => time::push_iso(out, at),
            Value::Start(at, Some(pattern)) => pattern.push(out, at),
            Value::Flags(flags) => push(out, flags),
            Value::Cluster(cluster) => push(out, cluster),
        }
    }
}

fn push(out: &mut Vec<u8>, value: impl std::fmt::Display) {
    // Writing to memory cannot fail.
    let _ = write!(out, "{value}");
}

fn cut(length: Option<usize>, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    write(out);
    if let Some(length) = length {
        out.truncate(start.saturating_add(length).min(out.len()));
    }
}

#[cfg(test)]
#[path = "format_tests.rs"]
mod tests;
