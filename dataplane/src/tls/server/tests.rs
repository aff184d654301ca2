use super::*;
use crate::tls::testing::{Authority, handshake};
use fairway_shared::certificate;
use fairway_shared::id::SecretName;
use fairway_shared::snapshot::tls::{Secret, TrustSource};
use rustls::{AlertDescription, ClientConfig, Error, HandshakeKind, ProtocolVersion};
use std::collections::BTreeMap;
use std::path::Path;

fn secret(name: &str) -> SecretName {
    SecretName(name.into())
}

fn simple() -> ServerTls {
    ServerTls {
        certificates: vec![CertificateSource::Secret(secret("shop"))],
        client: ClientDemand::None,
        version_min: TlsVersion::V1_2,
        version_max: TlsVersion::V1_3,
        cipher_suites: Vec::new(),
    }
}

fn demanding(change: impl FnOnce(&mut ClientDemand)) -> ServerTls {
    let mut client = ClientDemand::Certificate {
        is_required: true,
        trust: TrustSource::Secret(secret("shop")),
        subject_alt_names: Vec::new(),
        spki_sha256: Vec::new(),
        certificate_sha256: Vec::new(),
    };
    change(&mut client);
    ServerTls { client, ..simple() }
}

fn config_of(
    tls: &ServerTls,
    chain: &str,
    held: &Secret,
) -> Result<Arc<ServerConfig>, MaterialError> {
    let secrets = BTreeMap::from([(secret("shop"), Arc::new(held.clone()))]);
    let from = Materials {
        secrets: &secrets,
        mesh: Path::new("/nonexistent"),
        fails_without_secret: false,
    };
    let recipe = Recipe::read(tls, false, chain, from);
    recipe.server_config(&TicketSecret::new(&[7; 32])).map(Arc::new)
}

fn config(tls: &ServerTls, held: &Secret) -> Arc<ServerConfig> {
    config_of(tls, "one", held).unwrap()
}

fn is_welcome(tls: &ServerTls, held: &Secret, client: ClientConfig) -> bool {
    handshake(&config(tls, held), &Arc::new(client), "a.example.com").is_ok()
}

#[test]
fn both_protocols_of_http_are_offered() {
    let authority = Authority::new();
    let held = authority.issue(&["a.example.com"], 1);
    for (offered, expected) in [("h2", Some("h2")), ("http/1.1", Some("http/1.1"))] {
        let mut client = authority.client(None);
        client.alpn_protocols = vec![offered.into()];
        let (server, _) =
            handshake(&config(&simple(), &held), &Arc::new(client), "a.example.com").unwrap();
        assert_eq!(server.alpn_protocol(), expected.map(str::as_bytes));
    }
}

#[test]
fn versions_and_suites_are_those_the_gateway_names() {
    let authority = Authority::new();
    let held = authority.issue(&["a.example.com"], 1);
    let negotiated = |tls: &ServerTls| {
        let client = Arc::new(authority.client(None));
        let (server, _) = handshake(&config(tls, &held), &client, "a.example.com").unwrap();
        (server.protocol_version().unwrap(), server.negotiated_cipher_suite().unwrap().suite())
    };
    assert_eq!(negotiated(&simple()).0, ProtocolVersion::TLSv1_3);
    let mut tls = ServerTls { version_max: TlsVersion::V1_2, ..simple() };
    assert_eq!(negotiated(&tls).0, ProtocolVersion::TLSv1_2);
    tls.cipher_suites = vec!["ECDHE-ECDSA-CHACHA20-POLY1305".into()];
    assert_eq!(negotiated(&tls).1, CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256);
    let only_new = ServerTls { version_min: TlsVersion::V1_3, ..simple() };
    let old = ClientConfig::builder_with_provider(Arc::clone(provider()))
        .with_protocol_versions(&[&TLS12])
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    assert!(!is_welcome(&only_new, &held, old));
}

#[test]
fn every_suite_has_its_name() {
    let names: Vec<_> = CIPHER_SUITES.iter().filter_map(|name| suite(name)).collect();
    let known = provider().cipher_suites.iter().filter(|suite| suite.tls13().is_none());
    let known: std::collections::BTreeSet<u16> = known.map(|one| one.suite().into()).collect();
    assert_eq!(names.into_iter().map(u16::from).collect::<std::collections::BTreeSet<_>>(), known);
}

#[test]
fn a_client_certificate_is_asked_for_and_judged() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let held = authority.issue(&["a.example.com"], 1);
    let own = authority.issue(&["client.example.com", "spiffe://mesh/ns/a/sa/b"], 2);
    let foreign = stranger.issue(&["client.example.com"], 3);
    let none: Option<&Secret> = None;
    let check = |tls: &ServerTls, shown: Option<&Secret>, expected: bool| {
        let found = is_welcome(tls, &held, authority.client(shown));
        assert_eq!(found, expected, "{tls:?}");
    };
    let required = demanding(|_| {});
    check(&required, none, false);
    check(&required, Some(&own), true);
    check(&required, Some(&foreign), false);
    let optional = demanding(|demand| {
        if let ClientDemand::Certificate { is_required, .. } = demand {
            *is_required = false;
        }
    });
    check(&optional, none, true);
    check(&optional, Some(&own), true);
    check(&optional, Some(&foreign), false);
    let anyone = demanding(|demand| {
        if let ClientDemand::Certificate { trust, .. } = demand {
            *trust = TrustSource::Anyone;
        }
    });
    check(&anyone, none, false);
    check(&anyone, Some(&foreign), true);
    for (name, expected) in
        [("client.example.com", true), ("spiffe://mesh/ns/a/sa/b", true), ("example.com", false)]
    {
        let named = demanding(|demand| {
            if let ClientDemand::Certificate { subject_alt_names, .. } = demand {
                subject_alt_names.push(name.to_owned());
            }
        });
        check(&named, Some(&own), expected);
    }
}

#[test]
fn pins_admit_by_either_hash() {
    let authority = Authority::new();
    let held = authority.issue(&["a.example.com"], 1);
    let own = authority.issue(&["client.example.com"], 2);
    let parsed = certificate::pair(&own.certificate_chain, &own.private_key).unwrap();
    let leaf = parsed.end_entity_cert().unwrap();
    let key = webpki::EndEntityCert::try_from(leaf).unwrap().subject_public_key_info();
    let hash = |bytes: &[u8]| <[u8; 32]>::from(Sha256::digest(bytes));
    let check = |spki: Vec<[u8; 32]>, whole: Vec<[u8; 32]>, expected: bool| {
        let pinned = demanding(|demand| {
            if let ClientDemand::Certificate { spki_sha256, certificate_sha256, .. } = demand {
                (*spki_sha256, *certificate_sha256) = (spki.clone(), whole.clone());
            }
        });
        let found = is_welcome(&pinned, &held, authority.client(Some(&own)));
        assert_eq!(found, expected, "{spki:?} {whole:?}");
    };
    check(vec![hash(&key)], vec![], true);
    check(vec![], vec![hash(leaf)], true);
    check(vec![[0; 32]], vec![hash(leaf)], true);
    check(vec![[0; 32]], vec![], false);
    check(vec![], vec![hash(&key)], false);
}

#[test]
fn a_revoked_certificate_is_refused() {
    let authority = Authority::new();
    let mut held = authority.issue(&["a.example.com"], 1);
    held.revocations = authority.revoke(2);
    for (serial, expected) in [(2, false), (3, true)] {
        let own = authority.issue(&["client.example.com"], serial);
        let client = authority.client(Some(&own));
        assert_eq!(is_welcome(&demanding(|_| {}), &held, client), expected, "serial {serial}");
    }
}

#[test]
fn an_error_names_the_source_and_no_secret() {
    let authority = Authority::new();
    let held = authority.issue(&["a.example.com"], 1);
    let check = |tls: &ServerTls, held: Secret, expected: &str| {
        let error = config_of(tls, "one", &held).unwrap_err().to_string();
        assert_eq!(error, expected);
    };
    let other = authority.issue(&["a.example.com"], 2);
    let mixed = Secret { private_key: other.private_key, ..held.clone() };
    check(
        &simple(),
        mixed,
        "secret shop holds a private key that does not belong to the certificate",
    );
    let empty = Secret { private_key: Vec::new(), ..held.clone() };
    check(&simple(), empty, "secret shop holds no private key");
    let distrusting = Secret { authorities: Vec::new(), ..held.clone() };
    check(&demanding(|_| {}), distrusting, "secret shop holds no authority's certificate");
    let missing =
        ServerTls { certificates: vec![CertificateSource::Secret(secret("no"))], ..simple() };
    check(&missing, held.clone(), "secret no does not exist");
    let mesh = ServerTls { certificates: vec![CertificateSource::Mesh], ..simple() };
    check(&mesh, held, "file /nonexistent/cert-chain.pem: entity not found");
}

#[test]
fn one_of_two_certificates_is_enough() {
    let authority = Authority::new();
    let held = authority.issue(&["a.example.com"], 1);
    let mut tls = simple();
    tls.certificates.insert(0, CertificateSource::Secret(secret("missing")));
    assert!(is_welcome(&tls, &held, authority.client(None)));
}

/// Connects twice with one client and says how the second handshake went.
fn second_handshake(first: &Arc<ServerConfig>, second: &Arc<ServerConfig>) -> HandshakeKind {
    let authority = Authority::new();
    // Verification of the server is not the point, and both show the same name.
    let mut client = authority.client(None);
    client.dangerous().set_certificate_verifier(Arc::new(crate::tls::testing::Gullible));
    let client = Arc::new(client);
    handshake(first, &client, "a.example.com").unwrap();
    let (server, _) = handshake(second, &client, "a.example.com").unwrap();
    server.handshake_kind().unwrap()
}

#[test]
fn a_session_resumes_at_the_same_chain_only() {
    let authority = Authority::new();
    let held = authority.issue(&["a.example.com"], 1);
    let rotated = authority.issue(&["a.example.com"], 2);
    let optional = demanding(|demand| {
        if let ClientDemand::Certificate { is_required, .. } = demand {
            *is_required = false;
        }
    });
    for version_max in [TlsVersion::V1_2, TlsVersion::V1_3] {
        let of = |tls: &ServerTls, chain: &str, held: &Secret| {
            config_of(&ServerTls { version_max, ..tls.clone() }, chain, held).unwrap()
        };
        let one = of(&simple(), "one", &held);
        let kind = |second: &Arc<ServerConfig>| second_handshake(&one, second);
        assert_eq!(kind(&of(&simple(), "one", &held)), HandshakeKind::Resumed);
        assert_eq!(kind(&of(&simple(), "one", &rotated)), HandshakeKind::Resumed);
        assert_eq!(kind(&of(&simple(), "two", &held)), HandshakeKind::Full);
        assert_eq!(kind(&of(&optional, "one", &held)), HandshakeKind::Full);
    }
}

#[test]
fn a_client_without_a_certificate_is_told_so() {
    let authority = Authority::new();
    let held = authority.issue(&["a.example.com"], 1);
    let config = config(&demanding(|_| {}), &held);
    let refused = handshake(&config, &Arc::new(authority.client(None)), "a.example.com");
    let error = refused.map(drop).unwrap_err();
    assert!(
        matches!(
            error,
            Error::NoCertificatesPresented
                | Error::AlertReceived(AlertDescription::CertificateRequired)
        ),
        "{error}"
    );
}
