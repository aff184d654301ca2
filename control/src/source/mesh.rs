//! MeshConfig as text: the key `mesh` of a ConfigMap, or a file. Pure.

use serde::de::Error as _;

use super::misfit::TypeError;
use super::node::{Node, Value};
use super::typed::{self, Nulls, UnknownField};
use super::yaml::read_yaml;
use crate::object::mesh::{
    CONFIG_MAP_KEY, CONFIG_MAP_NAME, MeshConfig, OTHER_PROVIDERS, WITHOUT_EFFECT,
};

/// Is this the ConfigMap that holds MeshConfig? All others are other people's business.
pub(super) fn holds_mesh_config(name: &str, node: &Node) -> bool {
    name == CONFIG_MAP_NAME
        && node.get("data").is_some_and(|data| data.get(CONFIG_MAP_KEY).is_some())
}

/// Reads MeshConfig out of its ConfigMap.
///
/// # Errors
/// The text is no YAML, or a field of it does not fit.
pub(super) fn read_config_map(
    node: &Node,
    unknown: &mut Vec<UnknownField>,
) -> Result<MeshConfig, TypeError> {
    let Some(held) = node.get("data").and_then(|data| data.get(CONFIG_MAP_KEY)) else {
        return Ok(MeshConfig::default());
    };
    match &held.value {
        // A block of text begins on the line after its key.
        Value::Text(text) => read_mesh_text(text, held.line, unknown),
        _ => {
            let mut error = TypeError::custom("expected a text that holds MeshConfig");
            (error.path, error.line) = (format!("data.{CONFIG_MAP_KEY}"), held.line);
            Err(error)
        }
    }
}

/// Reads MeshConfig from text before which its file has `lines_before` lines.
///
/// # Errors
/// The text is no YAML, or a field of it does not fit.
pub(super) fn read_mesh_text(
    text: &str,
    lines_before: u32,
    unknown: &mut Vec<UnknownField>,
) -> Result<MeshConfig, TypeError> {
    let documents = read_yaml(text, lines_before).map_err(|error| {
        let mut misfit = TypeError::custom(error.message);
        (misfit.path, misfit.line) = (CONFIG_MAP_KEY.to_owned(), error.line);
        misfit
    })?;
    let Some(document) = documents.first() else { return Ok(MeshConfig::default()) };
    let (mesh, fields): (MeshConfig, _) = typed::read(document, CONFIG_MAP_KEY, Nulls::Empty)?;
    unknown.extend(fields.into_iter().filter(|field| !is_known(&field.path)));
    for (at, provider) in mesh.extension_providers.iter().enumerate() {
        let strange =
            provider.other.keys().filter(|kind| !OTHER_PROVIDERS.contains(&kind.as_str()));
        unknown.extend(strange.map(|kind| UnknownField {
            path: format!("{CONFIG_MAP_KEY}.extensionProviders[{at}].{kind}"),
            line: document.line,
        }));
    }
    Ok(mesh)
}

/// A field of Istio's that a gateway has no use for.
fn is_known(path: &str) -> bool {
    let field = path.strip_prefix(CONFIG_MAP_KEY).and_then(|path| path.strip_prefix('.'));
    field.is_some_and(|field| WITHOUT_EFFECT.contains(&field))
}
