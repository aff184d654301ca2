//! What is asked of a client's certificate: who signed it, whose it is, which one it is
//! (Istio contract 1.7).

use std::sync::Arc;

use fairway_shared::certificate::provider;
use fairway_shared::snapshot::tls::ClientDemand;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use sha2::{Digest, Sha256};
use webpki::EndEntityCert;

use super::material::MaterialError;
use super::trust::Trust;

/// See the module.
#[derive(Debug)]
pub struct ClientCheck {
    /// `None`: anyone's certificate will do.
    chain: Option<Arc<dyn ClientCertVerifier>>,
    is_required: bool,
    subject_alt_names: Vec<String>,
    spki_sha256: Vec<[u8; 32]>,
    certificate_sha256: Vec<[u8; 32]>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCheck {
    /// `None` if nothing is asked.
    ///
    /// # Errors
    /// The library refuses the authorities or the lists.
    pub fn new(demand: &ClientDemand, trust: Trust) -> Result<Option<Self>, MaterialError> {
        let ClientDemand::Certificate {
            is_required,
            trust: _,
            subject_alt_names,
            spki_sha256,
            certificate_sha256,
        } = demand
        else {
            return Ok(None);
        };
        let chain = match trust {
            Trust::Anyone => None,
            Trust::Authorities { roots, revocations } => {
                let provider = Arc::clone(provider());
                let built = WebPkiClientVerifier::builder_with_provider(roots, provider)
                    .with_crls(revocations)
                    .build();
                Some(built.map_err(|error| MaterialError::Refused(error.to_string()))?)
            }
        };
        Ok(Some(Self {
            chain,
            is_required: *is_required,
            subject_alt_names: subject_alt_names.clone(),
            spki_sha256: spki_sha256.clone(),
            certificate_sha256: certificate_sha256.clone(),
            algorithms: provider().signature_verification_algorithms,
        }))
    }

    /// The client's certificate is one of those named, by names or by hash.
    fn check_identity(&self, certificate: &CertificateDer<'_>) -> Result<(), Error> {
        let has_pins = !self.spki_sha256.is_empty() || !self.certificate_sha256.is_empty();
        if self.subject_alt_names.is_empty() && !has_pins {
            return Ok(());
        }
        let bad = |_| Error::InvalidCertificate(CertificateError::BadEncoding);
        let parsed = EndEntityCert::try_from(certificate).map_err(bad)?;
        let mut names = parsed.valid_dns_names().chain(parsed.valid_uri_names());
        if !self.subject_alt_names.is_empty()
            && !names.any(|name| self.subject_alt_names.iter().any(|wanted| wanted == name))
        {
            return Err(Error::InvalidCertificate(CertificateError::NotValidForName));
        }
        let is_pinned = || {
            let is_one_of = |hashes: &[[u8; 32]], bytes: &[u8]| {
                let hash = Sha256::digest(bytes);
                hashes.iter().any(|one| one[..] == hash[..])
            };
            is_one_of(&self.certificate_sha256, certificate)
                || is_one_of(&self.spki_sha256, &parsed.subject_public_key_info())
        };
        if has_pins && !is_pinned() {
            let refused = CertificateError::ApplicationVerificationFailure;
            return Err(Error::InvalidCertificate(refused));
        }
        Ok(())
    }
}

impl ClientCertVerifier for ClientCheck {
    fn client_auth_mandatory(&self) -> bool {
        self.is_required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.as_ref().map_or(&[], |chain| chain.root_hint_subjects())
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if let Some(chain) = &self.chain {
            chain.verify_client_cert(end_entity, intermediates, now)?;
        }
        self.check_identity(end_entity)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
