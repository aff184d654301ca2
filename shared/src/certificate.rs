//! PEM to certificates and keys, judged the same way by control, which tells the user, and by
//! the data plane, which serves. No clock: a moment is given where one matters.
//!
//! Errors never contain any part of what was read: it may have been a key.

use std::sync::{Arc, LazyLock};
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys, RootCertStore};
use webpki::{BorrowedCertRevocationList, EndEntityCert, KeyUsage};

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

/// When a certificate is valid, judged at one moment. Times in seconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// Now.
    Current,
    /// From then on.
    NotYet(u64),
    /// Until then.
    Over(u64),
}

/// Whether the leaf of a chain is valid at a moment; `None` if it cannot be read.
pub fn validity(chain: &[u8], at: SystemTime) -> Option<Validity> {
    let at = UnixTime::since_unix_epoch(at.duration_since(UNIX_EPOCH).ok()?);
    let chain = certificates(chain, Part::Certificate).ok()?;
    let leaf = EndEntityCert::try_from(chain.first()?).ok()?;
    let algorithms = provider().signature_verification_algorithms.all;
    let (usage, nobody) = (KeyUsage::server_auth(), &[]);
    // Its time is looked at before the authorities, of which there are none.
    let judged = leaf.verify_for_usage(algorithms, nobody, &[], at, usage, None, None);
    Some(match judged.map(drop) {
        Err(webpki::Error::CertExpired { not_after, .. }) => Validity::Over(not_after.as_secs()),
        Err(webpki::Error::CertNotValidYet { not_before, .. }) => {
            Validity::NotYet(not_before.as_secs())
        }
        _ => Validity::Current,
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
    if read.iter().any(|list| BorrowedCertRevocationList::from_der(list).is_err()) {
        return Err(PemError::Malformed(Part::RevocationList));
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
    fn a_certificate_is_valid_from_one_moment_to_another() {
        let mut params = rcgen::CertificateParams::new(["a.example.com".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        let key = rcgen::KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let (begin, end) = (1_577_836_800, 1_609_459_200);
        for (at, expected) in [
            (begin - 1, Validity::NotYet(begin)),
            (begin, Validity::Current),
            (end, Validity::Current),
            (end + 1, Validity::Over(end)),
        ] {
            let at = UNIX_EPOCH + std::time::Duration::from_secs(at);
            assert_eq!(validity(pem.as_bytes(), at), Some(expected), "{at:?}");
        }
        assert_eq!(validity(b"no PEM", UNIX_EPOCH), None);
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
