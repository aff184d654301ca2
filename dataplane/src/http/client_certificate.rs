//! The client's certificate as `x-forwarded-client-cert` tells it (Istio contract 6.5; Envoy:
//! forward_client_cert_details). Made once per connection.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::HeaderValue;
use rustls::ServerConnection;
use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use webpki::EndEntityCert;

/// Bytes of base64 in a line of PEM.
const PEM_LINE_BYTES: usize = 64;

/// Hash, certificate and names; `None` if the client showed no certificate.
pub fn header(session: &ServerConnection) -> Option<HeaderValue> {
    let certificate = session.peer_certificates()?.first()?;
    HeaderValue::from_str(&describe(certificate)).ok()
}

fn describe(certificate: &CertificateDer<'_>) -> String {
    let mut text = String::from("Hash=");
    for byte in Sha256::digest(certificate) {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text.push_str(";Cert=\"");
    push_url_encoded(&mut text, &pem(certificate));
    text.push('"');
    // Whoever got this far has a certificate that can be read.
    if let Ok(parsed) = EndEntityCert::try_from(certificate) {
        let names = [
            (";URI=", parsed.valid_uri_names().collect::<Vec<_>>()),
            (";DNS=", parsed.valid_dns_names().collect()),
        ];
        for (key, name) in names.iter().flat_map(|(key, all)| all.iter().map(move |n| (key, n))) {
            text.push_str(key);
            push_element(&mut text, name);
        }
    }
    text
}

/// A name that holds a separator is quoted.
fn push_element(text: &mut String, name: &str) {
    if name.contains([',', ';', '=', '"']) {
        let _ = write!(text, "\"{}\"", name.replace('"', "\\\""));
    } else {
        text.push_str(name);
    }
}

fn pem(certificate: &[u8]) -> String {
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in STANDARD.encode(certificate).as_bytes().chunks(PEM_LINE_BYTES) {
        text.extend(line.iter().map(|byte| char::from(*byte)));
        text.push('\n');
    }
    text.push_str("-----END CERTIFICATE-----\n");
    text
}

fn push_url_encoded(text: &mut String, plain: &str) {
    for byte in plain.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::testing::Authority;
    use fairway_shared::certificate::pair;

    #[test]
    fn a_certificate_is_told_by_hash_content_and_names() {
        let held = Authority::new().issue(&["client.example.com", "spiffe://mesh/ns/a/sa/b"], 1);
        let pair = pair(&held.certificate_chain, &held.private_key).unwrap();
        let leaf = pair.end_entity_cert().unwrap();
        let text = describe(leaf);
        let parts: Vec<&str> = text.split(';').collect();
        let [hash, cert, uri, dns] = parts[..] else { panic!("four parts: {text}") };
        assert_eq!(hash.len(), "Hash=".len() + 64);
        assert_eq!((uri, dns), ("URI=spiffe://mesh/ns/a/sa/b", "DNS=client.example.com"));
        let given = String::from_utf8(held.certificate_chain).unwrap().replace("\r\n", "\n");
        let mut encoded = String::new();
        push_url_encoded(&mut encoded, &given);
        assert_eq!(cert, format!("Cert=\"{encoded}\""));
        assert!(HeaderValue::from_str(&text).is_ok());
    }

    #[test]
    fn bytes_of_any_number_become_text() {
        for (bytes, expected) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(STANDARD.encode(bytes.as_bytes()), expected);
        }
    }
}
