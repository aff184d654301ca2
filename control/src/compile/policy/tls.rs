//! `tls` towards the backend (Istio contract 3.6).

use fairway_shared::id::{ClusterId, SecretName};
use fairway_shared::snapshot::tls::{CertificateSource, TrustSource, UpstreamTls};

use super::super::findings::{FieldPath, NO_AUTHORITIES, NO_PORT_AUTHORITIES, NOT_IN_FORCE, Scope};
use super::super::names::is_dns_name;
use crate::object::traffic_policy::ClientTls;

/// What `ISTIO_MUTUAL` offers besides what the cluster speaks.
const MESH_ALPN: &str = "istio";

/// The block, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::compile) enum TlsBlock {
    /// `DISABLE`.
    Plaintext,
    /// `SIMPLE`, `MUTUAL`.
    Tls(UpstreamTls),
    /// `ISTIO_MUTUAL`.
    Mesh,
    /// It cannot be read. Never plaintext: whatever it was to say, endpoints are not called.
    Unreadable,
}

impl TlsBlock {
    /// TLS of a cluster. A rule's names of the backend come before those of its service.
    pub(in crate::compile) fn of_cluster(
        &self,
        id: &ClusterId,
        service_names: &[String],
    ) -> Option<UpstreamTls> {
        match self {
            Self::Plaintext => None,
            Self::Tls(tls) => {
                let mut tls = tls.clone();
                if tls.subject_alt_names.is_empty() {
                    tls.subject_alt_names = service_names.to_vec();
                }
                Some(tls)
            }
            Self::Mesh => Some(UpstreamTls {
                sni: Some(id.sni()),
                trust: TrustSource::Mesh,
                subject_alt_names: Vec::new(),
                identity: Some(CertificateSource::Mesh),
                extra_alpn: vec![MESH_ALPN.to_owned()],
            }),
            Self::Unreadable => Some(UpstreamTls {
                sni: Some(id.service.host.clone()),
                trust: TrustSource::Nobody,
                subject_alt_names: Vec::new(),
                identity: None,
                extra_alpn: Vec::new(),
            }),
        }
    }
}

/// Reads the block. A mistake in it breaks the scope, and what is returned is still safe to use.
pub(super) fn read(block: &ClientTls, scope: &mut Scope<'_>) -> TlsBlock {
    let mut part = scope.part(scope.path());
    let read = read_mode(block, &mut part);
    if !part.is_broken() {
        return read;
    }
    let what = "cannot be used: requests are refused rather than sent in plaintext";
    scope.invalid("tls", what, "correct it");
    TlsBlock::Unreadable
}

fn read_mode(block: &ClientTls, scope: &mut Scope<'_>) -> TlsBlock {
    match block.mode.as_str() {
        "" | "DISABLE" => TlsBlock::Plaintext,
        "ISTIO_MUTUAL" => {
            let bare = ClientTls { mode: block.mode.clone(), ..ClientTls::default() };
            if *block != bare {
                let what = "has further fields in mode ISTIO_MUTUAL";
                scope.invalid("tls", what, "remove them: the mesh's certificates are used");
            }
            TlsBlock::Mesh
        }
        "SIMPLE" | "MUTUAL" => TlsBlock::Tls(read_tls(block, scope)),
        other => {
            let what = format_args!("`{other}` is unknown");
            scope.invalid("tls.mode", what, "use DISABLE, SIMPLE, MUTUAL or ISTIO_MUTUAL");
            TlsBlock::Unreadable
        }
    }
}

fn read_tls(block: &ClientTls, scope: &mut Scope<'_>) -> UpstreamTls {
    check_exclusions(block, scope);
    if !block.sni.is_empty() && !is_dns_name(&block.sni) {
        let what = format_args!("`{}` is no server name", block.sni);
        scope.invalid("tls.sni", what, "name a host, without wildcard");
    }
    if block.subject_alt_names.iter().any(String::is_empty) {
        scope.invalid("tls.subjectAltNames", "has an empty name", "remove it");
    }
    UpstreamTls {
        sni: (!block.sni.is_empty()).then(|| block.sni.clone()),
        trust: read_trust(block, scope),
        subject_alt_names: block.subject_alt_names.clone(),
        identity: (block.mode == "MUTUAL").then(|| read_identity(block, scope)),
        extra_alpn: Vec::new(),
    }
}

fn check_exclusions(block: &ClientTls, scope: &mut Scope<'_>) {
    let has_paths =
        [&block.client_certificate, &block.private_key, &block.ca_certificates, &block.ca_crl]
            .iter()
            .any(|path| !path.is_empty());
    if !block.credential_name.is_empty() && has_paths {
        scope.invalid("tls.credentialName", "excludes the paths of files", "keep one");
    }
    let verifies = !block.ca_certificates.is_empty() || !block.subject_alt_names.is_empty();
    if block.insecure_skip_verify == Some(true) && verifies {
        let what = "excludes caCertificates and subjectAltNames";
        scope.invalid("tls.insecureSkipVerify", what, "keep one");
    }
}

fn read_trust(block: &ClientTls, scope: &mut Scope<'_>) -> TrustSource {
    if block.insecure_skip_verify == Some(true) {
        return TrustSource::Anyone;
    }
    if !block.credential_name.is_empty() {
        return TrustSource::Secret(read_secret(block, scope));
    }
    if !block.ca_certificates.is_empty() {
        return TrustSource::Files {
            authorities: block.ca_certificates.clone(),
            revocations: block.ca_crl.clone(),
        };
    }
    if !block.ca_crl.is_empty() {
        let what = "has no effect without caCertificates";
        scope.warn(NOT_IN_FORCE, "tls.caCrl", what, "set caCertificates too");
    }
    let what =
        format_args!("in mode {} names no authorities: the system's are trusted", block.mode);
    let remedy = "set caCertificates or credentialName";
    let code = match scope.path() {
        FieldPath::PolicyPort(_) | FieldPath::SubsetPolicyPort(..) => NO_PORT_AUTHORITIES,
        _ => NO_AUTHORITIES,
    };
    scope.warn(code, "tls", what, remedy);
    TrustSource::System
}

fn read_identity(block: &ClientTls, scope: &mut Scope<'_>) -> CertificateSource {
    if !block.credential_name.is_empty() {
        return CertificateSource::Secret(SecretName(block.credential_name.clone()));
    }
    if block.client_certificate.is_empty() || block.private_key.is_empty() {
        let what = "in mode MUTUAL lacks clientCertificate or privateKey";
        scope.invalid("tls", what, "set both, or credentialName");
    }
    CertificateSource::Files {
        certificate: block.client_certificate.clone(),
        private_key: block.private_key.clone(),
    }
}

/// The name as written. What cannot be a Secret of the pod's namespace is never found, so that
/// handshakes fail rather than verify less.
fn read_secret(block: &ClientTls, scope: &mut Scope<'_>) -> SecretName {
    let name = &block.credential_name;
    if name.contains("://") {
        let what = format_args!("`{name}` is not supported: every handshake fails");
        let remedy = "name a Secret in the gateway pod's namespace";
        scope.error(NOT_IN_FORCE, "tls.credentialName", what, remedy);
    } else if !is_dns_name(name) {
        let what = format_args!("`{name}` is no name of a Secret");
        let remedy = "name a Secret in the gateway pod's namespace, without the namespace";
        scope.invalid("tls.credentialName", what, remedy);
    }
    SecretName(name.clone())
}
