//! Cross-origin policies (Istio contract 2.10).

use std::sync::Arc;

use fairway_shared::snapshot::route::{CorsPolicy, StringMatch};

use super::findings::{DEPRECATED, Scope};
use super::matches::read_string;
use super::quantities::read_ms;
use crate::object::virtual_service as object;

/// Methods that may be listed.
const METHODS: [&str; 10] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "*"];

/// Reads `corsPolicy`.
pub(super) fn read_cors(
    policy: Option<&object::CorsPolicy>,
    scope: &mut Scope<'_>,
) -> Option<Arc<CorsPolicy>> {
    let policy = policy?;
    for method in &policy.allow_methods {
        if !METHODS.contains(&method.as_str()) {
            let what = format_args!("holds `{method}`, no known method");
            scope.invalid("corsPolicy.allowMethods", what, "use names such as GET");
        }
    }
    Some(Arc::new(CorsPolicy {
        allow_origins: read_origins(policy, scope),
        allow_methods: joined(&policy.allow_methods),
        allow_headers: joined(&policy.allow_headers),
        expose_headers: joined(&policy.expose_headers),
        max_age_secs: policy.max_age.as_deref().and_then(|age| read_max_age(age, scope)),
        allow_credentials: policy.allow_credentials == Some(true),
        forward_unmatched_preflights: read_unmatched(&policy.unmatched_preflights, scope),
    }))
}

fn read_origins(policy: &object::CorsPolicy, scope: &mut Scope<'_>) -> Vec<StringMatch> {
    if policy.allow_origins.is_empty() {
        if !policy.allow_origin.is_empty() {
            scope.warn(DEPRECATED, "corsPolicy.allowOrigin", "is deprecated", "use allowOrigins");
        }
        return policy.allow_origin.iter().cloned().map(StringMatch::Exact).collect();
    }
    let field = "corsPolicy.allowOrigins";
    let mut origins = Vec::with_capacity(policy.allow_origins.len());
    for test in &policy.allow_origins {
        if *test == object::StringMatch::default() {
            scope.invalid(field, "has an entry that tests nothing", "use exact, prefix or regex");
        }
        origins.push(read_string(test, field, scope));
    }
    origins
}

fn joined(values: &[String]) -> Option<String> {
    (!values.is_empty()).then(|| values.join(","))
}

fn read_max_age(text: &str, scope: &mut Scope<'_>) -> Option<u64> {
    let ms = read_ms(text, "corsPolicy.maxAge", scope)?;
    if !ms.is_multiple_of(1_000) {
        let what = format_args!("is `{text}`, not a whole number of seconds");
        scope.invalid("corsPolicy.maxAge", what, "round it");
    }
    Some(ms / 1_000)
}

fn read_unmatched(value: &str, scope: &mut Scope<'_>) -> bool {
    match value {
        "" | "UNSPECIFIED" | "FORWARD" => true,
        "IGNORE" => false,
        _ => {
            let what = format_args!("`{value}` is unknown");
            scope.invalid("corsPolicy.unmatchedPreflights", what, "use FORWARD or IGNORE");
            true
        }
    }
}
