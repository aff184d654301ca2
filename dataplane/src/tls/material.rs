//! What certificates and authorities are made of, read from the snapshot's secrets or from files.
//! Reads files: to be called on a helper thread only.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fairway_shared::certificate::{self, PemError};
use fairway_shared::id::SecretName;
use fairway_shared::snapshot::tls::{CertificateSource, Secret, TrustSource};
use rustls::sign::CertifiedKey;

/// Largest file read, in bytes.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Files of the gateway's own identity (Istio contract 1.7, 8.3).
const MESH_CHAIN: &str = "cert-chain.pem";
const MESH_KEY: &str = "key.pem";
const MESH_AUTHORITIES: &str = "root-cert.pem";

/// Why there is no configuration for a handshake. One line that names the source; never what is
/// in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MaterialError {
    /// The snapshot does not hold it.
    #[error("secret {0} does not exist")]
    NoSecret(SecretName),
    /// The file system's word.
    #[error("file {}: {kind}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        kind: io::ErrorKind,
    },
    /// It is there, but it is not what is needed.
    #[error("{place} {problem}")]
    Unusable {
        /// `secret shop`, `file /etc/…`.
        place: String,
        /// What is wrong.
        problem: PemError,
    },
    /// The operating system trusts nobody.
    #[error("the system has no trusted authorities: install ca-certificates, or name authorities")]
    NoSystemTrust,
    /// Control could not read the policy either.
    #[error("the policy cannot be read: see its diagnostics")]
    Unreadable,
    /// The library's word.
    #[error("{0}")]
    Refused(String),
}

/// What a source held when it was read, or why it could not be read.
pub type Held = Result<Arc<Secret>, MaterialError>;

/// Where material comes from.
#[derive(Debug, Clone, Copy)]
pub struct Materials<'m> {
    /// The snapshot's.
    pub secrets: &'m BTreeMap<SecretName, Arc<Secret>>,
    /// Directory of the gateway's own identity.
    pub mesh: &'m Path,
    /// A chain whose Secret is gone fails, in place of serving on with what it was made of.
    pub fails_without_secret: bool,
}

impl Materials<'_> {
    /// Certificate and key.
    pub fn certificate(&self, source: &CertificateSource) -> Held {
        match source {
            CertificateSource::Secret(name) => self.secret(name),
            CertificateSource::Files { certificate, private_key } => {
                pair_of_files(Path::new(certificate), Path::new(private_key))
            }
            CertificateSource::Mesh => {
                pair_of_files(&self.mesh.join(MESH_CHAIN), &self.mesh.join(MESH_KEY))
            }
        }
    }

    /// Authorities and revocations; nothing where none need be read.
    pub fn trust(&self, source: &TrustSource) -> Held {
        let files = |authorities: &Path, revocations: Option<&Path>| {
            Ok(Arc::new(Secret {
                authorities: read(authorities)?,
                revocations: revocations.map(read).transpose()?.unwrap_or_default(),
                ..Secret::default()
            }))
        };
        match source {
            TrustSource::Secret(name) => self.secret(name),
            TrustSource::Files { authorities, revocations } => {
                let revocations = (!revocations.is_empty()).then(|| Path::new(revocations));
                files(Path::new(authorities), revocations)
            }
            TrustSource::Mesh => files(&self.mesh.join(MESH_AUTHORITIES), None),
            TrustSource::System | TrustSource::Anyone => Ok(Arc::default()),
            TrustSource::Nobody => Err(MaterialError::Unreadable),
        }
    }

    fn secret(&self, name: &SecretName) -> Held {
        let found = self.secrets.get(name).map(Arc::clone);
        found.ok_or_else(|| MaterialError::NoSecret(name.clone()))
    }
}

fn pair_of_files(certificate: &Path, private_key: &Path) -> Held {
    Ok(Arc::new(Secret {
        certificate_chain: read(certificate)?,
        private_key: read(private_key)?,
        ..Secret::default()
    }))
}

fn read(path: &Path) -> Result<Vec<u8>, MaterialError> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes));
    match read {
        Ok(_) => Ok(bytes),
        Err(error) => Err(MaterialError::File { path: path.to_owned(), kind: error.kind() }),
    }
}

/// The certificate with its key, ready for handshakes.
///
/// # Errors
/// It is not what is needed.
pub fn certified_key(
    source: &CertificateSource,
    held: &Secret,
) -> Result<CertifiedKey, MaterialError> {
    let pair = certificate::pair(&held.certificate_chain, &held.private_key);
    let mut pair = pair.map_err(|problem| MaterialError::Unusable {
        place: place_of_certificate(source),
        problem,
    })?;
    pair.ocsp = (!held.ocsp_staple.is_empty()).then(|| held.ocsp_staple.clone());
    Ok(pair)
}

/// For messages: `secret shop`, `file /etc/certs/key.pem`.
pub fn place_of_certificate(source: &CertificateSource) -> String {
    match source {
        CertificateSource::Secret(name) => format!("secret {name}"),
        CertificateSource::Files { certificate, private_key } => {
            format!("file {certificate} with {private_key}")
        }
        CertificateSource::Mesh => "the gateway's own certificate".into(),
    }
}

/// For messages, as [`place_of_certificate`].
pub fn place_of_trust(source: &TrustSource) -> String {
    match source {
        TrustSource::Secret(name) => format!("secret {name}"),
        TrustSource::Files { authorities, .. } => format!("file {authorities}"),
        TrustSource::System => "the system's trust store".into(),
        TrustSource::Mesh => "the mesh's root certificate".into(),
        TrustSource::Anyone => "nothing".into(),
        TrustSource::Nobody => "a policy that cannot be read".into(),
    }
}

/// Can the source change while the snapshot stays?
pub fn is_file(source: &CertificateSource) -> bool {
    matches!(source, CertificateSource::Files { .. } | CertificateSource::Mesh)
}

/// As [`is_file`].
pub fn is_trust_file(source: &TrustSource) -> bool {
    matches!(source, TrustSource::Files { .. } | TrustSource::Mesh)
}
