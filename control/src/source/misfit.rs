//! A value that does not fit its field, in words for people who write YAML, not Rust.

use std::fmt;

use serde::de::{self, Expected, Unexpected};

/// A value that does not fit its field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub(super) struct TypeError {
    /// `spec.servers[0].port.number`; empty until the value's place is known.
    pub(super) path: String,
    /// One-based; 0 until the value's place is known.
    pub(super) line: u32,
    /// `expected a text, found the number 1`
    pub(super) message: String,
}

impl de::Error for TypeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        let message = match message.to_string() {
            // Names a Rust type, which tells the user nothing.
            text if text.contains("untagged enum") => {
                "no value that this field may have".to_owned()
            }
            text => text,
        };
        Self { path: String::new(), line: 0, message }
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(format!("expected {}, found {}", wanted(expected), given(found)))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(format!("expected {}, found {}", wanted(expected), given(found)))
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::custom(format!("field {field} is written twice, in two spellings"))
    }
}

/// What a derived type says it expects, without the names of Rust types.
fn wanted(expected: &dyn Expected) -> String {
    let text = expected.to_string();
    match text.as_str() {
        "a string" => "a text".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "a mapping".to_owned(),
        "u8" | "u16" | "u32" | "u64" => format!("a whole number ({})", range_of(&text)),
        "i8" | "i16" | "i32" | "i64" => "a whole number".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        _ if text.starts_with("struct ") => "a mapping".to_owned(),
        _ => text,
    }
}

fn range_of(unsigned: &str) -> &'static str {
    match unsigned {
        "u8" => "0 to 255",
        "u16" => "0 to 65535",
        _ => "not negative",
    }
}

fn given(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Unit => "null".to_owned(),
        Unexpected::Bool(value) => format!("the boolean {value}"),
        Unexpected::Signed(value) => format!("the number {value}"),
        Unexpected::Unsigned(value) => format!("the number {value}"),
        // Debug keeps the `.0` that made it no whole number.
        Unexpected::Float(value) => format!("the number {value:?}"),
        Unexpected::Str(value) => format!("the text `{}`", shortened(value)),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a mapping".to_owned(),
        other => other.to_string(),
    }
}

/// A finding is one line; a value may be a certificate.
fn shortened(value: &str) -> String {
    const CHARS_MAX: usize = 60;
    let line = value.lines().next().unwrap_or_default();
    match line.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None if line.len() < value.len() => format!("{line}…"),
        None => line.to_owned(),
    }
}
