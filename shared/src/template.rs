//! Header values with `%…%` substitutions (Istio contract 2.8). Control checks them with the same
//! parser that a worker reads them with.

/// Part of a header value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// As it stands; `%%` has become `%`.
    Literal(String),
    /// `%DOWNSTREAM_REMOTE_ADDRESS%`: client address and port.
    DownstreamRemoteAddress,
    /// `%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%`.
    DownstreamRemoteAddressWithoutPort,
    /// `%DOWNSTREAM_LOCAL_ADDRESS%`: address and port the client connected to.
    DownstreamLocalAddress,
    /// `%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%`.
    DownstreamLocalAddressWithoutPort,
    /// `%DOWNSTREAM_LOCAL_PORT%`.
    DownstreamLocalPort,
    /// `%REQ(name?alternative):length%`: a request header, lower case; empty if absent.
    RequestHeader {
        /// Asked first; may be `:method`, `:path`, `:authority`, `:scheme`.
        name: String,
        /// Asked if the first is absent.
        alternative: Option<String>,
        /// Longest value in bytes.
        length_max: Option<usize>,
    },
    /// `%PROTOCOL%`: `HTTP/1.1` or `HTTP/2`.
    Protocol,
    /// `%HOSTNAME%`.
    Hostname,
}

/// Why a text is not a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// An odd number of percent signs.
    #[error("`{text}` has a `%` without its partner: write `%%` for a percent sign")]
    Unpaired {
        /// As written.
        text: String,
    },
    /// Not among [`Part`]s.
    #[error("`%{operator}%` is not a substitution that can be used in a header")]
    Unknown {
        /// As written, without percent signs.
        operator: String,
    },
}

/// Takes a header value apart. A value without `%` is one literal, an empty one none.
///
/// # Errors
/// [`TemplateError`].
pub fn parse(text: &str) -> Result<Vec<Part>, TemplateError> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        literal.push_str(before);
        let unpaired = || TemplateError::Unpaired { text: text.to_owned() };
        let (operator, after) = after.split_once('%').ok_or_else(unpaired)?;
        if operator.is_empty() {
            literal.push('%');
        } else {
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal)));
            }
            parts.push(substitution(operator)?);
        }
        rest = after;
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        parts.push(Part::Literal(literal));
    }
    Ok(parts)
}

fn substitution(operator: &str) -> Result<Part, TemplateError> {
    Ok(match operator {
        "DOWNSTREAM_REMOTE_ADDRESS" => Part::DownstreamRemoteAddress,
        "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT" => Part::DownstreamRemoteAddressWithoutPort,
        "DOWNSTREAM_LOCAL_ADDRESS" => Part::DownstreamLocalAddress,
        "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT" => Part::DownstreamLocalAddressWithoutPort,
        "DOWNSTREAM_LOCAL_PORT" => Part::DownstreamLocalPort,
        "PROTOCOL" => Part::Protocol,
        "HOSTNAME" => Part::Hostname,
        other => request_header(other)
            .ok_or_else(|| TemplateError::Unknown { operator: other.to_owned() })?,
    })
}

/// `REQ(name?alternative):length`
fn request_header(operator: &str) -> Option<Part> {
    let (names, tail) = operator.strip_prefix("REQ(")?.split_once(')')?;
    let length_max = match tail.strip_prefix(':') {
        Some(digits) => Some(digits.parse().ok()?),
        None if tail.is_empty() => None,
        None => return None,
    };
    let (name, alternative) = match names.split_once('?') {
        Some((name, alternative)) => (name, Some(alternative.to_ascii_lowercase())),
        None => (names, None),
    };
    (!name.is_empty()).then(|| Part::RequestHeader {
        name: name.to_ascii_lowercase(),
        alternative,
        length_max,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_come_apart() {
        let literal = |text: &str| Part::Literal(text.into());
        let header = |name: &str, alternative: Option<&str>, length_max| Part::RequestHeader {
            name: name.into(),
            alternative: alternative.map(Into::into),
            length_max,
        };
        for (text, parts) in [
            ("", vec![]),
            ("plain", vec![literal("plain")]),
            ("100%%", vec![literal("100%")]),
            (
                "ip=%DOWNSTREAM_REMOTE_ADDRESS%;",
                vec![literal("ip="), Part::DownstreamRemoteAddress, literal(";")],
            ),
            ("%REQ(X-A?x-b):12%", vec![header("x-a", Some("x-b"), Some(12))]),
            ("%REQ(:authority)%", vec![header(":authority", None, None)]),
        ] {
            assert_eq!(parse(text), Ok(parts), "{text}");
        }
        assert!(matches!(parse("50%"), Err(TemplateError::Unpaired { .. })));
        for text in ["%NOPE%", "%REQ()%", "%REQ(a)x%", "%REQ(a):b%"] {
            assert!(matches!(parse(text), Err(TemplateError::Unknown { .. })), "{text}");
        }
    }
}
