//! Go-style durations (`45s`, `1m0s`, `1.5h`, `100ms`), as flags and YAML write them.

use std::time::Duration;

/// Why a text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Not a sequence of number and unit.
    #[error("`{text}` is not a duration such as 45s, 1m30s or 100ms")]
    Malformed {
        /// As written.
        text: String,
    },
    /// Does not fit 64 bits of nanoseconds.
    #[error("duration `{text}` is too long")]
    TooLong {
        /// As written.
        text: String,
    },
}

const UNITS: [(&str, f64); 7] =
    [("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 6e10), ("h", 3.6e12)];

/// Parses a non-negative Go duration. `0` needs no unit, all else does.
///
/// # Errors
/// [`DurationError`] with the text as written.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let malformed = || DurationError::Malformed { text: text.to_owned() };
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(malformed());
    }
    let mut nanos = 0.0_f64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(malformed)?;
        let (number, tail) = rest.split_at(digits);
        let number: f64 = number.parse().map_err(|_| malformed())?;
        let letters = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(malformed)?;
        nanos += number * scale;
        rest = tail;
    }
    if nanos > i64::MAX as f64 {
        return Err(DurationError::TooLong { text: text.to_owned() });
    }
    Ok(Duration::from_nanos(nanos.round() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, millis) in [
            ("0", 0),
            ("0s", 0),
            ("45s", 45_000),
            ("1m0s", 60_000),
            ("1.5h", 5_400_000),
            ("100ms", 100),
            ("1h2m3s4ms", 3_723_004),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "5", "s", "5x", "-1s", "1.2.3s", "1 s"] {
            assert!(matches!(parse(text), Err(DurationError::Malformed { .. })), "{text}");
        }
        assert!(matches!(parse("99999999999h"), Err(DurationError::TooLong { .. })));
    }
}
