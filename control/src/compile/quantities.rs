//! Durations, percentages and Base64 as VirtualServices and DestinationRules write them. Pure,
//! but for what is wrong, which goes to the scope.

use std::time::Duration;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use fairway_shared::duration;
use fairway_shared::snapshot::route::Share;

use super::findings::Scope;
use crate::object::virtual_service::Percent;

/// Remedy for every duration.
const DURATION_REMEDY: &str = "write a duration such as 1.5s, at least 1ms, in whole milliseconds";

/// A duration in milliseconds, at least one, whole (Istio contract 9.3).
pub(super) fn positive_ms(text: &str, field: &str, scope: &mut Scope<'_>) -> Option<u64> {
    match read_ms(text, field, scope)? {
        0 => {
            scope.invalid(field, format_args!("is `{text}`, below 1ms"), DURATION_REMEDY);
            None
        }
        ms => Some(ms),
    }
}

/// A duration in whole milliseconds, or zero.
pub(super) fn read_ms(text: &str, field: &str, scope: &mut Scope<'_>) -> Option<u64> {
    match whole_ms(text) {
        Ok(ms) => Some(ms),
        Err(problem) => {
            scope.invalid(field, problem, DURATION_REMEDY);
            None
        }
    }
}

/// Whole milliseconds of a Go-style duration.
///
/// # Errors
/// What is wrong with it, for a message.
pub(super) fn whole_ms(text: &str) -> Result<u64, String> {
    let length: Duration = match duration::parse(text.trim()) {
        Ok(length) => length,
        Err(error) => return Err(format!("is malformed: {error}")),
    };
    if !length.subsec_nanos().is_multiple_of(1_000_000) {
        return Err(format!("is `{text}`, not a whole number of milliseconds"));
    }
    u64::try_from(length.as_millis()).map_err(|_| format!("is `{text}`, too long"))
}

/// A percentage of 0, or 0.0001 to 100.
pub(super) fn read_share(percent: Percent, field: &str, scope: &mut Scope<'_>) -> Share {
    let value = percent.value;
    if value == 0.0 || (0.0001..=100.0).contains(&value) {
        // In 0 to 1,000,000 by the range above.
        return Share((value * 10_000.0).round() as u32);
    }
    let remedy = "use 0, or 0.0001 to 100";
    scope.invalid(field, format_args!("is {value}, out of range"), remedy);
    Share(0)
}

/// A deprecated whole percentage, 0 to 100.
pub(super) fn read_whole_share(percent: u32, field: &str, scope: &mut Scope<'_>) -> Share {
    read_share(Percent { value: f64::from(percent) }, field, scope)
}

/// Bits beyond the last byte are passed over, as the reference's reader does.
const UNPADDED: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

/// Decodes Base64, standard or URL alphabet, padded or not (RFC 4648). `None` if it is neither.
pub(super) fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=').replace('-', "+").replace('_', "/");
    UNPADDED.decode(digits).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_whole_milliseconds() {
        for (text, ms) in [
            ("1.5s", Some(1_500)),
            ("0s", Some(0)),
            ("1h", Some(3_600_000)),
            ("0.5ms", None),
            ("1us", None),
            ("soon", None),
            ("-1s", None),
            ("", None),
        ] {
            assert_eq!(whole_ms(text).ok(), ms, "{text}");
        }
    }

    #[test]
    fn base64_is_read_in_both_alphabets() {
        for (text, bytes) in [
            ("aGVsbG8=", Some(b"hello".to_vec())),
            ("aGVsbG8", Some(b"hello".to_vec())),
            ("+/8=", Some(vec![0xFB, 0xFF])),
            ("-_8", Some(vec![0xFB, 0xFF])),
            ("", Some(vec![])),
            ("a", None),
            ("a b=", None),
        ] {
            assert_eq!(decode_base64(text), bytes, "{text}");
        }
    }
}
