//! An authority of a test's own, what it signs, and Secrets that hold it.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, PublicKeyData, RevokedCertParams, SanType, SerialNumber,
    date_time_ymd,
};
use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};

/// Signs certificates.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    /// Its own certificate.
    pub pem: String,
}

/// A certificate with its key.
#[derive(Debug, Clone)]
pub struct Pair {
    /// PEM.
    pub certificate: String,
    /// PEM, PKCS#8.
    pub private_key: String,
    /// Base64 of the SHA-256 of its public key info, as `verifyCertificateSpki` wants it.
    pub spki_hash: String,
    /// Hexadecimal SHA-256 of the certificate, as `verifyCertificateHash` wants it.
    pub hash: String,
}

impl Authority {
    /// An authority of that name.
    ///
    /// # Panics
    /// If the machine has no randomness.
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new([]).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("randomness");
        let signed = params.self_signed(&key).expect("an authority signs itself");
        let (certificate, pem) = (signed.der().clone(), signed.pem());
        Self { issuer: Issuer::new(params, key), certificate, pem }
    }

    /// As a client trusts it.
    pub fn certificate(&self) -> CertificateDer<'static> {
        self.certificate.clone()
    }

    /// A certificate for these names (`spiffe://…` becomes a URI), valid for decades.
    ///
    /// # Panics
    /// If a name is none.
    pub fn issue(&self, names: &[&str], serial: u64) -> Pair {
        self.sign(names, serial, 2200)
    }

    /// A certificate that has not been valid for years.
    ///
    /// # Panics
    /// If a name is none.
    pub fn issue_expired(&self, names: &[&str], serial: u64) -> Pair {
        self.sign(names, serial, 2021)
    }

    fn sign(&self, names: &[&str], serial: u64, last_year: i32) -> Pair {
        let mut params = CertificateParams::new([]).expect("no names");
        params.subject_alt_names = names.iter().map(|name| alt_name(name)).collect();
        params.serial_number = Some(SerialNumber::from(serial));
        (params.not_before, params.not_after) =
            (date_time_ymd(2020, 1, 1), date_time_ymd(last_year, 1, 1));
        let key = KeyPair::generate().expect("randomness");
        let signed = params.signed_by(&key, &self.issuer).expect("an authority signs");
        let hash = Sha256::digest(signed.der());
        Pair {
            certificate: signed.pem(),
            private_key: key.serialize_pem(),
            spki_hash: STANDARD.encode(Sha256::digest(key.subject_public_key_info())),
            hash: hash.iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }

    /// PEM: the list that revokes one serial number.
    ///
    /// # Panics
    /// Never: an authority signs.
    pub fn revoke(&self, serial: u64) -> String {
        let revoked = RevokedCertParams {
            serial_number: SerialNumber::from(serial),
            revocation_time: date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(2200, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: vec![revoked],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).and_then(|list| list.pem()).expect("an authority signs")
    }
}

fn alt_name(name: &str) -> SanType {
    let is_uri = name.contains("://");
    let text = name.try_into().expect("a name in ASCII");
    if is_uri { SanType::URI(text) } else { SanType::DnsName(text) }
}

impl Pair {
    /// A Secret that holds it under the keys of `kubernetes.io/tls`.
    pub fn secret(&self, name: &str) -> String {
        self.secret_with(name, &[])
    }

    /// The same with further keys: `("ca.crt", pem)`.
    pub fn secret_with(&self, name: &str, more: &[(&str, &str)]) -> String {
        let own = [("tls.crt", self.certificate.as_str()), ("tls.key", self.private_key.as_str())];
        secret(name, own.iter().chain(more).copied())
    }
}

/// A Secret of the gateway pod's namespace.
pub fn secret<'s>(name: &str, values: impl IntoIterator<Item = (&'s str, &'s str)>) -> String {
    let values: BTreeMap<&str, String> =
        values.into_iter().map(|(key, value)| (key, STANDARD.encode(value))).collect();
    let data = serde_json::to_string(&values).unwrap_or_default();
    format!(
        "---\napiVersion: v1\nkind: Secret\n\
         metadata: {{name: {name}, namespace: istio-system}}\ndata: {data}\n"
    )
}
