//! Host names and host patterns: canonical form, cover, intersection. Pure.
//!
//! A pattern is an exact name, `*.suffix` (one or more labels in front) or `*`
//! (Istio contract 1.3).

use std::borrow::Cow;

/// The part of an authority that names the host: `[::1]:80` → `[::1]`, `a.b:80` → `a.b`.
/// A text without a valid port is returned whole.
pub fn strip_port(authority: &str) -> &str {
    let Some((host, port)) = authority.rsplit_once(':') else { return authority };
    let is_port = port.len() <= 5 && port.bytes().all(|b| b.is_ascii_digit());
    let is_bare_v6 = host.contains(':') && !host.ends_with(']');
    if is_port && !is_bare_v6 { host } else { authority }
}

/// Canonical host: lower case, port and one trailing dot dropped. Borrows when nothing changes
/// but the ends.
pub fn canonical_host(authority: &str) -> Cow<'_, str> {
    let host = strip_port(authority);
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(host.to_ascii_lowercase())
    } else {
        Cow::Borrowed(host)
    }
}

/// Does `pattern` take every name that `name` (a name or a pattern) takes? Both lower case.
pub fn covers(pattern: &str, name: &str) -> bool {
    match pattern.strip_prefix('*') {
        None => pattern == name,
        Some("") => true,
        Some(suffix) => match name.strip_prefix('*') {
            Some(narrower) => narrower.ends_with(suffix),
            None => name.len() > suffix.len() && name.ends_with(suffix),
        },
    }
}

/// The narrower of two patterns if one covers the other, else nothing
/// (Istio contract 2.4, step 2).
pub fn intersect<'a>(a: &'a str, b: &'a str) -> Option<&'a str> {
    if covers(a, b) {
        Some(b)
    } else if covers(b, a) {
        Some(a)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_canonical() {
        for (raw, canonical) in [
            ("a.example.com", "a.example.com"),
            ("A.Example.COM:8080", "a.example.com"),
            ("a.example.com.", "a.example.com"),
            ("a.example.com.:80", "a.example.com"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("10.0.0.1:443", "10.0.0.1"),
            ("a:b", "a:b"),
            ("", ""),
        ] {
            assert_eq!(canonical_host(raw), canonical, "{raw}");
        }
    }

    #[test]
    fn the_narrower_pattern_wins() {
        for (a, b, both) in [
            ("*.foo.com", "a.foo.com", Some("a.foo.com")),
            ("a.foo.com", "*", Some("a.foo.com")),
            ("*", "*", Some("*")),
            ("*.foo.com", "*.com", Some("*.foo.com")),
            ("*.foo.com", "foo.com", None),
            ("*.foo.com", "x.y.foo.com", Some("x.y.foo.com")),
            ("a.com", "b.com", None),
            ("*.a.com", "*.b.com", None),
        ] {
            assert_eq!(intersect(a, b), both, "{a} with {b}");
            assert_eq!(intersect(b, a), both, "{b} with {a}");
        }
    }
}
