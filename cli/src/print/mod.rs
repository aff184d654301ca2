//! Forms of output: tables for people, JSON and YAML for programs. Results go to stdout, nothing
//! else does.

mod colour;
pub(crate) mod columns;
mod table;

use clap::ValueEnum;
use serde_json::Value;

use crate::say;
use table::Table;

/// How a result is printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Columns for people.
    #[default]
    Table,
    /// More columns.
    Wide,
    /// JSON, fields named as in the API.
    Json,
    /// The same as YAML.
    Yaml,
}

/// Prints a value as JSON or YAML, or else what `people` makes for people.
pub(crate) fn print(
    format: Format,
    value: impl FnOnce() -> Value,
    people: impl FnOnce() -> String,
) {
    let text = match format {
        Format::Json => format!("{:#}", value()),
        Format::Yaml => yaml(&value()),
        Format::Table | Format::Wide => people(),
    };
    if !text.is_empty() {
        say::line(&text.trim_end());
    }
}

fn yaml(value: &Value) -> String {
    // A JSON value has a form in YAML, and JSON itself is YAML should the library not think so.
    serde_saphyr::to_string(value).unwrap_or_else(|_| value.to_string())
}
