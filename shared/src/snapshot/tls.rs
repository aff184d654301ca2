//! Certificates and what is demanded of the other side, downstream and upstream
//! (Istio contract 1.7, 3.6).
//!
//! Names and paths only, but for [`Secret`], which holds what a Kubernetes Secret held. Nothing
//! here may be logged or dumped whole: `Debug` of a secret shows no key.

use std::fmt;

use bincode::{Decode, Encode};

use crate::id::SecretName;

/// What a Secret of the gateway pod's namespace held. Absent parts are empty.
#[derive(Clone, Default, PartialEq, Eq, Encode, Decode)]
pub struct Secret {
    /// PEM, leaf first.
    pub certificate_chain: Vec<u8>,
    /// PEM.
    pub private_key: Vec<u8>,
    /// PEM: authorities that client or server certificates must come from.
    pub authorities: Vec<u8>,
    /// PEM: revoked certificates.
    pub revocations: Vec<u8>,
    /// DER: the stapled OCSP response.
    pub ocsp_staple: Vec<u8>,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret")
            .field("certificate_chain_bytes", &self.certificate_chain.len())
            .field("has_private_key", &!self.private_key.is_empty())
            .field("authorities_bytes", &self.authorities.len())
            .finish_non_exhaustive()
    }
}

/// Where a certificate with its key comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum CertificateSource {
    /// The Secret of that name; the snapshot may not hold it: every handshake fails then.
    Secret(SecretName),
    /// Files of the data plane, read anew when they change.
    Files {
        /// Path of a PEM chain.
        certificate: String,
        /// Path of a PEM key.
        private_key: String,
    },
    /// The gateway's own identity: `/etc/certs/{cert-chain,key}.pem`.
    Mesh,
}

/// Which authorities are trusted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum TrustSource {
    /// The Secret of that name; the snapshot may not hold it: every handshake fails then.
    Secret(SecretName),
    /// Files of the data plane, read anew when they change.
    Files {
        /// Path of PEM certificates.
        authorities: String,
        /// Path of PEM revocation lists; empty = none.
        revocations: String,
    },
    /// The operating system's.
    System,
    /// The mesh's: `/etc/certs/root-cert.pem`.
    Mesh,
    /// Anyone's: `insecureSkipVerify`.
    Anyone,
    /// Nobody's: what was asked for cannot be read, and every handshake fails rather than verify
    /// less.
    Nobody,
}

/// How TLS ends at a Gateway server.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ServerTls {
    /// One, or two of different key types; the client's abilities choose.
    pub certificates: Vec<CertificateSource>,
    /// What is asked of the client.
    pub client: ClientDemand,
    /// Lowest version spoken.
    pub version_min: TlsVersion,
    /// Highest version spoken.
    pub version_max: TlsVersion,
    /// Of [`CIPHER_SUITES`], for TLS 1.2; empty = the library's choice.
    pub cipher_suites: Vec<String>,
}

/// The suites of TLS 1.2 that can be had, by OpenSSL name, the preferred ones first.
pub const CIPHER_SUITES: [&str; 6] = [
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-RSA-CHACHA20-POLY1305",
];

/// What is asked of a client.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum ClientDemand {
    /// Nothing.
    None,
    /// A certificate.
    Certificate {
        /// Without one the handshake fails (`MUTUAL`, `ISTIO_MUTUAL`); else it may be absent.
        is_required: bool,
        /// Who must have signed it.
        trust: TrustSource,
        /// Any of these must be among its URI and DNS names; empty = any name.
        subject_alt_names: Vec<String>,
        /// SHA-256 of its public key info; any of these or of `certificate_sha256`.
        spki_sha256: Vec<[u8; 32]>,
        /// SHA-256 of the certificate; both lists empty = not asked for.
        certificate_sha256: Vec<[u8; 32]>,
    },
}

/// A TLS version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum TlsVersion {
    /// 1.2, the oldest spoken.
    V1_2,
    /// 1.3.
    V1_3,
}

/// TLS towards a backend (Istio contract 3.6).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
pub struct UpstreamTls {
    /// Server name sent; `None` = the request's upstream Host (opaque bytes: none sent).
    pub sni: Option<String>,
    /// Who must have signed the backend's certificate.
    pub trust: TrustSource,
    /// Any of these must be among its names; empty = the server name sent, if one is sent and
    /// the peer is not of the mesh.
    pub subject_alt_names: Vec<String>,
    /// Our own certificate: `MUTUAL`, `ISTIO_MUTUAL`.
    pub identity: Option<CertificateSource>,
    /// Protocols offered besides what the cluster speaks: `istio`, `istio-peer-exchange`.
    pub extra_alpn: Vec<String>,
}
