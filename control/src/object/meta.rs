//! `metadata`, as far as it is used.

use std::collections::BTreeMap;

use serde::Deserialize;

/// `metadata` of any object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Meta {
    /// Required.
    pub name: String,
    /// Set by the source to its default namespace where the object leaves it out.
    pub namespace: String,
    /// RFC 3339; empty if unknown. First key of the age order (Istio contract 0).
    pub creation_timestamp: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
}
