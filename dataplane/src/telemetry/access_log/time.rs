//! Moments in access logs: ISO 8601 in UTC with milliseconds, or a pattern of the user's.

use std::cell::RefCell;
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;

/// Up to the second.
const ISO_SECONDS: &str = "%Y-%m-%dT%H:%M:%S";

thread_local! {
    /// The second written last, and its text: lines of one second share it.
    static LAST: RefCell<(i64, String)> = const { RefCell::new((i64::MIN, String::new())) };
}

/// A `strftime` pattern that is known to work.
#[derive(Debug, PartialEq, Eq)]
pub struct Pattern(Option<Box<str>>);

impl Pattern {
    /// A pattern that the library does not know stands for ISO 8601.
    pub fn new(pattern: &str) -> Self {
        Self(format(pattern, 0).map(|_| pattern.into()))
    }

    /// Appends the moment.
    pub fn push(&self, out: &mut Vec<u8>, at: SystemTime) {
        let written = self.0.as_deref().and_then(|pattern| format(pattern, nanos(at)));
        match written {
            Some(text) => out.extend_from_slice(text.as_bytes()),
            None => push_iso(out, at),
        }
    }
}

/// Appends `2026-01-31T23:59:59.123Z`.
pub fn push_iso(out: &mut Vec<u8>, at: SystemTime) {
    let nanos = nanos(at);
    let second = i64::try_from(nanos.div_euclid(1_000_000_000)).unwrap_or_default();
    let millis = nanos.rem_euclid(1_000_000_000) / 1_000_000;
    LAST.with_borrow_mut(|(known, text)| {
        if *known != second {
            *text = format(ISO_SECONDS, nanos).unwrap_or_default();
            *known = second;
        }
        out.extend_from_slice(text.as_bytes());
    });
    let digit = |unit: i128| b'0' + u8::try_from(millis / unit % 10).unwrap_or_default();
    out.extend_from_slice(&[b'.', digit(100), digit(10), digit(1), b'Z']);
}

fn nanos(at: SystemTime) -> i128 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    i128::try_from(since.as_nanos()).unwrap_or_default()
}

fn format(pattern: &str, nanos: i128) -> Option<String> {
    let moment = Timestamp::from_nanosecond(nanos).ok()?.to_zoned(TimeZone::UTC);
    strtime::format(pattern, &moment).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn moments_are_written_as_asked_for() {
        let at = UNIX_EPOCH + Duration::from_millis(1_738_367_999_007);
        for (pattern, expected) in [
            (None, "2025-01-31T23:59:59.007Z"),
            (Some("%Y/%m/%d %H:%M:%S.%3f"), "2025/01/31 23:59:59.007"),
            (Some("%s"), "1738367999"),
            (Some("%?"), "2025-01-31T23:59:59.007Z"),
        ] {
            let mut out = Vec::new();
            match pattern {
                Some(pattern) => Pattern::new(pattern).push(&mut out, at),
                None => push_iso(&mut out, at),
            }
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{pattern:?}");
        }
    }
}
