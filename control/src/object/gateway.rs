//! `networking.istio.io` Gateway (Istio contract 1).

use std::collections::BTreeMap;

use serde::Deserialize;

/// `spec`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Gateway {
    /// Labels a gateway pod must carry; empty selects every one.
    pub selector: BTreeMap<String, String>,
    /// At least one.
    pub servers: Vec<Server>,
}

/// `spec.servers[]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Server {
    /// Required.
    pub port: Option<Port>,
    /// IP address or `unix://` path; empty = every address.
    pub bind: String,
    /// At least one.
    pub hosts: Vec<String>,
    /// Required for HTTPS and TLS.
    pub tls: Option<ServerTls>,
    /// Not used by gateways.
    #[serde(alias = "default_endpoint")]
    pub default_endpoint: String,
    /// For statistics.
    pub name: String,
}

/// `spec.servers[].port`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Port {
    /// 1 to 65535.
    pub number: u32,
    /// Case-insensitive.
    pub protocol: String,
    /// Unique within a Gateway.
    pub name: String,
    /// Deprecated, rejected.
    #[serde(alias = "target_port")]
    pub target_port: u32,
}

/// `spec.servers[].tls`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServerTls {
    /// Plaintext HTTP only: answer 301 to https.
    #[serde(alias = "https_redirect")]
    pub https_redirect: bool,
    /// `PASSTHROUGH`, `SIMPLE`, …; empty = `PASSTHROUGH`.
    pub mode: String,
    /// File.
    #[serde(alias = "server_certificate")]
    pub server_certificate: String,
    /// File.
    #[serde(alias = "private_key")]
    pub private_key: String,
    /// File.
    #[serde(alias = "ca_certificates")]
    pub ca_certificates: String,
    /// File.
    #[serde(alias = "ca_crl")]
    pub ca_crl: String,
    /// Secret.
    #[serde(alias = "credential_name")]
    pub credential_name: String,
    /// Secrets.
    #[serde(alias = "credential_names")]
    pub credential_names: Vec<String>,
    /// Secret of the authorities for clients, in place of the ones beside the certificate.
    #[serde(alias = "ca_cert_credential_name")]
    pub ca_cert_credential_name: String,
    /// Client certificate names.
    #[serde(alias = "subject_alt_names")]
    pub subject_alt_names: Vec<String>,
    /// Client certificate fingerprints.
    #[serde(alias = "verify_certificate_spki")]
    pub verify_certificate_spki: Vec<String>,
    /// Client certificate fingerprints.
    #[serde(alias = "verify_certificate_hash")]
    pub verify_certificate_hash: Vec<String>,
    /// `TLSV1_2`, …
    #[serde(alias = "min_protocol_version")]
    pub min_protocol_version: String,
    /// `TLSV1_3`, …
    #[serde(alias = "max_protocol_version")]
    pub max_protocol_version: String,
    /// Client certificates are taken whoever signed them.
    #[serde(alias = "insecure_skip_verify")]
    pub insecure_skip_verify: bool,
    /// OpenSSL names.
    #[serde(alias = "cipher_suites")]
    pub cipher_suites: Vec<String>,
}
