//! Header operations, compiled (Istio contract 2.8).

use std::net::SocketAddr;

use fairway_shared::snapshot::route::HeaderEdits;
use fairway_shared::template::{self, Part};
use http::header::{HeaderMap, HeaderName, HeaderValue};

use super::predicate::RequestView;
use super::table::RouteError;

/// What substitutions may look at.
#[derive(Debug, Clone, Copy)]
pub struct EditContext<'a> {
    /// The request as received.
    pub request: RequestView<'a>,
    /// The client.
    pub remote: SocketAddr,
    /// Where it connected to.
    pub local: SocketAddr,
    /// `HTTP/1.1` or `HTTP/2`.
    pub protocol: &'static str,
}

/// A header value that may need the request.
#[derive(Debug, Clone)]
pub enum Value {
    /// Known when the table is built.
    Fixed(HeaderValue),
    /// Put together per request.
    Template(Box<[Part]>),
}

/// The operations of one level on one message.
#[derive(Debug, Clone, Default)]
pub struct Edits {
    remove: Box<[HeaderName]>,
    set: Box<[(HeaderName, Value)]>,
    add: Box<[(HeaderName, Value)]>,
    /// From `set` or `add` of Host or `:authority`: the Host sent upstream.
    pub host: Option<Value>,
}

impl Edits {
    /// # Errors
    /// The first name or value that HTTP does not allow.
    pub fn new(source: &HeaderEdits) -> Result<Self, RouteError> {
        let is_host = |name: &str| name == "host" || name == ":authority";
        let chosen = source.set.iter().chain(&source.add).find(|(name, _)| is_host(name));
        // Other pseudo headers cannot be edited and are ignored.
        let editable = |name: &str| !is_host(name) && !name.starts_with(':');
        let pairs = |edits: &[(String, String)]| {
            let edits = edits.iter().filter(|(name, _)| editable(name));
            edits
                .map(|(name, text)| Ok((header_name(name, text)?, value(name, text)?)))
                .collect::<Result<Box<[_]>, RouteError>>()
        };
        let removed = source.remove.iter().filter(|name| editable(name));
        Ok(Self {
            remove: removed.map(|name| header_name(name, "")).collect::<Result<_, _>>()?,
            set: pairs(&source.set)?,
            add: pairs(&source.add)?,
            host: chosen.map(|(name, text)| value(name, text)).transpose()?,
        })
    }

    /// Nothing to do.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty() && self.host.is_none()
    }

    /// Removes, sets, adds. A value that a substitution makes invalid is left out.
    pub fn apply(&self, headers: &mut HeaderMap, context: &EditContext<'_>) {
        for name in &self.remove {
            headers.remove(name);
        }
        for (name, value) in &self.set {
            if let Some(value) = value.resolve(context) {
                headers.insert(name, value);
            }
        }
        for (name, value) in &self.add {
            if let Some(value) = value.resolve(context) {
                headers.append(name, value);
            }
        }
    }
}

fn header_name(name: &str, value: &str) -> Result<HeaderName, RouteError> {
    HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| RouteError::Header { name: name.to_owned(), value: value.to_owned() })
}

fn value(name: &str, text: &str) -> Result<Value, RouteError> {
    let refused = || RouteError::Header { name: name.to_owned(), value: text.to_owned() };
    let parts = template::parse(text).map_err(|_| refused())?;
    let fixed = match parts.as_slice() {
        [] => "",
        [Part::Literal(text)] => text,
        _ => return Ok(Value::Template(parts.into())),
    };
    HeaderValue::from_str(fixed).map(Value::Fixed).map_err(|_| refused())
}

impl Value {
    /// The value for a request; `None` if it would not be valid HTTP.
    pub fn resolve(&self, context: &EditContext<'_>) -> Option<HeaderValue> {
        match self {
            Self::Fixed(value) => Some(value.clone()),
            Self::Template(parts) => {
                let mut bytes = Vec::new();
                parts.iter().for_each(|part| write_part(part, context, &mut bytes));
                HeaderValue::from_maybe_shared(bytes::Bytes::from(bytes)).ok()
            }
        }
    }
}

fn write_part(part: &Part, context: &EditContext<'_>, out: &mut Vec<u8>) {
    let mut text =
        |text: &dyn std::fmt::Display| out.extend_from_slice(text.to_string().as_bytes());
    match part {
        Part::Literal(literal) => text(literal),
        Part::DownstreamRemoteAddress => text(&context.remote),
        Part::DownstreamRemoteAddressWithoutPort => text(&context.remote.ip()),
        Part::DownstreamLocalAddress => text(&context.local),
        Part::DownstreamLocalAddressWithoutPort => text(&context.local.ip()),
        Part::DownstreamLocalPort => text(&context.local.port()),
        Part::Protocol => text(&context.protocol),
        Part::Hostname => text(&nix::unistd::gethostname().unwrap_or_default().to_string_lossy()),
        Part::RequestHeader { name, alternative, length_max } => {
            let found = request_value(name, context).or_else(|| {
                alternative.as_ref().and_then(|alternative| request_value(alternative, context))
            });
            let value = found.unwrap_or_default();
            let length = length_max.map_or(value.len(), |max| max.min(value.len()));
            out.extend_from_slice(&value[..length]);
        }
    }
}

fn request_value<'a>(name: &str, context: &EditContext<'a>) -> Option<&'a [u8]> {
    let request = &context.request;
    match name {
        ":method" => Some(request.method.as_bytes()),
        ":path" => Some(request.path.as_bytes()),
        ":authority" | "host" => Some(request.authority.as_bytes()),
        ":scheme" => Some(request.scheme.as_bytes()),
        name => request.headers.get(name).map(HeaderValue::as_bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edits(remove: &[&str], set: &[(&str, &str)], add: &[(&str, &str)]) -> HeaderEdits {
        let pair = |(name, value): &(&str, &str)| (name.to_string(), value.to_string());
        HeaderEdits {
            remove: remove.iter().map(ToString::to_string).collect(),
            set: set.iter().map(pair).collect(),
            add: add.iter().map(pair).collect(),
        }
    }

    fn with_context<T>(use_it: impl FnOnce(&EditContext<'_>) -> T) -> T {
        let mut headers = HeaderMap::new();
        headers.insert("x-user", HeaderValue::from_static("somebody"));
        use_it(&EditContext {
            request: RequestView {
                host: "a.example",
                authority: "a.example:80",
                path: "/p",
                query: None,
                method: "GET",
                scheme: "http",
                headers: &headers,
            },
            remote: ([10, 0, 0, 1], 5000).into(),
            local: ([10, 0, 0, 2], 80).into(),
            protocol: "HTTP/1.1",
        })
    }

    #[test]
    fn removal_comes_first_then_set_then_add() {
        let edits = Edits::new(&edits(&["x-a"], &[("x-b", "new")], &[("x-a", "1"), ("x-b", "2")]));
        let mut headers = HeaderMap::new();
        headers.insert("x-a", HeaderValue::from_static("old"));
        headers.insert("x-b", HeaderValue::from_static("old"));
        with_context(|context| edits.unwrap().apply(&mut headers, context));
        let values = |name: &str| headers.get_all(name).iter().collect::<Vec<_>>();
        assert_eq!(values("x-a"), ["1"]);
        assert_eq!(values("x-b"), ["new", "2"]);
    }

    #[test]
    fn substitutions_look_at_the_request() {
        for (text, expected) in [
            ("%DOWNSTREAM_REMOTE_ADDRESS%", "10.0.0.1:5000"),
            ("%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", "10.0.0.1"),
            ("%DOWNSTREAM_LOCAL_PORT%", "80"),
            ("<%REQ(X-User):4%>", "<some>"),
            ("%REQ(x-none?:authority)%", "a.example:80"),
            ("%PROTOCOL% 100%%", "HTTP/1.1 100%"),
        ] {
            let value = value("x", text).unwrap();
            let found = with_context(|context| value.resolve(context)).unwrap();
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn host_is_an_authority_and_other_pseudo_headers_are_left_alone() {
        let edits = edits(&[], &[(":authority", "b.example"), (":path", "/x")], &[]);
        let edits = Edits::new(&edits).unwrap();
        assert!(edits.host.is_some() && edits.set.is_empty());
        assert!(Edits::new(&self::edits(&[], &[("bad name", "x")], &[])).is_err());
        assert!(Edits::new(&self::edits(&[], &[("x", "%NOPE%")], &[])).is_err());
    }
}
