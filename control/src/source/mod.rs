//! Where objects come from. A source reads its origins, turns them into typed objects, and says
//! what changed; it never judges what the objects mean together: that is for the store and compile.
//!
//! | module | owns |
//! | --- | --- |
//! | [`parse`] | the text of one file to objects and diagnostics; pure |
//! | [`last_good`] | what of a broken file stays in force; pure |
//! | [`directory`] | listing and watching a directory |
//! | [`kube`] | watching an API server |
//! | [`mesh_file`] | a file that is MeshConfig |
//! | `mesh` | MeshConfig inside a ConfigMap or a file of its own; pure |
//! | `documents`, `yaml`, `scalar`, `node` | text to documents to trees that know their lines |
//! | `typed`, `misfit` | a tree to a Rust type; the field, line and wording of what does not fit |
//! | `kinds` | which kinds are read, refused aloud or passed over |
//!
//! An origin is the smallest thing that a source reads whole: a file of the directory source, one
//! object of a watch on an API server. A source gives the complete view of an origin each time, so
//! that whoever listens keeps a map by origin and needs no history.

pub mod directory;
mod documents;
mod kinds;
pub mod kube;
pub mod last_good;
mod mesh;
pub mod mesh_file;
mod misfit;
mod node;
pub mod parse;
mod scalar;
mod typed;
mod yaml;

use std::sync::Arc;

use fairway_shared::diagnostic::Diagnostic;

use crate::object::Object;

/// The origin of findings about the source itself; it never has objects.
pub const SOURCE_ITSELF: &str = "";

/// What a source tells. Events are to be applied in order.
#[derive(Debug, Clone, PartialEq)]
pub enum SourceEvent {
    /// All that one origin holds now, in place of whatever it held before.
    Updated(SourceView),
    /// The origin is gone, and its objects with it.
    Removed {
        /// The origin, as an earlier [`SourceView`] named it.
        origin: String,
    },
    /// Every origin that existed at the start has been told. Said once.
    Synced,
}

/// One origin at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceView {
    /// Path relative to the source's directory, or `Kind/namespace/name` from an API server. Among
    /// duplicates the object of the lowest origin wins.
    pub origin: String,
    /// In document order.
    pub objects: Vec<Arc<Object>>,
    /// Findings of reading; findings of meaning come later, from compile.
    pub diagnostics: Vec<Diagnostic>,
}
