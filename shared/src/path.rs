//! The canonical path: what is matched is what is sent (Istio contract 6.7, mode BASE).
//!
//! Dot segments are resolved, `\` becomes `/`, percent-encoded unreserved characters are decoded
//! (RFC 3986 2.3). An encoded NUL or an incomplete escape is refused. Case, doubled slashes,
//! other escapes and the query are left alone.

use std::borrow::Cow;

/// A path that cannot be made canonical: 400 `path_normalization_failed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("path cannot be normalised")]
pub struct PathError;

/// The canonical form of a path without query. Borrows if it is canonical already.
///
/// # Errors
/// [`PathError`].
pub fn canonical_path(raw: &str) -> Result<Cow<'_, str>, PathError> {
    if is_canonical(raw.as_bytes()) {
        return Ok(Cow::Borrowed(raw));
    }
    let decoded = decode(raw)?;
    Ok(Cow::Owned(without_dot_segments(&decoded)))
}

/// Sees at a glance that there is nothing to do.
fn is_canonical(path: &[u8]) -> bool {
    let mut previous = b'/';
    for &byte in path {
        match byte {
            b'%' | b'\\' | 0 => return false,
            b'.' if previous == b'/' => return false,
            _ => previous = byte,
        }
    }
    true
}

fn decode(raw: &str) -> Result<String, PathError> {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(letter) = rest.chars().next() {
        let mut used = letter.len_utf8();
        match letter {
            '\\' => out.push('/'),
            '\0' => return Err(PathError),
            '%' => {
                let escape = rest.get(..3).ok_or(PathError)?;
                let byte = u8::from_str_radix(&escape[1..], 16).map_err(|_| PathError)?;
                // `from_str_radix` takes a sign.
                if !escape.as_bytes()[1].is_ascii_hexdigit() || byte == 0 {
                    return Err(PathError);
                }
                match byte {
                    b if b.is_ascii_alphanumeric() || b"-._~".contains(&b) => out.push(b as char),
                    _ => out.push_str(escape),
                }
                used = escape.len();
            }
            other => out.push(other),
        }
        rest = &rest[used..];
    }
    Ok(out)
}

/// RFC 3986 5.2.4.
fn without_dot_segments(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.strip_prefix('/').unwrap_or(path).split('/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." if is_last => kept.push(""),
            "." => {}
            ".." => {
                kept.pop();
                if is_last {
                    kept.push("");
                }
            }
            other => kept.push(other),
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_become_canonical() {
        for (raw, canonical) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a//b", "/a//b"),
            ("/a/./b", "/a/b"),
            ("/a/../b", "/b"),
            ("/a/..", "/"),
            ("/a/b/.", "/a/b/"),
            ("/../../x", "/x"),
            ("/a\\b", "/a/b"),
            ("/%61/%2e%2E/b", "/b"),
            ("/%2F", "/%2F"),
            ("/%252e", "/%252e"),
            ("/.well-known", "/.well-known"),
            ("/a;x=y", "/a;x=y"),
            ("/%7Euser", "/~user"),
        ] {
            assert_eq!(canonical_path(raw).as_deref(), Ok(canonical), "{raw}");
        }
        for raw in ["/%00", "/%0", "/%", "/%zz", "/%+1"] {
            assert_eq!(canonical_path(raw), Err(PathError), "{raw}");
        }
    }

    proptest! {
        #[test]
        fn a_canonical_path_stays_as_it_is(raw in "/[a-c./%\\\\]{0,12}") {
            if let Ok(once) = canonical_path(&raw) {
                prop_assert_eq!(canonical_path(&once).map(Cow::into_owned), Ok(once.to_string()));
                prop_assert!(!once.contains('\\') && !once.contains("/../"));
            }
        }
    }
}
