//! The value of an unquoted word: null, boolean, number or text.
//!
//! It follows the core schema of YAML 1.2 (10.3.2), so that `version: 1.0` is a number here as it
//! is to a Kubernetes API server, also where a text is wanted. The booleans of YAML 1.1 (`yes`,
//! `on`) stay texts, and are taken for booleans where a field wants one.

use super::node::Value;

/// What the plain scalar `text` stands for.
pub(super) fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => number(text).unwrap_or_else(|| Value::Text(text.to_owned())),
    }
}

fn number(text: &str) -> Option<Value> {
    let (is_negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let whole = match digits.get(..2) {
        Some("0x") => radix(&digits[2..], 16),
        Some("0o") => radix(&digits[2..], 8),
        _ => radix(digits, 10),
    };
    match whole {
        Some(size) if is_negative => 0_i64.checked_sub_unsigned(size).map(Value::Int),
        Some(size) => Some(Value::UInt(size)),
        None => None,
    }
    .or_else(|| is_decimal(digits).then(|| text.parse().ok().map(Value::Float)).flatten())
}

fn radix(digits: &str, radix: u32) -> Option<u64> {
    // The standard parser would take a second sign.
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if is_plain { u64::from_str_radix(digits, radix).ok() } else { None }
}

/// Digits with a point or an exponent, or too many of them for a whole number. Infinity and
/// not-a-number stay texts: no field of ours takes them.
fn is_decimal(digits: &str) -> bool {
    let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (digits, None),
    };
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let has_exponent = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !exponent.is_empty() && are_digits(exponent)
    });
    has_exponent
        && are_digits(whole)
        && are_digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_are_what_yaml_says_they_are() {
        let text = |text: &str| Value::Text(text.to_owned());
        let cases = [
            ("~", Value::Null),
            ("TRUE", Value::Bool(true)),
            ("yes", text("yes")),
            ("80", Value::UInt(80)),
            ("+80", Value::UInt(80)),
            ("007", Value::UInt(7)),
            ("-1", Value::Int(-1)),
            ("-0", Value::Int(0)),
            ("0x1F", Value::UInt(31)),
            ("0o17", Value::UInt(15)),
            ("18446744073709551615", Value::UInt(u64::MAX)),
            ("-9223372036854775808", Value::Int(i64::MIN)),
            ("18446744073709551616", Value::Float(18_446_744_073_709_551_616.0)),
            ("1.0", Value::Float(1.0)),
            ("-.5", Value::Float(-0.5)),
            ("2.", Value::Float(2.0)),
            ("1e3", Value::Float(1000.0)),
            ("1.5E-3", Value::Float(0.0015)),
            ("v1.0", text("v1.0")),
            ("1.0.0", text("1.0.0")),
            ("10.0.0.1", text("10.0.0.1")),
            ("1s", text("1s")),
            ("1e", text("1e")),
            ("e3", text("e3")),
            (".", text(".")),
            ("-", text("-")),
            ("--1", text("--1")),
            ("0x", text("0x")),
            ("inf", text("inf")),
            (".nan", text(".nan")),
        ];
        for (word, expected) in cases {
            assert_eq!(resolve(word), expected, "{word}");
        }
    }

    proptest! {
        #[test]
        fn whole_numbers_survive(number: i64) {
            let expected = u64::try_from(number).map_or(Value::Int(number), Value::UInt);
            prop_assert_eq!(resolve(&number.to_string()), expected);
        }

        #[test]
        fn no_word_panics(word in "\\PC{0,12}") {
            resolve(&word);
        }
    }
}
