//! The `tls` block of a Gateway server, checked (Istio contract 1.2, 9.3). Nothing is read from
//! it here: TLS servers take part in port conflicts but are not served.

use super::findings::{DUBIOUS, NOT_SERVED, Scope};
use super::gateways::ServerClass;
use crate::object::gateway::{Server, ServerTls};

/// Checks the block against the server's class.
pub(super) fn check_tls(server: &Server, class: Option<ServerClass>, scope: &mut Scope<'_>) {
    let protocol = server.port.as_ref().map_or("", |port| port.protocol.as_str());
    let is_secure = ["HTTPS", "TLS"].iter().any(|name| protocol.eq_ignore_ascii_case(name));
    match (class, &server.tls) {
        (Some(ServerClass::Http), Some(tls)) => check_plaintext(tls, scope),
        (Some(ServerClass::Tls), Some(_)) if !is_secure => {
            let remedy = "use protocol TLS to terminate TLS";
            scope.invalid("tls", format_args!("is not allowed with {protocol}"), remedy);
        }
        (Some(ServerClass::Tls), Some(tls)) => {
            check_mode(tls, scope);
            say_not_served(protocol, scope);
        }
        (Some(ServerClass::Tls), None) => {
            scope.invalid("tls", format_args!("is missing for {protocol}"), "add a tls block");
        }
        (Some(ServerClass::Tcp), _) => say_not_served(protocol, scope),
        (Some(ServerClass::Http), None) | (None, _) => {}
    }
}

fn say_not_served(protocol: &str, scope: &mut Scope<'_>) {
    if !scope.is_broken() {
        scope.warn(
            NOT_SERVED,
            "port.protocol",
            format_args!("is {protocol}: TLS/TCP servers are not served yet"),
            "its port stays closed; use HTTP meanwhile",
        );
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
    [&tls.server_certificate, &tls.private_key, &tls.ca_certificates]
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
        "ISTIO_MUTUAL" => {}
        "SIMPLE" => check_sources(tls, false, scope),
        "MUTUAL" | "OPTIONAL_MUTUAL" => check_sources(tls, true, scope),
        other => scope.invalid(
            "tls.mode",
            format_args!("`{other}` is unknown"),
            "use SIMPLE, MUTUAL, OPTIONAL_MUTUAL, ISTIO_MUTUAL, PASSTHROUGH or AUTO_PASSTHROUGH",
        ),
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
    if is_mutual && !has_credential(tls) && tls.ca_certificates.is_empty() {
        let remedy = "name the CA file, or use credentialName";
        scope.invalid("tls.caCertificates", "is missing for MUTUAL", remedy);
    }
    if !tls.ca_crl.is_empty() && (has_credential(tls) || !is_mutual) {
        let remedy = "put the list into the secret";
        scope.invalid("tls.caCrl", "only works with certificate files and MUTUAL", remedy);
    }
}
