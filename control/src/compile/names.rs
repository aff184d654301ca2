//! Names: short hosts to full ones, gateway references, host syntax, `exportTo`, and the age
//! order that decides every conflict. Pure.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::object::Object;

/// Longest host name in bytes (RFC 1035 2.3.4).
const HOST_BYTES_MAX: usize = 255;
/// Longest label in bytes (RFC 1035 2.3.4).
const LABEL_BYTES_MAX: usize = 63;

/// Orders objects of one kind by creation time, then name, then namespace (Istio contract 0).
/// Objects without a time count as the oldest.
pub(super) fn by_age(a: &Object, b: &Object) -> Ordering {
    age_key(a).cmp(&age_key(b))
}

fn age_key(object: &Object) -> (&str, &str, &str) {
    let meta = &object.meta;
    (&meta.creation_timestamp, &meta.name, &meta.namespace)
}

/// Full lower-case host name: a name without a dot belongs to `namespace`, any other is complete
/// (Istio contract 2.2).
pub(crate) fn full_host(host: &str, namespace: &str, domain: &str) -> String {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    if host.contains(['.', ':', '*', '[']) {
        return canonical_ip(&host).unwrap_or(host);
    }
    format!("{host}.{namespace}.svc.{domain}")
}

/// The full name of a Service.
pub(super) fn service_host(name: &str, namespace: &str, domain: &str) -> String {
    format!("{name}.{namespace}.svc.{domain}")
}

/// An IP address as hosts and virtual hosts spell it: IPv6 in brackets.
fn canonical_ip(host: &str) -> Option<String> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    match bare.parse().ok()? {
        IpAddr::V4(v4) => Some(v4.to_string()),
        IpAddr::V6(v6) => Some(format!("[{v6}]")),
    }
}

/// Canonical form of a host pattern of a Gateway server or VirtualService: `*`, `*.suffix`, a
/// name of two labels at least, or an IP address. `None` for short names and partial wildcards
/// (Istio contract 1.3).
pub(super) fn canonical_pattern(written: &str) -> Option<String> {
    let host = written.strip_suffix('.').unwrap_or(written);
    if let Some(ip) = canonical_ip(host) {
        return Some(ip);
    }
    let name = match host.strip_prefix('*') {
        Some("") => return (written == "*").then(|| written.to_owned()),
        Some(suffix) => suffix.strip_prefix('.')?,
        None if host.contains('.') => host,
        None => return None,
    };
    is_dns_name(name).then(|| host.to_ascii_lowercase())
}

/// Dot-separated labels of letters, digits, `-` and `_`.
pub(super) fn is_dns_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= HOST_BYTES_MAX && name.split('.').all(is_label)
}

/// One label: letters, digits, `-` and `_`, no `-` at an end.
pub(super) fn is_label(label: &str) -> bool {
    let is_letter = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    (1..=LABEL_BYTES_MAX).contains(&label.len())
        && label.bytes().all(is_letter)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// A name in `spec.gateways` or `match.gateways`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum GatewayRef {
    /// The sidecars, which are none of an ingress gateway's business.
    Mesh,
    /// `namespace/name`.
    Named(String),
    /// The same, written in the old form `name.namespace[.svc…]`.
    Legacy(String),
}

impl GatewayRef {
    /// Resolves a name as written in an object of `namespace`; `None` if it is malformed
    /// (Istio contract 2.1).
    pub(super) fn resolve(written: &str, namespace: &str) -> Option<Self> {
        if written == "mesh" {
            return Some(Self::Mesh);
        }
        if let Some((of, name)) = written.split_once('/') {
            let of = if of == "." { namespace } else { of };
            return (is_label(of) && is_label(name)).then(|| Self::Named(format!("{of}/{name}")));
        }
        match written.split_once('.') {
            None => is_label(written).then(|| Self::Named(format!("{namespace}/{written}"))),
            Some((name, rest)) => {
                let of = rest.split('.').next().unwrap_or(rest);
                (is_label(of) && is_label(name)).then(|| Self::Legacy(format!("{of}/{name}")))
            }
        }
    }

    /// `namespace/name`, unless it is the mesh.
    pub(super) fn key(&self) -> Option<&str> {
        match self {
            Self::Mesh => None,
            Self::Named(key) | Self::Legacy(key) => Some(key),
        }
    }
}

/// Who sees an object, from its `exportTo`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Visibility {
    /// All namespaces.
    Everywhere,
    /// These namespaces; none if it is hidden.
    Only(BTreeSet<String>),
}

impl Visibility {
    /// Reads `exportTo` of an object of `namespace`; nothing written means everywhere.
    pub(super) fn read<'v>(values: impl IntoIterator<Item = &'v str>, namespace: &str) -> Self {
        let values: Vec<&str> = values.into_iter().collect();
        if values.is_empty() || values.contains(&"*") {
            return Self::Everywhere;
        }
        let named = values.into_iter().filter(|value| *value != "~");
        Self::Only(named.map(|v| if v == "." { namespace } else { v }.to_owned()).collect())
    }

    /// As [`Self::read`], of a list as MeshConfig has it.
    pub(super) fn read_list(values: &[String], namespace: &str) -> Self {
        Self::read(values.iter().map(String::as_str), namespace)
    }

    /// `exportTo` of an object, else the mesh's default for its kind.
    pub(super) fn of_object(own: &[String], default: &[String], namespace: &str) -> Self {
        Self::read_list(if own.is_empty() { default } else { own }, namespace)
    }

    /// Is the object seen from `namespace`?
    pub(super) fn includes(&self, namespace: &str) -> bool {
        match self {
            Self::Everywhere => true,
            Self::Only(namespaces) => namespaces.contains(namespace),
        }
    }

    /// Seen from `namespace` and nowhere else.
    pub(super) fn is_only(&self, namespace: &str) -> bool {
        matches!(self, Self::Only(of) if of.len() == 1 && of.contains(namespace))
    }
}

/// What is wrong with an `exportTo` list, if anything (Istio contract 9.3).
pub(super) fn export_to_problem(values: &[String]) -> Option<Cow<'static, str>> {
    let mut seen = BTreeSet::new();
    for value in values {
        if !matches!(value.as_str(), "*" | "." | "~") && !is_label(value) {
            return Some(format!("holds `{value}`, which is no namespace").into());
        }
        if !seen.insert(value) {
            return Some(format!("names `{value}` twice").into());
        }
    }
    let has_star = values.len() > 1 && values.iter().any(|value| value == "*");
    has_star.then_some("combines `*` with other values".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_dotless_hosts_are_expanded() {
        for (host, full) in [
            ("user", "user.shop.svc.cluster.local"),
            ("User", "user.shop.svc.cluster.local"),
            ("user.other", "user.other"),
            ("user.other.svc.cluster.local.", "user.other.svc.cluster.local"),
            ("*", "*"),
            ("::1", "[::1]"),
        ] {
            assert_eq!(full_host(host, "shop", "cluster.local"), full, "{host}");
        }
    }

    #[test]
    fn host_patterns_are_whole_names_or_whole_wildcards() {
        for (written, canonical) in [
            ("A.Example.com", Some("a.example.com")),
            ("*.example.com", Some("*.example.com")),
            ("*", Some("*")),
            ("10.0.0.1", Some("10.0.0.1")),
            ("2001:DB8::1", Some("[2001:db8::1]")),
            ("foo", None),
            ("*foo.com", None),
            ("a.*.com", None),
            ("*.", None),
            ("a..com", None),
            ("", None),
            ("a b.com", None),
        ] {
            assert_eq!(canonical_pattern(written).as_deref(), canonical, "{written}");
        }
    }

    #[test]
    fn gateway_names_resolve_in_the_namespace_of_their_object() {
        let named = |key: &str| Some(GatewayRef::Named(key.into()));
        for (written, resolved) in [
            ("gw", named("shop/gw")),
            ("./gw", named("shop/gw")),
            ("infra/gw", named("infra/gw")),
            ("gw.infra.svc.cluster.local", Some(GatewayRef::Legacy("infra/gw".into()))),
            ("mesh", Some(GatewayRef::Mesh)),
            ("", None),
            ("a/b/c", None),
            ("/gw", None),
        ] {
            assert_eq!(GatewayRef::resolve(written, "shop"), resolved, "{written}");
        }
    }

    #[test]
    fn export_to_decides_who_sees_an_object() {
        for (values, own, other, is_private) in [
            (vec![], true, true, false),
            (vec!["*"], true, true, false),
            (vec!["."], true, false, true),
            (vec!["shop"], true, false, true),
            (vec!["other"], false, true, false),
            (vec![".", "other"], true, true, false),
            (vec!["~"], false, false, false),
        ] {
            let seen = Visibility::read(values.iter().copied(), "shop");
            let found = (seen.includes("shop"), seen.includes("other"), seen.is_only("shop"));
            assert_eq!(found, (own, other, is_private), "{values:?}");
        }
    }
}
