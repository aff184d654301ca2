//! An authority for tests, and handshakes in memory.

use std::io;
use std::sync::Arc;

use fairway_shared::certificate::{authorities, pair, provider};
use fairway_shared::snapshot::tls::Secret;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{ClientConfig, WebPkiServerVerifier};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, Error, ServerConfig, ServerConnection};

/// Signs certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(["authority.example.com".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(rcgen::DnType::CommonName, "tests");
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate for these names (`spiffe://…` becomes a URI), with its key.
    pub fn issue(&self, names: &[&str], serial: u64) -> Secret {
        let is_uri = |name: &&&str| name.contains("://");
        let dns: Vec<String> =
            names.iter().filter(|name| !is_uri(name)).map(ToString::to_string).collect();
        let mut params = CertificateParams::new(dns).unwrap();
        for uri in names.iter().filter(is_uri) {
            params.subject_alt_names.push(rcgen::SanType::URI((*uri).try_into().unwrap()));
        }
        params.serial_number = Some(SerialNumber::from(serial));
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Secret {
            certificate_chain: certificate.pem().into_bytes(),
            private_key: key.serialize_pem().into_bytes(),
            authorities: self.pem.clone().into_bytes(),
            ..Secret::default()
        }
    }

    /// Its own certificate, as a server would show it, trusted by whoever trusts this.
    pub fn itself(&self) -> Secret {
        Secret {
            certificate_chain: self.pem.clone().into_bytes(),
            private_key: self.issuer.key().serialize_pem().into_bytes(),
            authorities: self.pem.clone().into_bytes(),
            ..Secret::default()
        }
    }

    /// A list that revokes one serial number.
    pub fn revoke(&self, serial: u64) -> Vec<u8> {
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
        list.signed_by(&self.issuer).unwrap().pem().unwrap().into_bytes()
    }

    /// A client that trusts this authority and shows `identity`.
    pub fn client(&self, identity: Option<&Secret>) -> ClientConfig {
        let roots = Arc::new(authorities(self.pem.as_bytes()).unwrap());
        let verifier: Arc<dyn ServerCertVerifier> =
            WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider()))
                .build()
                .unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::clone(provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        match identity {
            None => builder.with_no_client_auth(),
            Some(secret) => {
                let pair = pair(&secret.certificate_chain, &secret.private_key).unwrap();
                let resolver = rustls::sign::SingleCertAndKey::from(pair);
                builder.with_client_cert_resolver(Arc::new(resolver))
            }
        }
    }
}

/// A handshake in memory, to its end on both sides.
pub fn handshake(
    server: &Arc<ServerConfig>,
    client: &Arc<ClientConfig>,
    name: &str,
) -> Result<(ServerConnection, ClientConnection), Error> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::clone(client), name).unwrap();
    let mut server = ServerConnection::new(Arc::clone(server)).unwrap();
    for _ in 0..4 {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        feed(&bytes, |part| server.read_tls(part));
        server.process_new_packets()?;
        let mut bytes = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut bytes).unwrap();
        }
        feed(&bytes, |part| client.read_tls(part));
        client.process_new_packets()?;
    }
    Ok((server, client))
}

fn feed(mut bytes: &[u8], mut read: impl FnMut(&mut &[u8]) -> io::Result<usize>) {
    while !bytes.is_empty() {
        read(&mut bytes).unwrap();
    }
}

/// Believes any server.
#[derive(Debug)]
pub struct Gullible;

impl ServerCertVerifier for Gullible {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}
