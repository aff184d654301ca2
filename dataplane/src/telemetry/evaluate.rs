//! Conditions and values over a finished record: filters of access logs, labels of metrics.
//! Compiled once per snapshot.

use std::borrow::Cow;

use fairway_shared::condition::{Attribute, Comparison, Condition, TextTest, Value};
use fairway_shared::pattern;
use regex::bytes::Regex;

use super::access_log::format::{Place, at, place};
use super::record::{Capture, Record, Side};

/// A compiled condition.
#[derive(Debug)]
pub enum Test {
    /// All hold.
    All(Box<[Test]>),
    /// One holds.
    Any(Box<[Test]>),
    /// It does not hold.
    Not(Box<Test>),
    /// Two values compare so.
    Compare(Operand, Comparison, Operand),
    /// The value is one of these.
    In(Operand, Box<[Operand]>),
    /// The text begins, ends or contains so.
    Text(Operand, TextTest, Box<[u8]>),
    /// The text matches.
    Matches(Operand, Regex),
    /// There is a value.
    Has(Operand),
    /// Always or never.
    Constant(bool),
}

/// A compiled value.
#[derive(Debug)]
pub enum Operand {
    /// As written.
    Number(i64),
    /// As written.
    Text(Box<str>),
    /// Found at that place of the record.
    Place(Place, bool),
    /// Any other attribute.
    Attribute(Attribute),
}

/// A value of one record.
#[derive(Debug, Clone, PartialEq)]
enum Got<'a> {
    Absent,
    Number(i64),
    Bytes(Cow<'a, [u8]>),
}

impl Test {
    /// Compiles a condition; what it wants of headers is added to `capture`. `None` if one of its
    /// patterns is none.
    pub fn new(source: &Condition, capture: &mut Capture) -> Option<Self> {
        let mut all = |parts: &[Condition]| -> Option<Box<[Test]>> {
            parts.iter().map(|part| Self::new(part, capture)).collect()
        };
        Some(match source {
            Condition::All(parts) => Self::All(all(parts)?),
            Condition::Any(parts) => Self::Any(all(parts)?),
            Condition::Not(inner) => Self::Not(Box::new(Self::new(inner, capture)?)),
            Condition::Compare(left, how, right) => {
                Self::Compare(Operand::new(left, capture), *how, Operand::new(right, capture))
            }
            Condition::In(value, list) => {
                let value = Operand::new(value, capture);
                Self::In(value, list.iter().map(|one| Operand::new(one, capture)).collect())
            }
            Condition::Text(value, TextTest::Matches, text) => {
                Self::Matches(Operand::new(value, capture), pattern::search(text).ok()?)
            }
            Condition::Text(value, test, text) => {
                Self::Text(Operand::new(value, capture), *test, text.as_bytes().into())
            }
            Condition::Has(value) => Self::Has(Operand::new(value, capture)),
            Condition::Constant(holds) => Self::Constant(*holds),
        })
    }

    /// Does it hold for this record?
    pub fn holds(&self, record: &Record) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(record)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(record)),
            Self::Not(inner) => !inner.holds(record),
            Self::Compare(left, how, right) => compare(&left.get(record), *how, &right.get(record)),
            Self::In(value, list) => {
                let value = value.get(record);
                list.iter().any(|one| one.get(record).order(&value).is_eq())
            }
            Self::Text(value, test, text) => {
                let value = value.get(record);
                let value = value.bytes();
                match test {
                    TextTest::Prefix => value.starts_with(text),
                    TextTest::Suffix => value.ends_with(text),
                    TextTest::Contains | TextTest::Matches => {
                        text.is_empty() || value.windows(text.len()).any(|part| *part == **text)
                    }
                }
            }
            Self::Matches(value, pattern) => pattern.is_match(&value.get(record).bytes()),
            Self::Has(value) => value.get(record) != Got::Absent,
            Self::Constant(holds) => *holds,
        }
    }
}

fn compare(left: &Got<'_>, how: Comparison, right: &Got<'_>) -> bool {
    let order = left.order(right);
    match how {
        Comparison::Equal => order.is_eq(),
        Comparison::NotEqual => order.is_ne(),
        Comparison::Less => order.is_lt(),
        Comparison::LessOrEqual => order.is_le(),
        Comparison::Greater => order.is_gt(),
        Comparison::GreaterOrEqual => order.is_ge(),
    }
}

impl Operand {
    /// Compiles a value.
    pub fn new(source: &Value, capture: &mut Capture) -> Self {
        let mut header = |side, name: &str| Self::Place(place(side, name, capture), false);
        match source {
            Value::Number(number) => Self::Number(*number),
            Value::Text(text) => Self::Text(text.as_str().into()),
            Value::Attribute(attribute) => match attribute {
                Attribute::RequestHeader(name) => header(Side::Request, name),
                Attribute::ResponseHeader(name) => header(Side::Response, name),
                Attribute::RequestId => header(Side::Request, "x-request-id"),
                Attribute::RequestUserAgent => header(Side::Request, "user-agent"),
                Attribute::RequestHost => Self::Place(Place::Authority, false),
                Attribute::RequestMethod => Self::Place(Place::Method, false),
                Attribute::RequestScheme => Self::Place(Place::Scheme, false),
                Attribute::RequestPath => Self::Place(Place::OriginalPath, false),
                Attribute::RequestUrlPath => Self::Place(Place::OriginalPath, true),
                other => Self::Attribute(other.clone()),
            },
        }
    }

    /// As a label has it; the empty text if absent.
    pub fn text(&self, record: &Record) -> String {
        String::from_utf8_lossy(&self.get(record).bytes()).into_owned()
    }

    fn get<'a>(&'a self, record: &'a Record) -> Got<'a> {
        match self {
            Self::Number(number) => Got::Number(*number),
            Self::Text(text) => Got::Bytes(text.as_bytes().into()),
            Self::Place(place, cuts_query) => match at(record, *place) {
                Some(bytes) if *cuts_query => {
                    let path = bytes.split(|byte| *byte == b'?').next();
                    Got::Bytes(path.unwrap_or_default().into())
                }
                Some(bytes) => Got::Bytes(bytes.into()),
                None => Got::Absent,
            },
            Self::Attribute(attribute) => of(attribute, record),
        }
    }
}

fn of<'a>(attribute: &Attribute, record: &'a Record) -> Got<'a> {
    let number = |number: u64| Got::Number(i64::try_from(number).unwrap_or(i64::MAX));
    let shown = |value: Option<String>| match value {
        Some(value) => Got::Bytes(value.into_bytes().into()),
        None => Got::Absent,
    };
    let text =
        |text: Option<&'a str>| text.map_or(Got::Absent, |text| Got::Bytes(text.as_bytes().into()));
    match attribute {
        Attribute::RequestProtocol => text(record.protocol),
        Attribute::RequestSize => number(record.received_bytes),
        Attribute::RequestDuration => {
            number(u64::try_from(record.duration.as_millis()).unwrap_or(u64::MAX))
        }
        Attribute::ResponseCode => number(record.status.into()),
        Attribute::ResponseCodeDetails => text(record.details),
        Attribute::ResponseFlags => shown(Some(record.flags.to_string())),
        Attribute::ResponseGrpcStatus => {
            record.grpc_status.map_or(Got::Absent, |status| number(status.into()))
        }
        Attribute::ResponseSize => number(record.sent_bytes),
        Attribute::SourceAddress => shown(record.ends.map(|ends| ends.remote.to_string())),
        Attribute::DestinationAddress => shown(record.ends.map(|ends| ends.local.to_string())),
        Attribute::UpstreamAddress => shown(record.upstream.map(|address| address.to_string())),
        Attribute::ServerName => text(record.server_name.as_deref()),
        Attribute::TlsVersion => text(record.tls.as_ref().map(|tls| tls.version)),
        Attribute::RouteName => text(record.route.as_ref().map(|route| route.name.as_str())),
        Attribute::ClusterName => shown(record.cluster.as_ref().map(|cluster| cluster.to_string())),
        // These are places, found when the operand was compiled.
        Attribute::RequestHost
        | Attribute::RequestMethod
        | Attribute::RequestPath
        | Attribute::RequestUrlPath
        | Attribute::RequestScheme
        | Attribute::RequestId
        | Attribute::RequestUserAgent
        | Attribute::RequestHeader(_)
        | Attribute::ResponseHeader(_) => Got::Absent,
    }
}

impl Got<'_> {
    fn bytes(&self) -> Cow<'_, [u8]> {
        match self {
            Self::Absent => Cow::Borrowed(&[]),
            Self::Number(number) => Cow::Owned(number.to_string().into_bytes()),
            Self::Bytes(bytes) => Cow::Borrowed(bytes),
        }
    }

    /// Numbers by value, all else as texts.
    fn order(&self, other: &Got<'_>) -> std::cmp::Ordering {
        match (self, other) {
            (Self::Number(one), Got::Number(other)) => one.cmp(other),
            _ => self.bytes().cmp(&other.bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::flag::Flags;
    use fairway_shared::condition;
    use http::Method;
    use http::header::{HeaderName, HeaderValue};

    fn holds(text: &str) -> bool {
        let mut capture = Capture::default();
        let test = Test::new(&condition::parse(text).unwrap(), &mut capture).unwrap();
        let mut record = Record {
            method: Some(Method::GET),
            path: Some("/a/b?c=d".parse().unwrap()),
            authority: Some(HeaderValue::from_static("a.example")),
            status: 503,
            flags: Flags::UPSTREAM_CLOSED,
            ..Record::default()
        };
        let header = (HeaderName::from_static("x-a"), HeaderValue::from_static("10"));
        capture.take(Side::Request, &[header].into_iter().collect(), &mut record.fields);
        test.holds(&record)
    }

    #[test]
    fn conditions_hold_as_they_read() {
        for text in [
            "response.code >= 400",
            "response.code == 503 && request.method == 'GET'",
            "!(response.code < 500) || false",
            "request.url_path == '/a/b'",
            "request.path.endsWith('c=d')",
            "request.url_path.startsWith('/a')",
            "request.host.contains('.ex')",
            "request.host.matches('^a[.]')",
            "request.headers['X-A'] == '10'",
            "request.headers['x-a'] == 10",
            "has(request.headers['x-a']) && !has(request.headers['x-b'])",
            "request.headers['x-b'] == ''",
            "response.code in [200, 503]",
            "response.flags == 'UC'",
            "true",
        ] {
            assert!(holds(text), "{text}");
            assert!(!holds(&format!("!({text})")), "not {text}");
        }
    }
}
