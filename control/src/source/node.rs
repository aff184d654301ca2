//! A document as a tree whose nodes know the lines they stand on: what YAML and JSON have in
//! common, and nothing of what the objects mean.

/// A value and the one-based line it begins on; for an alias, the line of the alias.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) line: u32,
    pub(super) value: Value,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    /// Negative.
    Int(i64),
    UInt(u64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    /// In the order written; keys are unique.
    Mapping(Vec<(String, Node)>),
}

impl From<serde_json::Value> for Node {
    /// Nodes without lines: the value comes from no file.
    fn from(from: serde_json::Value) -> Self {
        use serde_json::Value as Json;
        let value = match from {
            Json::Null => Value::Null,
            Json::Bool(value) => Value::Bool(value),
            Json::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(value), _) => Value::UInt(value),
                (None, Some(value)) => Value::Int(value),
                (None, None) => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(text) => Value::Text(text),
            Json::Array(items) => Value::List(items.into_iter().map(Self::from).collect()),
            Json::Object(entries) => Value::Mapping(
                entries.into_iter().map(|(key, value)| (key, Self::from(value))).collect(),
            ),
        };
        Self { line: 0, value }
    }
}

impl Node {
    /// The value under `key`, if this is a mapping that has it and it is not null.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|(name, _)| name == key).map(|(_, node)| node).filter(|node| {
            // Kubernetes reads a field that is null as a field that is left out.
            node.value != Value::Null
        })
    }

    /// The entries of a mapping; none for anything else.
    pub(super) fn entries(&self) -> &[(String, Node)] {
        match &self.value {
            Value::Mapping(entries) => entries,
            _ => &[],
        }
    }

    /// The text under `key`; empty if there is none.
    pub(super) fn text(&self, key: &str) -> &str {
        match self.get(key).map(|node| &node.value) {
            Some(Value::Text(text)) => text,
            _ => "",
        }
    }
}
