//! Core Node: its labels place the pods that run on it (Istio contract 4.3).

use serde::Deserialize;

/// Nothing but the metadata counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Node {}
