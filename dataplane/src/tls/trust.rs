//! Whom certificates must come from: authorities and revocation lists, parsed.

use std::sync::{Arc, LazyLock};

use fairway_shared::certificate;
use fairway_shared::snapshot::tls::{Secret, TrustSource};
use rustls::RootCertStore;
use rustls::pki_types::CertificateRevocationListDer;

use super::material::{MaterialError, place_of_trust};

/// Parsed authorities.
#[derive(Debug)]
pub enum Trust {
    /// Anyone's certificate will do.
    Anyone,
    /// One of these must have signed, directly or not.
    Authorities {
        /// They.
        roots: Arc<RootCertStore>,
        /// If there are any, the status of every certificate must be known from them.
        revocations: Vec<CertificateRevocationListDer<'static>>,
    },
}

impl Trust {
    /// Parses what a source held.
    ///
    /// # Errors
    /// It is not what is needed.
    pub fn parse(source: &TrustSource, held: &Secret) -> Result<Self, MaterialError> {
        let unusable = |problem| MaterialError::Unusable { place: place_of_trust(source), problem };
        match source {
            TrustSource::Anyone => Ok(Self::Anyone),
            TrustSource::Nobody => Err(MaterialError::Unreadable),
            TrustSource::System => {
                let roots = Arc::clone(system()?);
                Ok(Self::Authorities { roots, revocations: Vec::new() })
            }
            TrustSource::Secret(_) | TrustSource::Files { .. } | TrustSource::Mesh => {
                let roots = certificate::authorities(&held.authorities).map_err(unusable)?;
                let revocations = certificate::revocations(&held.revocations).map_err(unusable)?;
                Ok(Self::Authorities { roots: Arc::new(roots), revocations })
            }
        }
    }
}

/// The operating system's authorities, read once.
fn system() -> Result<&'static Arc<RootCertStore>, MaterialError> {
    static SYSTEM: LazyLock<Arc<RootCertStore>> = LazyLock::new(|| {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Arc::new(store)
    });
    if SYSTEM.is_empty() { Err(MaterialError::NoSystemTrust) } else { Ok(&SYSTEM) }
}
