//! The `tls` block of a Gateway server, checked and read (Istio contract 1.2, 1.4, 1.7, 9.3).

use fairway_shared::id::SecretName;
use fairway_shared::snapshot::tls::{self, CertificateSource, ClientDemand, TrustSource};

use super::findings::{DUBIOUS, Scope};
use super::gateways::ServerClass;
use super::tls_demands;
use crate::object::gateway::{Server, ServerTls};

/// What is done with the TLS connections of a server (Istio contract 1.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TlsPlan {
    /// TLS ends here, HTTP inside.
    Http(tls::ServerTls),
    /// TLS ends here, bytes inside.
    Tcp(tls::ServerTls),
    /// Forwarded as they come, by the `tls` routes of VirtualServices.
    Passthrough,
    /// Forwarded as they come, to the cluster that the server name spells.
    AutoPassthrough,
}

/// Checks the block against the server's class, and reads it for a TLS server.
pub(super) fn read_tls(
    server: &Server,
    class: Option<ServerClass>,
    defaults: &tls_demands::Defaults,
    scope: &mut Scope<'_>,
) -> Option<TlsPlan> {
    check_tls(server, class, scope);
    let tls = server.tls.as_ref().filter(|_| class == Some(ServerClass::Tls))?;
    let is_http = server.port.as_ref().is_some_and(|p| p.protocol.eq_ignore_ascii_case("HTTPS"));
    Some(match tls.mode.as_str() {
        "" | "PASSTHROUGH" => TlsPlan::Passthrough,
        "AUTO_PASSTHROUGH" => TlsPlan::AutoPassthrough,
        _ if is_http => TlsPlan::Http(terminate(tls, defaults, scope)),
        _ => TlsPlan::Tcp(terminate(tls, defaults, scope)),
    })
}

/// How TLS ends at a server.
fn terminate(
    tls: &ServerTls,
    defaults: &tls_demands::Defaults,
    scope: &mut Scope<'_>,
) -> tls::ServerTls {
    let secret = |name: &String| SecretName(name.clone());
    let names = match tls.credential_names.as_slice() {
        [] => std::slice::from_ref(&tls.credential_name),
        names => names,
    };
    let named = names.iter().filter(|name| !name.is_empty());
    let mut certificates: Vec<_> =
        named.map(|name| CertificateSource::Secret(secret(name))).collect();
    if tls.mode == "ISTIO_MUTUAL" {
        certificates = vec![CertificateSource::Mesh];
    } else if certificates.is_empty() {
        certificates.push(CertificateSource::Files {
            certificate: tls.server_certificate.clone(),
            private_key: tls.private_key.clone(),
        });
    }
    let trust = match names.first().filter(|name| !name.is_empty()) {
        _ if tls.mode == "ISTIO_MUTUAL" => TrustSource::Mesh,
        _ if tls.insecure_skip_verify => TrustSource::Anyone,
        _ if !tls.ca_cert_credential_name.is_empty() => {
            TrustSource::Secret(secret(&tls.ca_cert_credential_name))
        }
        Some(name) => TrustSource::Secret(secret(name)),
        None => TrustSource::Files {
            authorities: tls.ca_certificates.clone(),
            revocations: tls.ca_crl.clone(),
        },
    };
    let client = match tls.mode.as_str() {
        "MUTUAL" | "OPTIONAL_MUTUAL" | "ISTIO_MUTUAL" => ClientDemand::Certificate {
            is_required: tls.mode != "OPTIONAL_MUTUAL",
            trust,
            subject_alt_names: tls.subject_alt_names.clone(),
            spki_sha256: tls_demands::spki_hashes(tls, scope),
            certificate_sha256: tls_demands::certificate_hashes(tls, scope),
        },
        _ => ClientDemand::None,
    };
    // The mesh's own peers are asked for what the mesh says (Istio contract 1.7).
    let unsaid = ServerTls::default();
    let said = if tls.mode == "ISTIO_MUTUAL" { &unsaid } else { tls };
    let (version_min, version_max) = tls_demands::versions(said, defaults, scope);
    tls::ServerTls {
        certificates,
        client,
        version_min,
        version_max,
        cipher_suites: tls_demands::cipher_suites(said, defaults, scope),
    }
}

fn check_tls(server: &Server, class: Option<ServerClass>, scope: &mut Scope<'_>) {
    let protocol = server.port.as_ref().map_or("", |port| port.protocol.as_str());
    let is_secure = ["HTTPS", "TLS"].iter().any(|name| protocol.eq_ignore_ascii_case(name));
    match (class, &server.tls) {
        (Some(ServerClass::Http), Some(tls)) => check_plaintext(tls, scope),
        (Some(ServerClass::Tls), Some(_)) if !is_secure => {
            let remedy = "use protocol TLS to terminate TLS";
            scope.invalid("tls", format_args!("is not allowed with {protocol}"), remedy);
        }
        (Some(ServerClass::Tls), Some(tls)) => check_mode(tls, scope),
        (Some(ServerClass::Tls), None) => {
            scope.invalid("tls", format_args!("is missing for {protocol}"), "add a tls block");
        }
        (Some(ServerClass::Tcp), _) | (Some(ServerClass::Http), None) | (None, _) => {}
    }
}

fn check_plaintext(tls: &ServerTls, scope: &mut Scope<'_>) {
    let has_mode = !matches!(tls.mode.as_str(), "" | "PASSTHROUGH");
    if has_mode || has_credential(tls) || has_files(tls) {
        scope.invalid(
            "tls",
            "of a plaintext server may only hold httpsRedirect",
            "use protocol HTTPS to terminate TLS",
        );
    }
}

fn has_credential(tls: &ServerTls) -> bool {
    !tls.credential_name.is_empty() || !tls.credential_names.is_empty()
}

fn has_files(tls: &ServerTls) -> bool {
    [&tls.server_certificate, &tls.private_key, &tls.ca_certificates, &tls.ca_cert_credential_name]
        .iter()
        .any(|file| !file.is_empty())
}

fn check_mode(tls: &ServerTls, scope: &mut Scope<'_>) {
    if tls.https_redirect {
        let remedy = "set it on the plaintext server";
        scope.warn(DUBIOUS, "tls.httpsRedirect", "has no effect on a TLS server", remedy);
    }
    match tls.mode.as_str() {
        "" | "PASSTHROUGH" | "AUTO_PASSTHROUGH" if has_credential(tls) || has_files(tls) => {
            let remedy = "remove them or use SIMPLE";
            scope.warn(DUBIOUS, "tls", "holds certificates, which passthrough ignores", remedy);
        }
        "" | "PASSTHROUGH" | "AUTO_PASSTHROUGH" => {}
        "ISTIO_MUTUAL" if has_credential(tls) || has_files(tls) => {
            let remedy = "remove the certificate fields";
            scope.invalid("tls", "may hold no certificate with ISTIO_MUTUAL", remedy);
        }
        "ISTIO_MUTUAL" => check_mesh_mode(tls, scope),
        "SIMPLE" => check_sources(tls, false, scope),
        "MUTUAL" | "OPTIONAL_MUTUAL" => check_sources(tls, true, scope),
        other => scope.invalid(
            "tls.mode",
            format_args!("`{other}` is unknown"),
            "use SIMPLE, MUTUAL, OPTIONAL_MUTUAL, ISTIO_MUTUAL, PASSTHROUGH or AUTO_PASSTHROUGH",
        ),
    }
}

fn check_mesh_mode(tls: &ServerTls, scope: &mut Scope<'_>) {
    for (field, is_set) in [
        ("tls.minProtocolVersion", !tls.min_protocol_version.is_empty()),
        ("tls.maxProtocolVersion", !tls.max_protocol_version.is_empty()),
        ("tls.cipherSuites", !tls.cipher_suites.is_empty()),
    ] {
        if is_set {
            let remedy = "set it in tlsDefaults of the mesh, or use MUTUAL";
            scope.warn(DUBIOUS, field, "has no effect with ISTIO_MUTUAL", remedy);
        }
    }
}

fn check_sources(tls: &ServerTls, is_mutual: bool, scope: &mut Scope<'_>) {
    let has_pair = !tls.server_certificate.is_empty() && !tls.private_key.is_empty();
    let has_half = !tls.server_certificate.is_empty() || !tls.private_key.is_empty();
    let remedy = "name one: credentialName, or serverCertificate with privateKey";
    let is_doubled = !tls.credential_name.is_empty() && !tls.credential_names.is_empty();
    if is_doubled || (has_credential(tls) && has_half) {
        scope.invalid("tls", "names two certificate sources", remedy);
    } else if !has_credential(tls) && !has_pair {
        scope.invalid("tls", "names no certificate source", remedy);
    }
    let names_authorities =
        !tls.ca_certificates.is_empty() || !tls.ca_cert_credential_name.is_empty();
    if is_mutual && !has_credential(tls) && !names_authorities {
        let remedy = "name the CA file, or use credentialName";
        scope.invalid("tls.caCertificates", "is missing for MUTUAL", remedy);
    }
    if !tls.ca_crl.is_empty() && (has_credential(tls) || !is_mutual) {
        let remedy = "put the list into the secret";
        scope.invalid("tls.caCrl", "only works with certificate files and MUTUAL", remedy);
    }
}
