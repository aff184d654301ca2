//! YAML to trees, without recursion and within limits, so that no text can exhaust the stack or,
//! by aliases, the memory.
//!
//! The parser of the `serde-saphyr` crate gives events; its deserializer is not used, as it
//! recurses for each level and gives no lines for what does not fit.

use std::collections::{HashMap, HashSet};

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, ScanError, Tag};

use super::{
    node::{Node, Value},
    scalar,
};

/// Lists and mappings within each other, aliases followed. Our objects reach 20 levels, the largest
/// custom resource definitions, which may stand beside them, about 60.
const DEPTH_MAX: usize = 128;
/// Nodes of one document, aliases followed: more than the largest file holds, short of text that
/// is nothing but punctuation.
const NODES_MAX: usize = 8_000_000;

/// Why a text is no document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SyntaxError {
    /// One-based.
    pub(super) line: u32,
    /// Without the line.
    pub(super) message: String,
}

/// Reads the documents of `text`, before which the file has `lines_before` lines. Documents that
/// are empty or null are left out.
///
/// # Errors
/// The first place that is not YAML, is too deep or too large, or has a key twice.
pub(super) fn read_yaml(text: &str, lines_before: u32) -> Result<Vec<Node>, SyntaxError> {
    let line_of = |line: usize| {
        let line = u32::try_from(line).unwrap_or(u32::MAX).max(1);
        line.saturating_add(lines_before)
    };
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error: ScanError| SyntaxError {
            line: line_of(error.marker().line()),
            message: error.info(),
        })?;
        let line = line_of(span.start.line());
        builder.take(event, line).map_err(|message| SyntaxError { line, message })?;
    }
    Ok(builder.documents)
}

#[derive(Default)]
struct Builder {
    documents: Vec<Node>,
    /// From the root inwards.
    open: Vec<Open>,
    anchored: HashMap<usize, Anchored>,
    /// Of the current document.
    nodes: usize,
}

/// A list or mapping whose end is yet to come.
struct Open {
    line: u32,
    /// 0 = none.
    anchor: usize,
    holds: Holds,
}

enum Holds {
    List(Vec<Node>),
    Mapping {
        entries: Vec<(String, Node)>,
        /// From `<<`; they yield to entries of the same key.
        merged: Vec<(String, Node)>,
        /// Read, with its value yet to come.
        key: Option<Key>,
    },
}

struct Key {
    text: String,
    is_merge: bool,
}

/// What an alias stands for.
struct Anchored {
    node: Node,
    nodes: usize,
    height: usize,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, line: u32) -> Result<(), String> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let is_plain = style == ScalarStyle::Plain;
                if self.awaits_key() {
                    let key = Key { is_merge: is_plain && text == "<<", text: text.into_owned() };
                    return self.key(key);
                }
                let value = scalar_value(&text, is_plain, tag.as_deref());
                self.count(1)?;
                self.node(Node { line, value }, anchor)
            }
            Event::SequenceStart(_, anchor, _) => {
                self.open(Open { line, anchor, holds: Holds::List(Vec::new()) })
            }
            Event::MappingStart(_, anchor, _) => {
                let (entries, merged) = (Vec::new(), Vec::new());
                self.open(Open {
                    line,
                    anchor,
                    holds: Holds::Mapping { entries, merged, key: None },
                })
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(anchor) => self.alias(anchor, line),
            Event::DocumentStart(..) => {
                self.nodes = 0;
                self.anchored.clear();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn awaits_key(&self) -> bool {
        let holds = self.open.last().map(|open| &open.holds);
        matches!(holds, Some(Holds::Mapping { key: None, .. }))
    }

    fn key(&mut self, next: Key) -> Result<(), String> {
        if let Some(Open { holds: Holds::Mapping { key, .. }, .. }) = self.open.last_mut() {
            *key = Some(next);
        }
        Ok(())
    }

    fn open(&mut self, open: Open) -> Result<(), String> {
        if self.awaits_key() {
            return Err("a list or mapping cannot be a key".to_owned());
        }
        self.count(1)?;
        self.open.push(open);
        self.check_depth(0)
    }

    fn close(&mut self) -> Result<(), String> {
        // The parser closes only what it opened.
        let Some(Open { line, anchor, holds }) = self.open.pop() else { return Ok(()) };
        let value = match holds {
            Holds::List(items) => Value::List(items),
            Holds::Mapping { entries, merged, .. } => Value::Mapping(united(entries, merged)?),
        };
        self.node(Node { line, value }, anchor)
    }

    fn alias(&mut self, anchor: usize, line: u32) -> Result<(), String> {
        let Some(target) = self.anchored.get(&anchor) else {
            return Err("an alias stands inside what it stands for".to_owned());
        };
        if self.awaits_key() {
            return match &target.node.value {
                Value::Text(text) => {
                    let key = Key { text: text.clone(), is_merge: false };
                    self.key(key)
                }
                _ => Err("only an alias of a text can be a key".to_owned()),
            };
        }
        let (nodes, height) = (target.nodes, target.height);
        self.count(nodes)?;
        self.check_depth(height)?;
        // Counted before it is copied.
        let value = self.anchored.get(&anchor).map_or(Value::Null, |it| it.node.value.clone());
        self.node(Node { line, value }, 0)
    }

    /// Puts a whole node where it belongs.
    fn node(&mut self, node: Node, anchor: usize) -> Result<(), String> {
        if anchor != 0 {
            let (nodes, height) = measure(&node);
            // The copy costs memory as an alias does, though nobody may ever ask for it.
            self.count(nodes)?;
            self.anchored.insert(anchor, Anchored { node: node.clone(), nodes, height });
        }
        match self.open.last_mut().map(|open| &mut open.holds) {
            None if node.value == Value::Null => {}
            None => self.documents.push(node),
            Some(Holds::List(items)) => items.push(node),
            Some(Holds::Mapping { entries, merged, key }) => match key.take() {
                Some(key) if key.is_merge => merge(node, merged)?,
                Some(key) => entries.push((key.text, node)),
                None => return Err("a value without a key".to_owned()),
            },
        }
        Ok(())
    }

    fn count(&mut self, nodes: usize) -> Result<(), String> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes <= NODES_MAX {
            return Ok(());
        }
        Err(format!("document exceeds {NODES_MAX} values, aliases followed"))
    }

    fn check_depth(&self, height: usize) -> Result<(), String> {
        if self.open.len() + height <= DEPTH_MAX {
            return Ok(());
        }
        Err(format!("lists and mappings are nested deeper than {DEPTH_MAX} levels"))
    }
}

/// Tags of the core schema decide, others are passed over as Kubernetes does.
fn scalar_value(text: &str, is_plain: bool, tag: Option<&Tag>) -> Value {
    match tag.and_then(Tag::core_suffix) {
        Some("str") => Value::Text(text.to_owned()),
        Some("null") => Value::Null,
        Some(_) => scalar::resolve(text),
        None if is_plain => scalar::resolve(text),
        None => Value::Text(text.to_owned()),
    }
}

/// Takes in the value of `<<`: a mapping, or a list of them of which the first wins.
fn merge(node: Node, merged: &mut Vec<(String, Node)>) -> Result<(), String> {
    match node.value {
        Value::Mapping(entries) => merged.extend(entries),
        Value::List(items) => {
            for item in items {
                let Value::Mapping(entries) = item.value else { return Err(NOT_MERGEABLE.into()) };
                merged.extend(entries);
            }
        }
        _ => return Err(NOT_MERGEABLE.into()),
    }
    Ok(())
}

const NOT_MERGEABLE: &str = "the value of << is neither a mapping nor a list of mappings";

fn united(
    mut entries: Vec<(String, Node)>,
    merged: Vec<(String, Node)>,
) -> Result<Vec<(String, Node)>, String> {
    let mut keys = HashSet::new();
    for (key, _) in &entries {
        if !keys.insert(key.clone()) {
            return Err(format!("key `{key}` is written twice in one mapping"));
        }
    }
    entries.extend(merged.into_iter().filter(|(key, _)| keys.insert(key.clone())));
    Ok(entries)
}

/// Number of nodes and of levels of a tree; a scalar has none of the latter.
fn measure(node: &Node) -> (usize, usize) {
    let sum = |children: &mut dyn Iterator<Item = &Node>| {
        children
            .map(measure)
            .fold((1, 1), |(nodes, height), (more, below)| (nodes + more, height.max(below + 1)))
    };
    match &node.value {
        Value::List(items) => sum(&mut items.iter()),
        Value::Mapping(entries) => sum(&mut entries.iter().map(|(_, node)| node)),
        _ => (1, 0),
    }
}
