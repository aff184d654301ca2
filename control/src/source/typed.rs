//! A tree of nodes to a Rust type. Unlike a plain deserializer it says of a value that does not fit
//! which field it is and on which line, and it collects the fields nobody asked for.
//!
//! Nulls: a field of a struct that is null counts as left out, as Kubernetes has it. In a list or
//! in a map of the user's own keys a null is a value of the wrong type, unless [`Nulls`] says
//! otherwise.

use std::{cell::RefCell, fmt};

use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, Visitor, value::StrDeserializer,
};
use serde::forward_to_deserialize_any;

use super::misfit::TypeError;
use super::node::{Node, Value};

/// How a null is read where a text is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nulls {
    /// A wrong type: an Istio object with a hole in it is a mistake.
    Refused,
    /// The empty text, as Kubernetes has it for labels and annotations.
    Empty,
}

/// A field that no type asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UnknownField {
    /// `spec.http[0].retrys`.
    pub(super) path: String,
    /// One-based.
    pub(super) line: u32,
}

/// Reads `node`, which stands at `path` of its object, as a `T`.
///
/// # Errors
/// The first value that does not fit.
pub(super) fn read<T: DeserializeOwned>(
    node: &Node,
    path: &str,
    nulls: Nulls,
) -> Result<(T, Vec<UnknownField>), TypeError> {
    let unknown = RefCell::new(Vec::new());
    let root = Path { parent: None, step: Step::Key(path) };
    let value = T::deserialize(Reader { node, path: &root, unknown: &unknown, nulls })?;
    Ok((value, unknown.into_inner()))
}

/// The way from the root to a node, kept on the stack and written out only for a finding.
struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    step: Step<'a>,
}

enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_at_start = match self.parent {
            Some(parent) => {
                parent.fmt(f)?;
                parent.parent.is_none() && matches!(parent.step, Step::Key(""))
            }
            None => true,
        };
        match self.step {
            Step::Key(key) if is_at_start => f.write_str(key),
            Step::Key(key) => write!(f, ".{key}"),
            Step::Index(index) => write!(f, "[{index}]"),
        }
    }
}

#[derive(Clone, Copy)]
struct Reader<'a> {
    node: &'a Node,
    path: &'a Path<'a>,
    unknown: &'a RefCell<Vec<UnknownField>>,
    nulls: Nulls,
}

impl Reader<'_> {
    /// The innermost value that does not fit is the one to name.
    fn place(&self, mut error: TypeError) -> TypeError {
        if error.line == 0 {
            error.line = self.node.line;
            error.path = self.path.to_string();
        }
        error
    }

    fn misfit(&self, expected: &dyn de::Expected) -> TypeError {
        let found = match &self.node.value {
            Value::Null => Unexpected::Unit,
            Value::Bool(value) => Unexpected::Bool(*value),
            Value::Int(value) => Unexpected::Signed(*value),
            Value::UInt(value) => Unexpected::Unsigned(*value),
            Value::Float(value) => Unexpected::Float(*value),
            Value::Text(value) => Unexpected::Str(value),
            Value::List(_) => Unexpected::Seq,
            Value::Mapping(_) => Unexpected::Map,
        };
        self.place(de::Error::invalid_type(found, expected))
    }
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = TypeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeError> {
        match &self.node.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Int(value) => visitor.visit_i64(*value),
            Value::UInt(value) => visitor.visit_u64(*value),
            Value::Float(value) => visitor.visit_f64(*value),
            Value::Text(value) => visitor.visit_str(value),
            Value::List(items) => visitor.visit_seq(Items { of: self, rest: items, index: 0 }),
            Value::Mapping(entries) => {
                visitor.visit_map(Entries { of: self, rest: entries, skips_nulls: false })
            }
        }
        .map_err(|error| self.place(error))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, TypeError> {
        // A derived visitor would take a list too, field by field.
        let Value::Mapping(entries) = &self.node.value else { return Err(self.misfit(&visitor)) };
        visitor
            .visit_map(Entries { of: self, rest: entries, skips_nulls: true })
            .map_err(|error| self.place(error))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeError> {
        match self.node.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeError> {
        match &self.node.value {
            // What Kubernetes' own reader of YAML takes for a boolean, as it follows YAML 1.1.
            Value::Text(text) => match text.as_str() {
                "yes" | "Yes" | "YES" | "on" | "On" | "ON" => visitor.visit_bool(true),
                "no" | "No" | "NO" | "off" | "Off" | "OFF" => visitor.visit_bool(false),
                _ => Err(self.misfit(&visitor)),
            },
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeError> {
        match (&self.node.value, self.nulls) {
            (Value::Null, Nulls::Empty) => visitor.visit_str(""),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, TypeError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, TypeError> {
        let Value::Text(text) = &self.node.value else { return Err(self.misfit(&visitor)) };
        visitor
            .visit_enum(IntoDeserializer::<TypeError>::into_deserializer(text.as_str()))
            .map_err(|error| self.place(error))
    }

    /// Derived types ask for a field only to throw it away when they do not know it.
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeError> {
        let field = UnknownField { path: self.path.to_string(), line: self.node.line };
        self.unknown.borrow_mut().push(field);
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str bytes byte_buf unit unit_struct
        seq tuple tuple_struct map identifier
    }
}

struct Items<'a> {
    of: Reader<'a>,
    rest: &'a [Node],
    index: usize,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = TypeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, TypeError> {
        let Some((node, rest)) = self.rest.split_first() else { return Ok(None) };
        let path = Path { parent: Some(self.of.path), step: Step::Index(self.index) };
        (self.rest, self.index) = (rest, self.index + 1);
        seed_at(seed, self.of, node, &path).map(Some)
    }
}

struct Entries<'a> {
    of: Reader<'a>,
    /// Starts with the entry whose key was given out last, until its value is asked for.
    rest: &'a [(String, Node)],
    skips_nulls: bool,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = TypeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, TypeError> {
        while let Some(((key, node), rest)) = self.rest.split_first() {
            if self.skips_nulls && node.value == Value::Null {
                self.rest = rest;
                continue;
            }
            let key: StrDeserializer<'_, TypeError> = key.as_str().into_deserializer();
            return seed.deserialize(key).map(Some);
        }
        Ok(None)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, TypeError> {
        let Some(((key, node), rest)) = self.rest.split_first() else {
            return Err(de::Error::custom("value asked for before its key"));
        };
        self.rest = rest;
        let path = Path { parent: Some(self.of.path), step: Step::Key(key) };
        seed_at(seed, self.of, node, &path)
    }
}

fn seed_at<'de, T: DeserializeSeed<'de>>(
    seed: T,
    of: Reader<'_>,
    node: &Node,
    path: &Path<'_>,
) -> Result<T::Value, TypeError> {
    seed.deserialize(Reader { node, path, ..of })
}
