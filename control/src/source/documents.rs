//! The text of a file to the documents in it. Each document is parsed by itself, so that a syntax
//! error costs one document and every error of the file is found.
//!
//! JSON is cut into its values by a parser of JSON, which is the one to judge its syntax, and each
//! value is then read as the YAML that it also is, since only that parser tells lines.

use serde::de::IgnoredAny;

use super::node::Node;
use super::yaml::{SyntaxError, read_yaml};

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Syntax {
    Yaml,
    /// One object after the other, with or without white space between them.
    Json,
}

/// Part of a file that may hold a document.
struct Chunk<'a> {
    text: &'a str,
    /// Lines of the file before it.
    lines_before: u32,
}

/// Reads every document of `text`. Documents that are empty or null are left out.
pub(super) fn read_documents(text: &str, syntax: Syntax) -> (Vec<Node>, Vec<SyntaxError>) {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut errors = Vec::new();
    let chunks = match syntax {
        Syntax::Yaml => yaml_chunks(text),
        Syntax::Json => json_chunks(text, &mut errors),
    };
    let mut documents = Vec::new();
    for chunk in chunks {
        match read_yaml(chunk.text, chunk.lines_before) {
            Ok(nodes) => documents.extend(nodes),
            Err(error) => errors.push(error),
        }
    }
    errors.sort_by_key(|error| error.line);
    (documents, errors)
}

/// Cuts before each `---` line and after each `...` line. YAML allows neither inside a document,
/// not even in a block of text. Directives stay with the document they speak of.
fn yaml_chunks(text: &str) -> Vec<Chunk<'_>> {
    let mut chunks = Vec::new();
    let (mut start, mut lines_before, mut has_content) = (0, 0, false);
    let (mut at, mut line) = (0, 0_u32);
    for row in text.split_inclusive('\n') {
        if has_content && is_marker(row, "---") {
            chunks.push(Chunk { text: &text[start..at], lines_before });
            (start, lines_before) = (at, line);
        }
        has_content |= is_content(row);
        at += row.len();
        line = line.saturating_add(1);
        if is_marker(row, "...") {
            chunks.push(Chunk { text: &text[start..at], lines_before });
            (start, lines_before, has_content) = (at, line, false);
        }
    }
    chunks.push(Chunk { text: &text[start..], lines_before });
    chunks
}

fn is_marker(row: &str, marker: &str) -> bool {
    row.strip_prefix(marker).is_some_and(|rest| !rest.starts_with(|c: char| !c.is_whitespace()))
}

/// Whether a line is more than white space, a comment or a directive.
fn is_content(row: &str) -> bool {
    let row = row.trim_ascii();
    !(row.is_empty() || row.starts_with('#') || row.starts_with('%'))
}

/// Cuts after each JSON value; what follows the first syntax error is left out.
fn json_chunks<'a>(text: &'a str, errors: &mut Vec<SyntaxError>) -> Vec<Chunk<'a>> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    let (mut chunks, mut start, mut line) = (Vec::new(), 0, 0_u32);
    while let Some(value) = values.next() {
        if let Err(error) = value {
            let line = u32::try_from(error.line()).unwrap_or(u32::MAX).max(1);
            errors.push(SyntaxError { line, message: without_place(&error) });
            break;
        }
        let end = values.byte_offset();
        let chunk = text.get(start..end).unwrap_or_default();
        chunks.push(Chunk { text: chunk, lines_before: line });
        let lines = chunk.bytes().filter(|byte| *byte == b'\n').count();
        line = line.saturating_add(u32::try_from(lines).unwrap_or(u32::MAX));
        start = end;
    }
    chunks
}

/// The message alone: the diagnostic has the line already.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&place).unwrap_or(&text).to_owned()
}
