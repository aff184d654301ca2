//! The canonical path: what is matched is what is sent (Istio contract 6.7).
//!
//! Unless the mode is `None`, dot segments are resolved, `\` becomes `/`, percent-encoded
//! unreserved characters are decoded (RFC 3986 2.3), and an encoded NUL is refused. Case, other
//! escapes, a `%` that begins none and the query are left alone, doubled slashes and `%2F` and
//! `%5C` unless the mode says otherwise. Envoy 1.40 was seen to do the same.

use std::borrow::Cow;

use crate::snapshot::settings::PathNormalization;

/// A path that cannot be made canonical: 400 `path_normalization_failed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("path cannot be normalised")]
pub struct PathError;

/// The canonical form of a path without query. Borrows if it is canonical already.
///
/// # Errors
/// [`PathError`].
pub fn canonical_path(raw: &str, mode: PathNormalization) -> Result<Cow<'_, str>, PathError> {
    let (merges, decodes_slashes) = match mode {
        PathNormalization::None => return Ok(Cow::Borrowed(raw)),
        PathNormalization::Base => (false, false),
        PathNormalization::MergeSlashes => (true, false),
        PathNormalization::DecodeAndMergeSlashes => (true, true),
    };
    if is_canonical(raw.as_bytes()) && !(merges && raw.contains("//")) {
        return Ok(Cow::Borrowed(raw));
    }
    let canonical = without_dot_segments(&decode(raw, decodes_slashes)?);
    // Last, as Envoy does it: no dot segment can come of it.
    Ok(Cow::Owned(if merges { merged(&canonical) } else { canonical }))
}

/// Runs of slashes become one.
fn merged(path: &str) -> String {
    let mut previous = None;
    let is_repeat = |letter: char| {
        let is_repeat = letter == '/' && previous == Some('/');
        previous = Some(letter);
        is_repeat
    };
    let repeats: Vec<bool> = path.chars().map(is_repeat).collect();
    path.chars()
        .zip(repeats)
        .filter(|(_, is_repeat)| !is_repeat)
        .map(|(letter, _)| letter)
        .collect()
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

fn decode(raw: &str, decodes_slashes: bool) -> Result<String, PathError> {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    // How many of the next characters could complete a `%` that begins no escape, were they
    // decoded: whoever decodes again would see another path.
    let mut open = 0_usize;
    while let Some(letter) = rest.chars().next() {
        let mut used = letter.len_utf8();
        let may_decode = open == 0;
        open = open.saturating_sub(1);
        match letter {
            '\\' => out.push('/'),
            '\0' => return Err(PathError),
            '%' => match escaped(rest) {
                None => {
                    out.push('%');
                    open = 2;
                }
                Some((0, _)) => return Err(PathError),
                Some((byte, escape)) => {
                    match byte {
                        b'/' | b'\\' if decodes_slashes => out.push('/'),
                        b if may_decode && is_unreserved(b) => out.push(char::from(b)),
                        _ => out.push_str(escape),
                    }
                    used = escape.len();
                }
            },
            other => out.push(other),
        }
        rest = &rest[used..];
    }
    Ok(out)
}

/// The escape at the front: what it stands for, and itself.
fn escaped(text: &str) -> Option<(u8, &str)> {
    let escape = text.get(..3)?;
    let digits = &escape[1..];
    // `from_str_radix` would take a sign.
    let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_hex.then(|| u8::from_str_radix(digits, 16).ok())?.map(|byte| (byte, escape))
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
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

    fn base(raw: &str) -> Result<Cow<'_, str>, PathError> {
        canonical_path(raw, PathNormalization::Base)
    }

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
            ("/100%", "/100%"),
            ("/%zz/%+1/%0", "/%zz/%+1/%0"),
            ("/%%34%31", "/%%34%31"),
            ("/%a%31%31", "/%a%311"),
        ] {
            assert_eq!(base(raw).as_deref(), Ok(canonical), "{raw}");
        }
        for raw in ["/%00", "/a/../%00", "/%%00"] {
            assert_eq!(base(raw), Err(PathError), "{raw}");
        }
    }

    #[test]
    fn each_mode_does_more_than_the_one_before() {
        use PathNormalization::{Base, DecodeAndMergeSlashes, MergeSlashes, None};
        for (raw, expected) in [
            ("/a//b", ["/a//b", "/a//b", "/a/b", "/a/b"]),
            ("//", ["//", "//", "/", "/"]),
            ("/a%2Fb", ["/a%2Fb", "/a%2Fb", "/a%2Fb", "/a/b"]),
            ("/a%2f%2fb", ["/a%2f%2fb", "/a%2f%2fb", "/a%2f%2fb", "/a/b"]),
            ("/a%5Cb", ["/a%5Cb", "/a%5Cb", "/a%5Cb", "/a/b"]),
            ("/a/..%2fb", ["/a/..%2fb", "/a/..%2fb", "/a/..%2fb", "/b"]),
            ("/a//../b", ["/a//../b", "/a/b", "/a/b", "/a/b"]),
            ("/a%252Fb", ["/a%252Fb", "/a%252Fb", "/a%252Fb", "/a%252Fb"]),
            ("/a/./b", ["/a/./b", "/a/b", "/a/b", "/a/b"]),
        ] {
            let modes = [None, Base, MergeSlashes, DecodeAndMergeSlashes];
            let found = modes.map(|mode| canonical_path(raw, mode).unwrap().into_owned());
            assert_eq!(found, expected, "{raw}");
        }
        assert_eq!(canonical_path("/%00", None).as_deref(), Ok("/%00"));
        assert_eq!(canonical_path("/%00", DecodeAndMergeSlashes), Err(PathError));
    }

    proptest! {
        #[test]
        fn a_canonical_path_stays_as_it_is(
            raw in "/([a-c4./\\\\]|%2[eEfF]|%3[14]|%5[cC]|%){0,12}",
        ) {
            use PathNormalization::{Base, DecodeAndMergeSlashes, MergeSlashes};
            for mode in [Base, MergeSlashes, DecodeAndMergeSlashes] {
                let Ok(once) = canonical_path(&raw, mode) else { continue };
                let twice = canonical_path(&once, mode).map(Cow::into_owned);
                prop_assert_eq!(twice, Ok(once.to_string()));
                prop_assert!(!once.contains('\\') && !once.contains("/../"));
                prop_assert!(mode == Base || !once.contains("//"));
            }
        }
    }
}
