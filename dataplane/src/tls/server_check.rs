//! What is asked of an endpoint's certificate: who signed it, and whose it is (Istio contract 3.6).
//!
//! Chain and names are judged apart, since a policy may want names that are no host names, or
//! none.

use std::sync::Arc;

use fairway_shared::certificate::provider;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, SignatureScheme};
use webpki::{
    CertRevocationList, EndEntityCert, KeyUsage, OwnedCertRevocationList, RevocationOptionsBuilder,
};

use super::material::MaterialError;
use super::trust::Trust;

/// Whose the certificate must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Names {
    /// Anyone's that the authorities know.
    Any,
    /// That of the server name asked for.
    Asked,
    /// One of these: host names, addresses, URIs.
    OneOf(Vec<String>),
}

/// See the module.
#[derive(Debug)]
pub struct ServerCheck {
    /// `None`: anyone's certificate will do, and its names are not looked at.
    chain: Option<Chain>,
    names: Names,
    algorithms: WebPkiSupportedAlgorithms,
}

#[derive(Debug)]
struct Chain {
    anchors: Vec<TrustAnchor<'static>>,
    revocations: Vec<CertRevocationList<'static>>,
}

impl ServerCheck {
    /// A check by these authorities.
    ///
    /// # Errors
    /// The library refuses the revocation lists.
    pub fn new(trust: &Trust, names: Names) -> Result<Self, MaterialError> {
        let chain = match trust {
            Trust::Anyone => None,
            Trust::Authorities { roots, revocations } => {
                let parsed = revocations.iter().map(|list| OwnedCertRevocationList::from_der(list));
                let parsed: Result<Vec<_>, _> = parsed.collect();
                let parsed =
                    parsed.map_err(|error| MaterialError::Refused(format!("revocations: {error}")));
                let revocations = parsed?.into_iter().map(CertRevocationList::from).collect();
                Some(Chain { anchors: roots.roots.clone(), revocations })
            }
        };
        Ok(Self { chain, names, algorithms: provider().signature_verification_algorithms })
    }

    fn check_names(
        &self,
        certificate: &EndEntityCert<'_>,
        asked: &ServerName<'_>,
    ) -> Result<(), Error> {
        let is_for = |name: &ServerName<'_>| certificate.verify_is_valid_for_subject_name(name);
        match &self.names {
            Names::Any => Ok(()),
            Names::Asked => is_for(asked).map_err(refused),
            Names::OneOf(wanted) => {
                let is_one = wanted.iter().any(|wanted| {
                    let is_uri = || certificate.valid_uri_names().any(|name| name == wanted);
                    let name = ServerName::try_from(wanted.as_str());
                    name.is_ok_and(|name| is_for(&name).is_ok()) || is_uri()
                });
                let wrong = Error::InvalidCertificate(CertificateError::NotValidForName);
                if is_one { Ok(()) } else { Err(wrong) }
            }
        }
    }
}

impl Chain {
    fn check(
        &self,
        certificate: &EndEntityCert<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> Result<(), Error> {
        let lists: Vec<_> = self.revocations.iter().collect();
        // By default every certificate of the chain must have a known status.
        let revocation = RevocationOptionsBuilder::new(&lists).ok().map(|options| options.build());
        let outcome = certificate.verify_for_usage(
            algorithms.all,
            &self.anchors,
            intermediates,
            now,
            KeyUsage::server_auth(),
            revocation,
            None,
        );
        match outcome {
            Ok(_) => Ok(()),
            // Whoever trusts a self-signed certificate as an authority trusts it as a server's;
            // its time was looked at already.
            Err(webpki::Error::CaUsedAsEndEntity) if self.holds(certificate) => Ok(()),
            Err(error) => Err(refused(error)),
        }
    }

    /// Is the certificate's subject with this very key trusted?
    fn holds(&self, certificate: &EndEntityCert<'_>) -> bool {
        let key = certificate.subject_public_key_info();
        self.anchors.iter().any(|anchor| {
            anchor.subject[..] == *certificate.subject()
                && key.ends_with(&anchor.subject_public_key_info)
        })
    }
}

fn refused(error: webpki::Error) -> Error {
    use webpki::Error::*;
    Error::InvalidCertificate(match error {
        // An authority of the same name with another key is another authority.
        UnknownIssuer | InvalidSignatureForPublicKey => CertificateError::UnknownIssuer,
        CertExpired { .. } => CertificateError::Expired,
        CertNotValidYet { .. } => CertificateError::NotValidYet,
        CertRevoked => CertificateError::Revoked,
        UnknownRevocationStatus | InvalidCrlSignatureForPublicKey => {
            CertificateError::UnknownRevocationStatus
        }
        CrlExpired { .. } => CertificateError::ExpiredRevocationList,
        CertNotValidForName(_) => CertificateError::NotValidForName,
        other => CertificateError::Other(OtherError(Arc::new(other))),
    })
}

impl ServerCertVerifier for ServerCheck {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(chain) = &self.chain {
            let certificate = EndEntityCert::try_from(end_entity).map_err(refused)?;
            chain.check(&certificate, intermediates, now, &self.algorithms)?;
            self.check_names(&certificate, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
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
