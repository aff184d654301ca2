//! Findings in the user's objects. A finding names the object, the place, what is wrong and what
//! to do; it is collected, never thrown.

use std::fmt;

/// How bad a finding is. Ordered: `Info < Warning < Error`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing; traffic is as the user would expect.
    Info,
    /// Traffic may differ from what the user expects.
    Warning,
    /// Something the user wrote does not serve.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Info => "Info",
            Self::Warning => "Warning",
            Self::Error => "Error",
        })
    }
}

/// Which object a finding is about. An empty `kind` means that the finding is about a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectRef {
    /// `VirtualService`, `Gateway`, …
    pub kind: String,
    /// Namespace; empty for a cluster-scoped object.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.kind.is_empty(), self.namespace.is_empty()) {
            (true, _) => f.write_str(&self.name),
            (false, true) => write!(f, "{} {}", self.kind, self.name),
            (false, false) => write!(f, "{} {}/{}", self.kind, self.namespace, self.name),
        }
    }
}

/// Where an object was read: a file of the directory source and a line, one-based.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Path relative to the source's directory.
    pub file: String,
    /// One-based line; 0 if only the file is known.
    pub line: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.file),
            line => write!(f, "{}:{line}", self.file),
        }
    }
}

/// One finding. `code` is an Istio analyzer code (`IST0101`) where Istio has one, else `FWY####`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// `IST####` or `FWY####`.
    pub code: &'static str,
    /// The object that has to change.
    pub object: ObjectRef,
    /// Where that object was read, if from a file.
    pub place: Option<Place>,
    /// What is wrong, naming the field: lower case, no full stop.
    pub message: String,
    /// What to do about it; may be empty only where the message says it.
    pub remedy: String,
}

/// `Error [IST0101] (VirtualService dk-shop/user dk-shop.yaml:23) message: remedy`
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}] (", self.severity, self.code)?;
        match &self.place {
            Some(place) if self.object.kind.is_empty() => write!(f, "{place}")?,
            Some(place) => write!(f, "{} {place}", self.object)?,
            None => write!(f, "{}", self.object)?,
        }
        write!(f, ") {}", self.message)?;
        if self.remedy.is_empty() { Ok(()) } else { write!(f, ": {}", self.remedy) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_prints_on_one_line_with_place_and_remedy() {
        let finding = Diagnostic {
            severity: Severity::Error,
            code: "IST0101",
            object: ObjectRef {
                kind: "VirtualService".into(),
                namespace: "dk-shop".into(),
                name: "user".into(),
            },
            place: Some(Place { file: "dk-shop.yaml".into(), line: 23 }),
            message: "gateway `shop` does not exist".into(),
            remedy: "create it or correct spec.gateways".into(),
        };
        assert_eq!(
            finding.to_string(),
            "Error [IST0101] (VirtualService dk-shop/user dk-shop.yaml:23) \
             gateway `shop` does not exist: create it or correct spec.gateways"
        );
    }
}
