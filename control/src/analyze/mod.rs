//! What is wrong, or likely not as meant, in objects that compile as they stand
//! (Istio contract 9.4). Each check is a pure function over the config set; `compile` reports what
//! it meets on its own way and is not repeated here.

use fairway_shared::diagnostic::Diagnostic;

use crate::object::ConfigSet;

/// Runs every check.
pub fn analyze(config: &ConfigSet) -> Vec<Diagnostic> {
    let _ = config;
    Vec::new()
}
