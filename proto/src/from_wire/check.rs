//! The checks that all resources share, and the path to a bad field.

use std::collections::BTreeMap;
use std::sync::Arc;

/// A field that cannot be taken over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("field {path} {problem}")]
pub struct FieldError {
    /// From the message's root: `clusters[3].id.service.port`.
    pub path: String,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Absent, empty, or of a kind that this build does not know.
    #[error("is missing or of an unknown kind")]
    Missing,
    /// An enum value that this build does not know.
    #[error("has the unknown value {value}")]
    Unknown {
        /// As received.
        value: i32,
    },
    /// A number outside its range.
    #[error("is {value}, allowed are {min} to {max}")]
    OutOfRange {
        /// As received.
        value: u64,
        /// Least value allowed.
        min: u64,
        /// Greatest value allowed.
        max: u64,
    },
    /// A text that is not an address.
    #[error("is not an address: `{text}`")]
    NotAnAddress {
        /// As received.
        text: String,
    },
    /// A key that an earlier item has.
    #[error("occurs twice: `{key}`")]
    Duplicate {
        /// The key.
        key: String,
    },
    /// The base has nothing of this name to remove.
    #[error("is not in the base: `{key}`")]
    NotInBase {
        /// The key.
        key: String,
    },
    /// A value that may not stand here.
    #[error("is not allowed here")]
    Forbidden,
}

impl From<Problem> for FieldError {
    fn from(problem: Problem) -> Self {
        Self { path: String::new(), problem }
    }
}

/// Extends the path of an error on its way out.
pub(super) trait At {
    /// The error is in this field.
    fn at(self, field: &str) -> Self;
    /// The error is in this item of this list.
    fn at_index(self, field: &str, index: usize) -> Self;
}

impl<T> At for Result<T, FieldError> {
    fn at(self, field: &str) -> Self {
        self.map_err(|error| error.inside(field.to_owned()))
    }

    fn at_index(self, field: &str, index: usize) -> Self {
        self.map_err(|error| error.inside(format!("{field}[{index}]")))
    }
}

impl FieldError {
    fn inside(self, mut path: String) -> Self {
        if !self.path.is_empty() {
            path.push('.');
            path.push_str(&self.path);
        }
        Self { path, problem: self.problem }
    }
}

/// A message or oneof that must be there.
pub(super) fn required<T>(value: Option<T>) -> Result<T, FieldError> {
    Ok(value.ok_or(Problem::Missing)?)
}

/// A text that must not be empty.
pub(super) fn named(text: String) -> Result<String, FieldError> {
    if text.is_empty() { Err(Problem::Missing.into()) } else { Ok(text) }
}

/// A number between two bounds, both included.
pub(super) fn within<N: Copy + Into<u64>>(value: N, min: u64, max: u64) -> Result<N, FieldError> {
    if (min..=max).contains(&value.into()) {
        Ok(value)
    } else {
        Err(Problem::OutOfRange { value: value.into(), min, max }.into())
    }
}

/// A number of 16 bits between two bounds, both included.
pub(super) fn within_u16(value: u32, min: u16, max: u16) -> Result<u16, FieldError> {
    match u16::try_from(value) {
        Ok(small) if (min..=max).contains(&small) => Ok(small),
        _ => {
            let (value, min, max) = (value.into(), min.into(), max.into());
            Err(Problem::OutOfRange { value, min, max }.into())
        }
    }
}

/// A TCP port.
pub(super) fn port(value: u32) -> Result<u16, FieldError> {
    within_u16(value, 0, u16::MAX)
}

/// An enum value that this build knows and that is not the unspecified one.
pub(super) fn known<E: TryFrom<i32>>(value: i32) -> Result<E, FieldError> {
    match E::try_from(value) {
        Ok(known) if value != 0 => Ok(known),
        _ => Err(Problem::Unknown { value }.into()),
    }
}

/// Every item of a list.
pub(super) fn each<W, T>(
    field: &str,
    items: Vec<W>,
    read: impl Fn(W) -> Result<T, FieldError>,
) -> Result<Vec<T>, FieldError> {
    let numbered = items.into_iter().enumerate();
    numbered.map(|(index, item)| read(item).at_index(field, index)).collect()
}

/// Every item of a list of keyed resources, put into `target`. No two may share a key.
pub(super) fn upsert<W, K: Ord + Clone + ToString, T>(
    field: &str,
    items: Vec<W>,
    read: impl Fn(W) -> Result<(K, T), FieldError>,
    target: &mut BTreeMap<K, Arc<T>>,
) -> Result<(), FieldError> {
    let mut seen = BTreeMap::new();
    for (index, item) in items.into_iter().enumerate() {
        let (key, value) = read(item).at_index(field, index)?;
        if seen.contains_key(&key) {
            let key = key.to_string();
            return Err(FieldError::from(Problem::Duplicate { key })).at_index(field, index);
        }
        seen.insert(key, Arc::new(value));
    }
    target.append(&mut seen);
    Ok(())
}

/// Every key of a list, taken out of `target`, where it must be.
pub(super) fn remove<W, K: Ord + ToString, T>(
    field: &str,
    keys: Vec<W>,
    read: impl Fn(W) -> Result<K, FieldError>,
    target: &mut BTreeMap<K, Arc<T>>,
) -> Result<(), FieldError> {
    for (index, key) in keys.into_iter().enumerate() {
        let key = read(key).at_index(field, index)?;
        if target.remove(&key).is_none() {
            let key = key.to_string();
            return Err(FieldError::from(Problem::NotInBase { key })).at_index(field, index);
        }
    }
    Ok(())
}
