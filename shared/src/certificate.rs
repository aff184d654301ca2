//! PEM to certificates and keys, judged the same way by control, which tells the user, and by
//! the data plane, which serves. No clock: whether a certificate is still valid is not asked.
//!
//! Errors never contain any part of what was read: it may have been a key.

use std::sync::{Arc, LazyLock};

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys, RootCertStore};

/// Why PEM cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PemError {
    /// There is no block of the kind wanted.
    #[error("holds no {0}")]
    Empty(Part),
    /// A block is not well-formed.
    #[error("holds a {0} that cannot be read")]
    Malformed(Part),
    /// A key of a kind or size that is not supported.
    #[error("holds a private key of a kind that is not supported")]
    UnsupportedKey,
    /// The certificate is for another key.
    #[error("holds a private key that does not belong to the certificate")]
    Mismatch,
}

/// What is looked for in PEM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// A certificate, or a chain.
    Certificate,
    /// A private key: PKCS#8, PKCS#1 or SEC1.
    PrivateKey,
    /// A certificate of an authority.
    Authority,
    /// A revocation list.
    RevocationList,
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Certificate => "certificate",
            Self::PrivateKey => "private key",
            Self::Authority => "authority's certificate",
            Self::RevocationList => "revocation list",
        })
    }
}

/// The one provider of cryptography, with everything it offers.
pub fn provider() -> &'static Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(ring::default_provider()));
    &PROVIDER
}

/// A certificate chain, leaf first, with its key. They belong together.
///
/// # Errors
/// [`PemError`].
pub fn pair(chain: &[u8], private_key: &[u8]) -> Result<CertifiedKey, PemError> {
    let chain = certificates(chain, Part::Certificate)?;
    let key = PrivateKeyDer::from_pem_slice(private_key).map_err(|error| match error {
        rustls::pki_types::pem::Error::NoItemsFound => PemError::Empty(Part::PrivateKey),
        _ => PemError::Malformed(Part::PrivateKey),
    })?;
    CertifiedKey::from_der(chain, key, provider()).map_err(|error| match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => PemError::Mismatch,
        Error::InvalidCertificate(_) => PemError::Malformed(Part::Certificate),
        _ => PemError::UnsupportedKey,
    })
}

/// The authorities in a bundle. Those of a form that cannot sign anything here are passed over,
/// as long as one is left.
///
/// # Errors
/// [`PemError`].
pub fn authorities(bundle: &[u8]) -> Result<RootCertStore, PemError> {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(certificates(bundle, Part::Authority)?);
    if store.is_empty() { Err(PemError::Malformed(Part::Authority)) } else { Ok(store) }
}

/// The revocation lists in a file; none if it is empty.
///
/// # Errors
/// [`PemError`].
pub fn revocations(lists: &[u8]) -> Result<Vec<CertificateRevocationListDer<'static>>, PemError> {
    let read: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(lists).collect();
    let read = read.map_err(|_| PemError::Malformed(Part::RevocationList))?;
    if read.is_empty() && !lists.is_empty() {
        return Err(PemError::Empty(Part::RevocationList));
    }
    Ok(read)
}

fn certificates(pem: &[u8], part: Part) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let read = read.map_err(|_| PemError::Malformed(part))?;
    if read.is_empty() { Err(PemError::Empty(part)) } else { Ok(read) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertifiedKey as Generated, generate_simple_self_signed};

    fn generated() -> (String, String) {
        let Generated { cert, signing_key } =
            generate_simple_self_signed(["a.example.com".to_owned()]).unwrap();
        (cert.pem(), signing_key.serialize_pem())
    }

    #[test]
    fn a_pair_is_judged_by_its_parts_and_together() {
        let (chain, key) = generated();
        let (_, other_key) = generated();
        let check = |chain: &str, key: &str, expected: Result<usize, PemError>| {
            let found = pair(chain.as_bytes(), key.as_bytes()).map(|pair| pair.cert.len());
            assert_eq!(found, expected, "{chain:.40} {key:.40}");
        };
        check(&chain, &key, Ok(1));
        check(&format!("{key}{chain}{chain}"), &key, Ok(2));
        check("", &key, Err(PemError::Empty(Part::Certificate)));
        check(&key, &key, Err(PemError::Empty(Part::Certificate)));
        check(&chain, "", Err(PemError::Empty(Part::PrivateKey)));
        check(&chain, &chain, Err(PemError::Empty(Part::PrivateKey)));
        check(&chain, &other_key, Err(PemError::Mismatch));
        check(&chain.replace("MI", "!!"), &key, Err(PemError::Malformed(Part::Certificate)));
        check(&chain, &key.replacen("MI", "AA", 1), Err(PemError::UnsupportedKey));
    }

    #[test]
    fn a_bundle_needs_one_authority() {
        let (chain, key) = generated();
        assert_eq!(authorities(chain.as_bytes()).map(|store| store.len()), Ok(1));
        for bad in [&key, ""] {
            let found = authorities(bad.as_bytes()).map(|store| store.len());
            assert_eq!(found, Err(PemError::Empty(Part::Authority)));
        }
    }

    #[test]
    fn no_list_is_fine_but_another_thing_in_its_place_is_not() {
        let (chain, _) = generated();
        assert_eq!(revocations(b""), Ok(vec![]));
        assert_eq!(revocations(chain.as_bytes()), Err(PemError::Empty(Part::RevocationList)));
    }
}
