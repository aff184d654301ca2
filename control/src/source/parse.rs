//! The bytes of one file to typed objects and diagnostics. Pure; no input may panic.
//!
//! An object that cannot be used is reported and takes no neighbour with it. What stays in force in
//! its stead is not decided here but in [`last_good`](super::last_good).
//!
//! | code | severity | means |
//! | --- | --- | --- |
//! | `FWY0001` | Error | not readable as objects: syntax, no kind, no name, too large |
//! | `FWY0002` | Warning | an unknown field; the object is used without it |
//! | `FWY0003` | Warning | a kind that is not supported |
//! | `FWY0003` | Error | a kind that keeps requests out, and is not enforced |
//! | `IST0106` | Error | a field of the wrong type; the object is not used |

use std::sync::Arc;

use fairway_shared::diagnostic::{Diagnostic, ObjectRef, Place, Severity};
use serde::de::DeserializeOwned;

use super::{
    documents::{Syntax, read_documents},
    kinds::{Kind, Reading, reading_of},
    mesh::{holds_mesh_config, read_config_map, read_mesh_text},
    misfit::TypeError,
    node::{Node, Value},
    typed::{self, Nulls, UnknownField},
};
use crate::object::{self, Object, Spec, meta::Meta};

/// Largest file that is read, in bytes.
pub const FILE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The namespace of an object that names none, as `kubectl` has it.
pub const DEFAULT_NAMESPACE: &str = "default";

/// Name under which findings speak of a MeshConfig file.
const MESH_NAME: &str = "mesh";
/// Where MeshConfig's ConfigMap is looked for, and under which findings speak of a file.
pub(super) const MESH_NAMESPACE: &str = "istio-system";

/// What was found in one file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ParsedFile {
    /// In document order.
    pub entries: Vec<Entry>,
    /// Findings beside those of invalid entries.
    pub diagnostics: Vec<Diagnostic>,
    /// Some of the file is not readable as objects (`FWY0001`): it may be half-written.
    pub is_broken: bool,
}

/// One object of a kind that is read.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// Fit for use.
    Valid(Arc<Object>),
    /// A field has the wrong type. The finding says what is wrong and which object this is, so that
    /// its last good version can be found.
    Invalid(Box<Diagnostic>),
}

/// Parses the content of `file`, a path relative to the source's directory. Its ending tells YAML
/// from JSON.
pub fn parse_file(file: &str, content: &[u8]) -> ParsedFile {
    let mut parsing = Parsing { file: Some(file), parsed: ParsedFile::default() };
    if content.len() > FILE_BYTES_MAX {
        let message = format!("file of {} bytes exceeds {FILE_BYTES_MAX}", content.len());
        parsing.broken(Severity::Error, 0, message, "split it");
    } else if content.is_empty() {
        let remedy = "remove the file, or write a comment into it, if it is to hold no objects";
        parsing.broken(Severity::Warning, 0, "the file is empty".to_owned(), remedy);
    } else {
        parsing.content(content);
    }
    parsing.parsed
}

/// Parses one object of a kind that is known, as an API server tells it. Findings name no place:
/// they name the object.
pub(super) fn parse_value(kind: Kind, kind_name: &str, value: serde_json::Value) -> ParsedFile {
    let mut parsing = Parsing { file: None, parsed: ParsedFile::default() };
    parsing.object(&Node::from(value), kind, kind_name);
    parsing.parsed
}

/// Parses a file that is MeshConfig itself, without an object around it.
pub fn parse_mesh_file(file: &str, content: &[u8]) -> ParsedFile {
    let mut parsing = Parsing { file: Some(file), parsed: ParsedFile::default() };
    match std::str::from_utf8(content) {
        Ok(text) => parsing.mesh_config(text),
        Err(_) => {
            let message = "the text is not UTF-8".to_owned();
            parsing.broken(Severity::Error, 0, message, "save the file as UTF-8");
        }
    }
    parsing.parsed
}

struct Parsing<'a> {
    /// `None` if the object comes from no file.
    file: Option<&'a str>,
    parsed: ParsedFile,
}

impl Parsing<'_> {
    fn content(&mut self, content: &[u8]) {
        let text = match std::str::from_utf8(content) {
            Ok(text) => text,
            Err(error) => {
                let line = content[..error.valid_up_to()].split(|byte| *byte == b'\n').count();
                let line = u32::try_from(line).unwrap_or(u32::MAX);
                let message = "the text is not UTF-8".to_owned();
                return self.broken(Severity::Error, line, message, "save the file as UTF-8");
            }
        };
        let is_json = self.file.is_some_and(|file| file.ends_with(".json"));
        let (documents, errors) =
            read_documents(text, if is_json { Syntax::Json } else { Syntax::Yaml });
        for error in errors {
            self.broken(Severity::Error, error.line, error.message, "correct the syntax");
        }
        for document in &documents {
            self.document(document, "", "");
        }
    }

    /// One document, or one item of a list, whose kind the items may leave to the list.
    fn document(&mut self, node: &Node, list_version: &str, item_kind: &str) {
        if !matches!(node.value, Value::Mapping(_)) {
            let message = "the document is not an object, but a single value or a list";
            let remedy = "write an object with apiVersion, kind and metadata";
            return self.broken(Severity::Error, node.line, message.to_owned(), remedy);
        }
        let or = |own: &str, inherited: &str| {
            if own.is_empty() { inherited.to_owned() } else { own.to_owned() }
        };
        let api_version = or(node.text("apiVersion"), list_version);
        let kind = or(node.text("kind"), item_kind);
        for (field, value) in [("apiVersion", &api_version), ("kind", &kind)] {
            if value.is_empty() {
                let message = format!("the document has no {field}");
                let remedy = "add it, or move the file out of the directory";
                return self.broken(Severity::Error, node.line, message, remedy);
            }
        }
        if let (Some(item_kind), Some(Value::List(items))) =
            (kind.strip_suffix("List"), node.get("items").map(|items| &items.value))
        {
            let list_version = if item_kind.is_empty() { "" } else { &api_version };
            return items.iter().for_each(|item| self.document(item, list_version, item_kind));
        }
        match reading_of(&api_version, &kind) {
            Reading::Read(known) => self.object(node, known, &kind),
            Reading::NotSupported => self.not_supported(node, &api_version, &kind),
            Reading::NotEnforced => self.not_enforced(node, &kind),
            Reading::Ignored => {}
        }
    }

    fn mesh_config(&mut self, text: &str) {
        let namespace = MESH_NAMESPACE.to_owned();
        let meta = Meta { name: MESH_NAME.to_owned(), namespace, ..Meta::default() };
        let mut unknown = Vec::new();
        match read_mesh_text(text, 0, &mut unknown) {
            Ok(spec) => {
                let place = self.place(1);
                let object = Object { meta, place, spec: Spec::MeshConfig(spec) };
                unknown.iter().for_each(|field| self.unknown_field(&object.reference(), field));
                self.parsed.entries.push(Entry::Valid(Arc::new(object)));
            }
            Err(error) => {
                let message = error.to_string();
                self.broken(Severity::Error, error.line, message, "correct the field");
            }
        }
    }

    fn object(&mut self, node: &Node, kind: Kind, kind_name: &str) {
        let reference = reference_of(node, kind_name);
        if kind == Kind::ConfigMap && !holds_mesh_config(&reference.name, node) {
            return;
        }
        if reference.name.is_empty() {
            let message = format!("{kind_name} without metadata.name");
            return self.broken(Severity::Error, node.line, message, "give it a name");
        }
        match read_object(node, kind) {
            Ok((meta, spec, unknown)) => {
                let place = self.place(node.line);
                let object = Object { meta, place, spec };
                unknown.into_iter().for_each(|field| self.unknown_field(&reference, &field));
                self.parsed.entries.push(Entry::Valid(Arc::new(object)));
            }
            Err(error) => {
                let finding = Diagnostic {
                    severity: Severity::Error,
                    code: "IST0106",
                    object: reference,
                    place: self.place(error.line),
                    message: error.to_string(),
                    remedy: "correct the field".to_owned(),
                };
                self.parsed.entries.push(Entry::Invalid(Box::new(finding)));
            }
        }
    }

    fn broken(&mut self, severity: Severity, line: u32, message: String, remedy: &str) {
        self.parsed.is_broken = true;
        self.parsed.diagnostics.push(Diagnostic {
            severity,
            code: "FWY0001",
            object: ObjectRef::default(),
            place: self.place(line),
            message,
            remedy: remedy.to_owned(),
        });
    }

    fn unknown_field(&mut self, reference: &ObjectRef, field: &UnknownField) {
        self.parsed.diagnostics.push(Diagnostic {
            severity: Severity::Warning,
            code: "FWY0002",
            object: reference.clone(),
            place: self.place(field.line),
            message: format!("unknown field {} has no effect", field.path),
            remedy: "check its spelling and where it stands".to_owned(),
        });
    }

    fn not_supported(&mut self, node: &Node, api_version: &str, kind: &str) {
        self.parsed.diagnostics.push(Diagnostic {
            severity: Severity::Warning,
            code: "FWY0003",
            object: reference_of(node, kind),
            place: self.place(node.line),
            message: format!("{kind} of {api_version} is not supported and has no effect"),
            remedy: "remove it, or do not rely on it".to_owned(),
        });
    }

    fn not_enforced(&mut self, node: &Node, kind: &str) {
        self.parsed.diagnostics.push(Diagnostic {
            severity: Severity::Error,
            code: "FWY0003",
            object: reference_of(node, kind),
            place: self.place(node.line),
            message: format!("{kind} is not enforced: requests it should stop get through"),
            remedy: "protect the services behind the gateway in another way".to_owned(),
        });
    }

    fn place(&self, line: u32) -> Option<Place> {
        self.file.map(|file| Place { file: file.to_owned(), line })
    }
}

/// Kind, namespace and name as far as they can be told, also of an object that is not valid.
fn reference_of(node: &Node, kind: &str) -> ObjectRef {
    let text = |key| node.get("metadata").map_or("", |meta| meta.text(key));
    let namespace = match text("namespace") {
        "" => DEFAULT_NAMESPACE,
        named => named,
    };
    ObjectRef {
        kind: kind.to_owned(),
        namespace: namespace.to_owned(),
        name: text("name").to_owned(),
    }
}

fn read_object(node: &Node, kind: Kind) -> Result<(Meta, Spec, Vec<UnknownField>), TypeError> {
    let mut unknown = Vec::new();
    let meta = read_meta(node, &mut unknown)?;
    let of_spec = &mut unknown;
    let spec = match kind {
        Kind::Gateway => Spec::Gateway(read_spec(node, Nulls::Refused, of_spec)?),
        Kind::VirtualService => Spec::VirtualService(read_spec(node, Nulls::Refused, of_spec)?),
        Kind::DestinationRule => Spec::DestinationRule(read_spec(node, Nulls::Refused, of_spec)?),
        Kind::ServiceEntry => Spec::ServiceEntry(read_spec(node, Nulls::Refused, of_spec)?),
        Kind::WorkloadEntry => Spec::WorkloadEntry(read_spec(node, Nulls::Refused, of_spec)?),
        // The rest has more fields than we read, and not all of them under `spec`.
        Kind::Service => Spec::Service(read_spec(node, Nulls::Empty, &mut Vec::new())?),
        Kind::Endpoints => Spec::Endpoints(typed::read(node, "", Nulls::Empty)?.0),
        Kind::EndpointSlice => Spec::EndpointSlice(typed::read(node, "", Nulls::Empty)?.0),
        Kind::Pod => Spec::Pod(typed::read(node, "", Nulls::Empty)?.0),
        Kind::Secret => Spec::Secret(typed::read(node, "", Nulls::Empty)?.0),
        Kind::ConfigMap => Spec::ConfigMap(read_config_map(node, of_spec)?),
        Kind::Node => Spec::Node(object::node::Node::default()),
    };
    if kind.is_istio() {
        unknown.extend(strangers(node, "", &["apiVersion", "kind", "metadata", "spec", "status"]));
    }
    unknown.sort_by_key(|field| field.line);
    Ok((meta, spec, unknown))
}

fn read_meta(node: &Node, unknown: &mut Vec<UnknownField>) -> Result<Meta, TypeError> {
    let Some(metadata) = node.get("metadata") else { return Ok(Meta::default()) };
    // Most of metadata is no concern of ours, so that only fields which Kubernetes does not know
    // either are findings.
    let (mut meta, _): (Meta, _) = typed::read(metadata, "metadata", Nulls::Empty)?;
    unknown.extend(strangers(metadata, "metadata.", META_FIELDS));
    if meta.namespace.is_empty() {
        meta.namespace = DEFAULT_NAMESPACE.to_owned();
    }
    Ok(meta)
}

fn read_spec<T: DeserializeOwned + Default>(
    node: &Node,
    nulls: Nulls,
    unknown: &mut Vec<UnknownField>,
) -> Result<T, TypeError> {
    let Some(spec) = node.get("spec") else { return Ok(T::default()) };
    let (spec, fields) = typed::read(spec, "spec", nulls)?;
    unknown.extend(fields);
    Ok(spec)
}

/// Fields of a mapping that are not among `known`.
fn strangers(node: &Node, prefix: &str, known: &[&str]) -> Vec<UnknownField> {
    let unknown = node.entries().iter().filter(|(key, _)| !known.contains(&key.as_str()));
    unknown
        .map(|(key, node)| UnknownField { path: format!("{prefix}{key}"), line: node.line })
        .collect()
}

/// Kubernetes API reference: ObjectMeta.
const META_FIELDS: &[&str] = &[
    "annotations",
    "clusterName",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

#[cfg(test)]
mod tests;
