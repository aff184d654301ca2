//! What a rule hashes of a request (Istio contract 3.3, `consistentHash`).

use std::sync::Arc;

use fairway_shared::snapshot::cluster::{
    Balancer, MAGLEV_TABLE_SIZE_BOUND, MAGLEV_TABLE_SIZE_DEFAULT, RING_SIZE_DEFAULT, RING_SIZE_MAX,
    is_maglev_table_size,
};
use fairway_shared::snapshot::route::{HashCookie, HashKey};

use super::super::findings::{DEPRECATED, DUBIOUS, Scope};
use super::super::quantities::read_ms;
use crate::object::traffic_policy::{ConsistentHash, HttpCookie, Maglev};

/// Where findings about keys belong.
const FIELD: &str = "loadBalancer.consistentHash";

/// The algorithm of a consistent hash.
pub(super) fn read_algorithm(hash: &ConsistentHash, scope: &mut Scope<'_>) -> Balancer {
    let old = hash.minimum_ring_size;
    let written = [old.is_some(), hash.ring_hash.is_some(), hash.maglev.is_some()];
    if written.iter().filter(|is_set| **is_set).count() > 1 {
        let what = "has more than one of ringHash, maglev and minimumRingSize";
        scope.invalid(FIELD, what, "keep one");
    }
    if old.is_some() {
        let field = format!("{FIELD}.minimumRingSize");
        scope.warn(DEPRECATED, &field, "is deprecated", "use ringHash.minimumRingSize");
    }
    if let Some(maglev) = &hash.maglev {
        return Balancer::Maglev { table_size: read_table_size(maglev, scope) };
    }
    let size = old.or(hash.ring_hash.as_ref().map(|ring| ring.minimum_ring_size));
    let ring_size_min = match size.unwrap_or_default() {
        0 => RING_SIZE_DEFAULT,
        size => u32::try_from(size).unwrap_or(u32::MAX),
    };
    if ring_size_min > RING_SIZE_MAX {
        let what = format_args!("is {}", size.unwrap_or_default());
        let remedy = format!("use 1 to {RING_SIZE_MAX}");
        scope.invalid(&format!("{FIELD}.ringHash.minimumRingSize"), what, &remedy);
    }
    Balancer::RingHash { ring_size_min }
}

/// An empty block has the proxy's default.
fn read_table_size(maglev: &Maglev, scope: &mut Scope<'_>) -> u32 {
    let Some(written) = maglev.table_size else { return MAGLEV_TABLE_SIZE_DEFAULT };
    match u32::try_from(written) {
        Ok(size) if is_maglev_table_size(size) => size,
        _ => {
            let what = format_args!("is {written}");
            let remedy = format!("use a prime below {MAGLEV_TABLE_SIZE_BOUND}, such as 65537");
            scope.invalid(&format!("{FIELD}.maglev.tableSize"), what, &remedy);
            MAGLEV_TABLE_SIZE_DEFAULT
        }
    }
}

/// The key, if there is exactly one.
pub(super) fn read_key(hash: &ConsistentHash, scope: &mut Scope<'_>) -> Option<Arc<HashKey>> {
    let header = (!hash.http_header_name.is_empty())
        .then(|| HashKey::Header(hash.http_header_name.to_ascii_lowercase()));
    let parameter = (!hash.http_query_parameter_name.is_empty())
        .then(|| HashKey::QueryParameter(hash.http_query_parameter_name.clone()));
    let source = hash.use_source_ip.unwrap_or_default().then_some(HashKey::SourceIp);
    let cookie =
        hash.http_cookie.as_ref().map(|cookie| HashKey::Cookie(read_cookie(cookie, scope)));
    let mut keys = [header, parameter, source, cookie].into_iter().flatten();
    let key = keys.next();
    if keys.next().is_some() {
        scope.invalid(FIELD, "names more than one key", "keep one");
    } else if key.is_none() {
        let what = "names nothing to hash, so that endpoints are picked at random";
        scope.warn(DUBIOUS, FIELD, what, "name a header, a cookie, a parameter or useSourceIp");
    }
    key.map(Arc::new)
}

fn read_cookie(cookie: &HttpCookie, scope: &mut Scope<'_>) -> HashCookie {
    let field = |name: &str| format!("{FIELD}.httpCookie.{name}");
    if !is_token(&cookie.name) {
        let what = format_args!("`{}` is no cookie name", cookie.name);
        scope.invalid(&field("name"), what, "name the cookie");
    }
    let is_text = |text: &str| text.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b';');
    if !is_text(&cookie.path) {
        scope.invalid(&field("path"), "holds `;` or unprintable bytes", "write a URL path");
    }
    for attribute in &cookie.attributes {
        if !is_token(&attribute.name) || !is_text(&attribute.value) {
            let what = format_args!("holds `{}`, no attribute of a cookie", attribute.name);
            scope.invalid(&field("attributes"), what, "name it, without `;` in its value");
        }
    }
    let pair = |attribute: &crate::object::traffic_policy::CookieAttribute| {
        (attribute.name.clone(), attribute.value.clone())
    };
    HashCookie {
        name: cookie.name.clone(),
        path: cookie.path.clone(),
        ttl_ms: cookie.ttl.as_deref().and_then(|ttl| read_ms(ttl, &field("ttl"), scope)),
        attributes: cookie.attributes.iter().map(pair).collect(),
    }
}

/// RFC 9110 5.6.2.
fn is_token(text: &str) -> bool {
    let is_special = |b: u8| b"!#$%&'*+-.^_`|~".contains(&b);
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || is_special(b))
}
