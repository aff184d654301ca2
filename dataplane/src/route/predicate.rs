//! Tests on a request other than the path: headers, pseudo headers, query parameters
//! (Istio contract 2.6). Compiled from the snapshot once, asked per request without allocating.

use fairway_shared::pattern::{self, PatternError};
use fairway_shared::snapshot::route::{HeaderMatch, QueryMatch, RouteMatch, StringMatch};
use http::HeaderMap;
use http::header::HeaderName;
use regex::bytes::Regex;

/// What the tests look at.
#[derive(Debug, Clone, Copy)]
pub struct RequestView<'a> {
    /// Canonical host: lower case, without port.
    pub host: &'a str,
    /// `:authority` or Host as received, port included.
    pub authority: &'a str,
    /// Normalised, without query.
    pub path: &'a str,
    /// Raw, without the question mark.
    pub query: Option<&'a str>,
    /// Method.
    pub method: &'a str,
    /// `http` or `https`.
    pub scheme: &'a str,
    /// All headers.
    pub headers: &'a HeaderMap,
}

/// A test on a text.
#[derive(Debug, Clone)]
pub enum TextTest {
    /// There is a value.
    Present,
    /// Byte equality.
    Exact(Box<str>),
    /// Byte prefix.
    Prefix(Box<str>),
    /// Whole value.
    Regex(Box<Regex>),
}

impl TextTest {
    /// # Errors
    /// The pattern's.
    pub fn new(test: &StringMatch) -> Result<Self, PatternError> {
        Ok(match test {
            StringMatch::Present => Self::Present,
            StringMatch::Exact(text) => Self::Exact(text.as_str().into()),
            StringMatch::Prefix(text) => Self::Prefix(text.as_str().into()),
            StringMatch::Regex(text) => Self::Regex(Box::new(pattern::full_match(text)?)),
        })
    }

    /// Does the test hold for a value that is there?
    pub fn holds(&self, value: &[u8]) -> bool {
        match self {
            Self::Present => true,
            Self::Exact(text) => value == text.as_bytes(),
            Self::Prefix(text) => value.starts_with(text.as_bytes()),
            Self::Regex(regex) => regex.is_match(value),
        }
    }
}

/// Where a header test looks.
#[derive(Debug, Clone)]
enum Subject {
    Method,
    Scheme,
    Authority,
    Path,
    Header(HeaderName),
    /// A name that no header can have.
    Nowhere,
}

#[derive(Debug, Clone)]
struct HeaderTest {
    subject: Subject,
    value: TextTest,
    inverted: bool,
    absent_is_empty: bool,
}

#[derive(Debug, Clone)]
struct QueryTest {
    name: Box<str>,
    value: TextTest,
}

/// All tests of a route but the one on the path.
#[derive(Debug, Clone, Default)]
pub struct Predicates {
    headers: Box<[HeaderTest]>,
    query: Box<[QueryTest]>,
}

impl Predicates {
    /// # Errors
    /// The first bad pattern's.
    pub fn new(matches: &RouteMatch) -> Result<Self, PatternError> {
        Ok(Self {
            headers: matches.headers.iter().map(header_test).collect::<Result<_, _>>()?,
            query: matches.query.iter().map(query_test).collect::<Result<_, _>>()?,
        })
    }

    /// Do all of them hold?
    pub fn hold(&self, request: &RequestView<'_>) -> bool {
        self.headers.iter().all(|test| test.holds(request))
            && self.query.iter().all(|test| test.holds(request.query))
    }
}

fn header_test(test: &HeaderMatch) -> Result<HeaderTest, PatternError> {
    let subject = match test.name.as_str() {
        ":method" => Subject::Method,
        ":scheme" => Subject::Scheme,
        ":authority" | "host" => Subject::Authority,
        ":path" => Subject::Path,
        name => HeaderName::from_bytes(name.as_bytes()).map_or(Subject::Nowhere, Subject::Header),
    };
    Ok(HeaderTest {
        subject,
        value: TextTest::new(&test.value)?,
        inverted: test.inverted,
        absent_is_empty: test.absent_is_empty,
    })
}

fn query_test(test: &QueryMatch) -> Result<QueryTest, PatternError> {
    Ok(QueryTest { name: test.name.as_str().into(), value: TextTest::new(&test.value)? })
}

impl HeaderTest {
    fn holds(&self, request: &RequestView<'_>) -> bool {
        let one = |value: &str| self.value.holds(value.as_bytes());
        let holds = match &self.subject {
            Subject::Method => one(request.method),
            Subject::Scheme => one(request.scheme),
            Subject::Authority => one(request.authority),
            Subject::Path => match request.query {
                None => one(request.path),
                Some(query) => one(&format!("{}?{query}", request.path)),
            },
            Subject::Nowhere => self.absent_is_empty && self.value.holds(b""),
            Subject::Header(name) => {
                let mut values = request.headers.get_all(name).iter().peekable();
                match values.peek() {
                    None => self.absent_is_empty && self.value.holds(b""),
                    Some(_) => values.any(|value| self.value.holds(value.as_bytes())),
                }
            }
        };
        holds != self.inverted
    }
}

impl QueryTest {
    fn holds(&self, query: Option<&str>) -> bool {
        let pairs = query.unwrap_or_default().split('&');
        let mut named = pairs.filter_map(|pair| match pair.split_once('=') {
            Some((name, value)) => (name == &*self.name).then_some(value),
            None => (pair == &*self.name && !pair.is_empty()).then_some(""),
        });
        named.next().is_some_and(|value| self.value.holds(value.as_bytes()))
    }
}
