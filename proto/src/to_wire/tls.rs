//! Certificates and what is demanded of the other side.

use fairway_shared::id::SecretName;
use fairway_shared::snapshot::tls::{
    CertificateSource, ClientDemand, Secret, ServerTls, TlsVersion, TrustSource, UpstreamTls,
};

use crate::wire;

/// A secret under its name, key and all: for workers only.
pub fn secret(name: &SecretName, from: &Secret) -> wire::Secret {
    wire::Secret { private_key: from.private_key.clone(), ..public_secret(name, from) }
}

/// A secret without its private key.
pub fn public_secret(name: &SecretName, from: &Secret) -> wire::Secret {
    wire::Secret {
        name: name.0.clone(),
        certificate_chain: from.certificate_chain.clone(),
        private_key: Vec::new(),
        authorities: from.authorities.clone(),
        revocations: from.revocations.clone(),
        ocsp_staple: from.ocsp_staple.clone(),
    }
}

pub(super) fn server_tls(from: &ServerTls) -> wire::ServerTls {
    wire::ServerTls {
        certificates: from.certificates.iter().map(certificate_source).collect(),
        client: client(&from.client),
        version_min: version(from.version_min).into(),
        version_max: version(from.version_max).into(),
        cipher_suites: from.cipher_suites.clone(),
    }
}

pub(super) fn upstream_tls(from: &UpstreamTls) -> wire::UpstreamTls {
    wire::UpstreamTls {
        sni: from.sni.clone(),
        trust: Some(trust_source(&from.trust)),
        subject_alt_names: from.subject_alt_names.clone(),
        identity: from.identity.as_ref().map(certificate_source),
        extra_alpn: from.extra_alpn.clone(),
    }
}

fn client(from: &ClientDemand) -> Option<wire::ClientCertificate> {
    let ClientDemand::Certificate {
        is_required,
        trust,
        subject_alt_names,
        spki_sha256,
        certificate_sha256,
    } = from
    else {
        return None;
    };
    Some(wire::ClientCertificate {
        required: *is_required,
        trust: Some(trust_source(trust)),
        subject_alt_names: subject_alt_names.clone(),
        spki_sha256: spki_sha256.iter().map(|hash| hash.to_vec()).collect(),
        certificate_sha256: certificate_sha256.iter().map(|hash| hash.to_vec()).collect(),
    })
}

fn certificate_source(from: &CertificateSource) -> wire::CertificateSource {
    use wire::certificate_source::Source;
    let source = match from {
        CertificateSource::Secret(name) => Source::Secret(name.0.clone()),
        CertificateSource::Files { certificate, private_key } => {
            let (certificate, private_key) = (certificate.clone(), private_key.clone());
            Source::Files(wire::CertificateFiles { certificate, private_key })
        }
        CertificateSource::Mesh => Source::Mesh(wire::MeshIdentity {}),
    };
    wire::CertificateSource { source: Some(source) }
}

fn trust_source(from: &TrustSource) -> wire::TrustSource {
    use wire::trust_source::Source;
    let source = match from {
        TrustSource::Secret(name) => Source::Secret(name.0.clone()),
        TrustSource::Files { authorities, revocations } => {
            let (authorities, revocations) = (authorities.clone(), revocations.clone());
            Source::Files(wire::TrustFiles { authorities, revocations })
        }
        TrustSource::System => Source::WellKnown(wire::WellKnownTrust::System.into()),
        TrustSource::Mesh => Source::WellKnown(wire::WellKnownTrust::Mesh.into()),
        TrustSource::Anyone => Source::WellKnown(wire::WellKnownTrust::Anyone.into()),
        TrustSource::Nobody => Source::WellKnown(wire::WellKnownTrust::Nobody.into()),
    };
    wire::TrustSource { source: Some(source) }
}

fn version(from: TlsVersion) -> wire::TlsVersion {
    match from {
        TlsVersion::V1_2 => wire::TlsVersion::TlsVersion12,
        TlsVersion::V1_3 => wire::TlsVersion::TlsVersion13,
    }
}
