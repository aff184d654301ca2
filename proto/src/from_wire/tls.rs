//! Certificates and what is demanded of the other side. What is inside a certificate is for the
//! worker to judge: a bad one harms only its own chain.

use fairway_shared::id::SecretName;
use fairway_shared::snapshot::tls::{
    CertificateSource, ClientDemand, Secret, ServerTls, TlsVersion, TrustSource, UpstreamTls,
};

use super::check::{At, FieldError, Problem, each, known, named, required};
use crate::wire;

/// Bytes of a SHA-256.
const HASH_BYTES: u64 = 32;

pub(super) fn secret(from: wire::Secret) -> Result<(SecretName, Secret), FieldError> {
    let name = SecretName(named(from.name).at("name")?);
    let secret = Secret {
        certificate_chain: from.certificate_chain,
        private_key: from.private_key,
        authorities: from.authorities,
        revocations: from.revocations,
        ocsp_staple: from.ocsp_staple,
    };
    Ok((name, secret))
}

pub(super) fn server_tls(from: wire::ServerTls) -> Result<ServerTls, FieldError> {
    if from.certificates.is_empty() {
        return Err(FieldError::from(Problem::Missing)).at("certificates");
    }
    Ok(ServerTls {
        certificates: each("certificates", from.certificates, certificate_source)?,
        client: from.client.map_or(Ok(ClientDemand::None), client).at("client")?,
        version_min: version(from.version_min).at("version_min")?,
        version_max: version(from.version_max).at("version_max")?,
        cipher_suites: from.cipher_suites,
    })
}

pub(super) fn upstream_tls(from: wire::UpstreamTls) -> Result<UpstreamTls, FieldError> {
    Ok(UpstreamTls {
        sni: from.sni,
        trust: required(from.trust).and_then(trust_source).at("trust")?,
        subject_alt_names: from.subject_alt_names,
        identity: from.identity.map(certificate_source).transpose().at("identity")?,
        extra_alpn: from.extra_alpn,
    })
}

fn client(from: wire::ClientCertificate) -> Result<ClientDemand, FieldError> {
    Ok(ClientDemand::Certificate {
        is_required: from.required,
        trust: required(from.trust).and_then(trust_source).at("trust")?,
        subject_alt_names: from.subject_alt_names,
        spki_sha256: each("spki_sha256", from.spki_sha256, hash)?,
        certificate_sha256: each("certificate_sha256", from.certificate_sha256, hash)?,
    })
}

fn hash(from: Vec<u8>) -> Result<[u8; 32], FieldError> {
    let value = from.len() as u64;
    let bad = |_| Problem::OutOfRange { value, min: HASH_BYTES, max: HASH_BYTES }.into();
    from.try_into().map_err(bad)
}

fn certificate_source(from: wire::CertificateSource) -> Result<CertificateSource, FieldError> {
    use wire::certificate_source::Source;
    Ok(match required(from.source).at("source")? {
        Source::Secret(name) => CertificateSource::Secret(SecretName(named(name).at("secret")?)),
        Source::Files(files) => CertificateSource::Files {
            certificate: named(files.certificate).at("certificate").at("files")?,
            private_key: named(files.private_key).at("private_key").at("files")?,
        },
        Source::Mesh(wire::MeshIdentity {}) => CertificateSource::Mesh,
    })
}

fn trust_source(from: wire::TrustSource) -> Result<TrustSource, FieldError> {
    use wire::trust_source::Source;
    Ok(match required(from.source).at("source")? {
        Source::Secret(name) => TrustSource::Secret(SecretName(named(name).at("secret")?)),
        Source::Files(files) => TrustSource::Files {
            authorities: named(files.authorities).at("authorities").at("files")?,
            revocations: files.revocations,
        },
        Source::WellKnown(value) => match known(value).at("well_known")? {
            wire::WellKnownTrust::Unspecified => {
                return Err(FieldError::from(Problem::Missing)).at("well_known");
            }
            wire::WellKnownTrust::System => TrustSource::System,
            wire::WellKnownTrust::Mesh => TrustSource::Mesh,
            wire::WellKnownTrust::Anyone => TrustSource::Anyone,
            wire::WellKnownTrust::Nobody => TrustSource::Nobody,
        },
    })
}

fn version(from: i32) -> Result<TlsVersion, FieldError> {
    match known(from)? {
        wire::TlsVersion::Unspecified => Err(Problem::Missing.into()),
        wire::TlsVersion::TlsVersion12 => Ok(TlsVersion::V1_2),
        wire::TlsVersion::TlsVersion13 => Ok(TlsVersion::V1_3),
    }
}
