//! The fields of a server's `tls` block that say how its handshakes are done: versions, suites,
//! fingerprints (Istio contract 1.7).

use fairway_shared::snapshot::tls::{CIPHER_SUITES, TlsVersion};

use super::findings::{DUBIOUS, NOT_IN_FORCE, Scope};
use crate::object::gateway::ServerTls;
use crate::object::mesh::TlsDefaults;
use crate::object::secret::decode_base64;

/// Suites that Istio knows and that are not offered: they have no forward secrecy, or none of the
/// integrity that is asked for today.
const OLD_SUITES: [&str; 9] = [
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-ECDSA-AES256-SHA",
    "ECDHE-RSA-AES128-SHA",
    "ECDHE-RSA-AES256-SHA",
    "AES128-GCM-SHA256",
    "AES256-GCM-SHA384",
    "AES128-SHA",
    "AES256-SHA",
    "DES-CBC3-SHA",
];

/// What the mesh says for servers that do not: `tlsDefaults`.
#[derive(Debug, Default)]
pub(super) struct Defaults {
    version_min: Option<TlsVersion>,
    cipher_suites: Vec<String>,
}

impl Defaults {
    /// Checks what the mesh says.
    pub(super) fn read(written: &TlsDefaults, scope: &mut Scope<'_>) -> Self {
        if !written.ecdh_curves.is_empty() {
            scope.ignored("tlsDefaults.ecdhCurves");
        }
        let version = &written.min_protocol_version;
        Self {
            version_min: lowest(version, "tlsDefaults.minProtocolVersion", scope),
            cipher_suites: suites(&written.cipher_suites, "tlsDefaults.cipherSuites", scope),
        }
    }
}

/// Lowest and highest version.
pub(super) fn versions(
    tls: &ServerTls,
    defaults: &Defaults,
    scope: &mut Scope<'_>,
) -> (TlsVersion, TlsVersion) {
    let own = lowest(&tls.min_protocol_version, "tls.minProtocolVersion", scope);
    let max = match tls.max_protocol_version.as_str() {
        "" | "TLS_AUTO" | "TLSV1_3" => TlsVersion::V1_3,
        "TLSV1_2" => TlsVersion::V1_2,
        old @ ("TLSV1_0" | "TLSV1_1") => {
            let problem = format_args!("{old} leaves no version that is spoken");
            scope.invalid("tls.maxProtocolVersion", problem, "use TLSV1_2 or TLSV1_3");
            TlsVersion::V1_3
        }
        other => unknown_version("tls.maxProtocolVersion", other, scope),
    };
    // What the server says itself wins over what the mesh says of all.
    let min = own.or(defaults.version_min.filter(|min| *min <= max)).unwrap_or(TlsVersion::V1_2);
    if min > max {
        let remedy = "raise maxProtocolVersion";
        scope.invalid("tls.minProtocolVersion", "is above maxProtocolVersion", remedy);
    }
    (min, max)
}

/// The lowest version, if one is asked for.
fn lowest(written: &str, field: &str, scope: &mut Scope<'_>) -> Option<TlsVersion> {
    Some(match written {
        "" | "TLS_AUTO" => return None,
        "TLSV1_2" => TlsVersion::V1_2,
        "TLSV1_3" => TlsVersion::V1_3,
        old @ ("TLSV1_0" | "TLSV1_1") => {
            let problem = format_args!("{old} is not spoken");
            let remedy = "the lowest version is TLSV1_2: say so, or leave it out";
            scope.warn(NOT_IN_FORCE, field, problem, remedy);
            TlsVersion::V1_2
        }
        other => unknown_version(field, other, scope),
    })
}

fn unknown_version(field: &str, text: &str, scope: &mut Scope<'_>) -> TlsVersion {
    let remedy = "use TLS_AUTO, TLSV1_2 or TLSV1_3";
    scope.invalid(field, format_args!("`{text}` is unknown"), remedy);
    TlsVersion::V1_3
}

/// The suites of TLS 1.2 that can be had of those listed.
pub(super) fn cipher_suites(
    tls: &ServerTls,
    defaults: &Defaults,
    scope: &mut Scope<'_>,
) -> Vec<String> {
    match tls.cipher_suites.is_empty() {
        true => defaults.cipher_suites.clone(),
        false => suites(&tls.cipher_suites, "tls.cipherSuites", scope),
    }
}

fn suites(written: &[String], field: &str, scope: &mut Scope<'_>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for name in written {
        if kept.contains(name) {
            scope.warn(DUBIOUS, field, format_args!("holds `{name}` twice"), "remove one");
        } else if CIPHER_SUITES.contains(&name.as_str()) {
            kept.push(name.clone());
        } else if OLD_SUITES.contains(&name.as_str()) {
            let problem = format_args!("holds `{name}`, which is not offered");
            scope.warn(NOT_IN_FORCE, field, problem, "use an ECDHE suite with GCM or CHACHA20");
        } else if name != "ALL" {
            let problem = format_args!("holds `{name}`, which is no cipher suite");
            scope.warn(DUBIOUS, field, problem, "use OpenSSL names");
        }
    }
    if kept.is_empty() && written.iter().any(|name| name != "ALL") {
        let remedy = "all suites of TLS 1.2 are offered meanwhile";
        scope.warn(NOT_IN_FORCE, field, "holds none that is offered", remedy);
    }
    kept
}

/// SHA-256 of public keys, from base64.
pub(super) fn spki_hashes(tls: &ServerTls, scope: &mut Scope<'_>) -> Vec<[u8; 32]> {
    let read = |text: &str| decode_base64(text)?.try_into().ok();
    hashes("tls.verifyCertificateSpki", &tls.verify_certificate_spki, read, scope)
}

/// SHA-256 of certificates, from hexadecimal, perhaps with colons.
pub(super) fn certificate_hashes(tls: &ServerTls, scope: &mut Scope<'_>) -> Vec<[u8; 32]> {
    hashes("tls.verifyCertificateHash", &tls.verify_certificate_hash, hexadecimal, scope)
}

fn hashes(
    field: &str,
    written: &[String],
    read: impl Fn(&str) -> Option<[u8; 32]>,
    scope: &mut Scope<'_>,
) -> Vec<[u8; 32]> {
    let mut hashes = Vec::new();
    for text in written {
        match read(text) {
            Some(hash) => hashes.push(hash),
            None => {
                let problem = format_args!("holds `{text}`, which is no SHA-256");
                scope.invalid(
                    field,
                    problem,
                    "use 32 bytes: base64 for keys, hex for certificates",
                );
            }
        }
    }
    hashes
}

fn hexadecimal(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b':').collect();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes: Option<Vec<u8>> = digits.chunks(2).map(pair).collect();
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    bytes?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_read_with_and_without_colons() {
        let plain = "0a".repeat(32);
        let with_colons = vec!["0A"; 32].join(":");
        for (text, expected) in [
            (plain.as_str(), Some([10; 32])),
            (with_colons.as_str(), Some([10; 32])),
            ("0a", None),
            (&"+a".repeat(32), None),
            (&"0a".repeat(33), None),
            ("", None),
        ] {
            assert_eq!(hexadecimal(text), expected, "{text}");
        }
    }
}
