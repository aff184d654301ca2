//! A Gateway server's TLS as the library wants it. Pure but for the tickets' randomness: material
//! in, configuration out.

use std::sync::Arc;

use fairway_shared::certificate::provider;
use fairway_shared::snapshot::tls::{
    CIPHER_SUITES, CertificateSource, ClientDemand, ServerTls, TlsVersion,
};
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{CipherSuite, ServerConfig, SignatureAlgorithm, SupportedProtocolVersion};
use sha2::{Digest, Sha256};

use super::client_check::ClientCheck;
use super::material::{Held, MaterialError, Materials, certified_key};
use super::tickets::TicketSecret;
use super::trust::Trust;

/// What all terminating servers offer (Istio contract 1.7).
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];
/// What a mesh peer speaks opaque bytes with.
const MESH_TCP_ALPN: &[u8] = b"istio-peer-exchange";
/// Tickets given in a handshake of TLS 1.3.
const TICKETS: usize = 2;

/// All that a server's configuration is made of; equal recipes make equal configurations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    /// What the Gateway says.
    pub tls: ServerTls,
    /// Opaque bytes inside.
    pub is_tcp: bool,
    /// The chain, for tickets.
    pub chain: String,
    certificates: Vec<Held>,
    trust: Held,
}

impl Recipe {
    /// Reads what `tls` names.
    pub fn read(tls: &ServerTls, is_tcp: bool, chain: &str, from: Materials<'_>) -> Self {
        let trust = match &tls.client {
            ClientDemand::None => Ok(Arc::default()),
            ClientDemand::Certificate { trust, .. } => from.trust(trust),
        };
        let certificates = tls.certificates.iter().map(|source| from.certificate(source));
        let (certificates, chain) = (certificates.collect(), chain.to_owned());
        Self { tls: tls.clone(), is_tcp, chain, certificates, trust }
    }

    /// Makes the configuration.
    ///
    /// # Errors
    /// A certificate, a key or the authorities are not there or not usable. Of two certificates
    /// one is enough.
    pub fn server_config(&self, tickets: &TicketSecret) -> Result<ServerConfig, MaterialError> {
        let certificates = self.usable_certificates()?;
        let versions: Vec<_> = versions(self.tls.version_min, self.tls.version_max).collect();
        let provider = provider_with(&self.tls.cipher_suites);
        let refused = |error: rustls::Error| MaterialError::Refused(error.to_string());
        let builder = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&versions)
            .map_err(refused)?;
        let builder = match self.client_check()? {
            Some(check) => builder.with_client_cert_verifier(Arc::new(check)),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(Certificates(certificates)));
        config.alpn_protocols = ALPN.iter().map(|name| name.to_vec()).collect();
        if self.is_tcp && self.tls.certificates.contains(&CertificateSource::Mesh) {
            config.alpn_protocols.push(MESH_TCP_ALPN.to_vec());
        }
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = tickets.bound_to(self.ticket_binding());
        config.send_tls13_tickets = TICKETS;
        Ok(config)
    }

    fn usable_certificates(&self) -> Result<Vec<Arc<CertifiedKey>>, MaterialError> {
        let mut usable = Vec::new();
        let mut fault = MaterialError::Refused("the server names no certificate".into());
        for (source, held) in self.tls.certificates.iter().zip(&self.certificates) {
            match held.clone().and_then(|held| certified_key(source, &held)) {
                Ok(certificate) => usable.push(Arc::new(certificate)),
                Err(error) => fault = error,
            }
        }
        // The smaller and faster kind first, for clients that take either.
        usable.sort_by_key(|one| one.key.algorithm() != SignatureAlgorithm::ECDSA);
        if usable.is_empty() { Err(fault) } else { Ok(usable) }
    }

    fn client_check(&self) -> Result<Option<ClientCheck>, MaterialError> {
        let ClientDemand::Certificate { trust, .. } = &self.tls.client else { return Ok(None) };
        let parsed = Trust::parse(trust, &*self.trust.clone()?)?;
        ClientCheck::new(&self.tls.client, parsed)
    }

    /// Differs wherever a client that passed one server's check might not pass another's.
    fn ticket_binding(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(format!("{} {:?} {}", self.chain, self.tls.client, self.is_tcp));
        if let Ok(held) = &self.trust {
            hash.update(Sha256::digest(&held.authorities));
            hash.update(Sha256::digest(&held.revocations));
        }
        hash.finalize().into()
    }
}

fn versions(
    min: TlsVersion,
    max: TlsVersion,
) -> impl Iterator<Item = &'static SupportedProtocolVersion> {
    let known = [(TlsVersion::V1_2, &TLS12), (TlsVersion::V1_3, &TLS13)];
    known.into_iter().filter(move |(one, _)| (min..=max).contains(one)).map(|(_, known)| known)
}

/// The provider limited to these suites of TLS 1.2; those of TLS 1.3 always stay.
fn provider_with(openssl_names: &[String]) -> Arc<CryptoProvider> {
    let wanted: Vec<_> = openssl_names.iter().filter_map(|name| suite(name)).collect();
    if wanted.is_empty() {
        return Arc::clone(provider());
    }
    let mut limited = CryptoProvider::clone(provider());
    limited
        .cipher_suites
        .retain(|suite| suite.tls13().is_some() || wanted.contains(&suite.suite()));
    Arc::new(limited)
}

/// A suite by its OpenSSL name.
fn suite(openssl_name: &str) -> Option<CipherSuite> {
    let at = CIPHER_SUITES.iter().position(|name| *name == openssl_name)?;
    Some(
        [
            CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
            CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
            CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
            CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        ][at],
    )
}

/// At least one; the first that the client can verify is shown.
#[derive(Debug)]
struct Certificates(Vec<Arc<CertifiedKey>>);

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let can_verify =
            |one: &&Arc<CertifiedKey>| one.key.choose_scheme(hello.signature_schemes()).is_some();
        self.0.iter().find(can_verify).or(self.0.first()).map(Arc::clone)
    }
}

#[cfg(test)]
mod tests;
