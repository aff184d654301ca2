use super::*;
use crate::tls::testing::{Authority, handshake};
use fairway_shared::certificate::{authorities, pair};
use fairway_shared::id::SecretName;
use fairway_shared::snapshot::tls::{CertificateSource, Secret};
use rustls::server::WebPkiClientVerifier;
use rustls::{CertificateError, Error, ServerConfig};
use std::collections::BTreeMap;
use std::path::Path;

fn from(secrets: &BTreeMap<SecretName, Arc<Secret>>) -> Materials<'_> {
    Materials { secrets, mesh: Path::new("/nonexistent"), fails_without_secret: false }
}

fn named(name: &str) -> SecretName {
    SecretName(name.to_owned())
}

/// SIMPLE by the Secret `ca`.
fn policy(sni: Option<&str>, names: &[&str]) -> UpstreamTls {
    UpstreamTls {
        sni: sni.map(str::to_owned),
        trust: TrustSource::Secret(named("ca")),
        subject_alt_names: names.iter().map(ToString::to_string).collect(),
        identity: None,
        extra_alpn: Vec::new(),
    }
}

fn server(own: &Secret, clients: Option<&Secret>) -> Arc<ServerConfig> {
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider()))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(held) => {
            let roots = Arc::new(authorities(&held.authorities).unwrap());
            let check =
                WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider())).build();
            builder.with_client_cert_verifier(check.unwrap())
        }
    };
    let pair = pair(&own.certificate_chain, &own.private_key).unwrap();
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(pair)));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}

/// A handshake with an endpoint that shows a certificate for `of`.
struct Case<'c> {
    policy: UpstreamTls,
    secrets: &'c BTreeMap<SecretName, Arc<Secret>>,
    endpoint: &'c Secret,
    clients: Option<&'c Secret>,
    inside: Inside,
    asked: &'c str,
}

impl Case<'_> {
    /// The ALPN protocol agreed on.
    fn run(&self) -> Result<Option<String>, Error> {
        let originating = Originating::new("c", &self.policy, from(self.secrets), None);
        let config = originating.config(self.inside).expect("material is there");
        let server = server(self.endpoint, self.clients);
        let (server, _) = handshake(&server, &config, self.asked)?;
        Ok(server.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned()))
    }
}

#[test]
fn the_endpoint_must_be_whom_the_policy_names() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let ours = authority.issue(&["a.example.com", "*.b.example.com", "spiffe://m/ns/x"], 1);
    let theirs = stranger.issue(&["a.example.com"], 1);
    let secrets = BTreeMap::from([(named("ca"), Arc::new(ours.clone()))]);
    let wrong = Some(CertificateError::NotValidForName);
    let unknown = Some(CertificateError::UnknownIssuer);
    let check = |policy: UpstreamTls, endpoint, inside, asked, expected: &Option<_>| {
        let text = format!("{policy:?} {inside:?} {asked}");
        let case = Case { policy, secrets: &secrets, endpoint, clients: None, inside, asked };
        let found = match case.run() {
            Ok(_) => None,
            Err(Error::InvalidCertificate(error)) => Some(error),
            Err(other) => panic!("{text}: {other}"),
        };
        assert_eq!(found, *expected, "{text}");
    };
    let http = Inside::Http1;
    // The name asked for, which follows the request or the policy.
    check(policy(None, &[]), &ours, http, "a.example.com", &None);
    check(policy(None, &[]), &ours, http, "c.example.com", &wrong);
    check(policy(Some("a.example.com"), &[]), &ours, http, "c.example.com", &wrong);
    // Names of the policy's own, of any kind.
    for name in ["a.example.com", "x.b.example.com", "spiffe://m/ns/x"] {
        check(policy(None, &["no", name]), &ours, http, "c.example.com", &None);
    }
    check(policy(None, &["spiffe://m/ns/y"]), &ours, http, "a.example.com", &wrong);
    // Opaque bytes ask for no name unless the policy does.
    check(policy(None, &[]), &ours, Inside::Opaque, "127.0.0.1", &None);
    check(policy(Some("c"), &[]), &ours, Inside::Opaque, "c.example.com", &wrong);
    check(policy(None, &[]), &theirs, http, "a.example.com", &unknown);
    check(policy(None, &[]), &theirs, Inside::Opaque, "127.0.0.1", &unknown);
    let anyone = UpstreamTls { trust: TrustSource::Anyone, ..policy(None, &[]) };
    check(anyone, &theirs, http, "c.example.com", &None);
}

#[test]
fn what_is_spoken_inside_is_offered() {
    let ours = Authority::new().issue(&["a.example.com"], 1);
    let secrets = BTreeMap::from([(named("ca"), Arc::new(ours.clone()))]);
    for (inside, expected) in
        [(Inside::Http1, Some("http/1.1")), (Inside::Http2, Some("h2")), (Inside::Opaque, None)]
    {
        let (endpoint, asked) = (&ours, "a.example.com");
        let policy = policy(None, &[]);
        let case = Case { policy, secrets: &secrets, endpoint, clients: None, inside, asked };
        assert_eq!(case.run().unwrap().as_deref(), expected, "{inside:?}");
    }
}

#[test]
fn mutual_shows_the_own_certificate() {
    let authority = Authority::new();
    let ours = authority.issue(&["a.example.com"], 1);
    let mine = authority.issue(&["gateway"], 2);
    let secrets =
        BTreeMap::from([(named("ca"), Arc::new(ours.clone())), (named("me"), mine.into())]);
    let with = |identity: Option<&str>| {
        let identity = identity.map(|name| CertificateSource::Secret(named(name)));
        let policy = UpstreamTls { identity, ..policy(None, &[]) };
        let (inside, asked) = (Inside::Http1, "a.example.com");
        let clients = Some(&ours);
        Case { policy, secrets: &secrets, endpoint: &ours, clients, inside, asked }.run()
    };
    assert!(with(Some("me")).is_ok());
    assert!(with(None).is_err());
}

#[test]
fn a_revoked_or_an_unlisted_certificate_is_refused() {
    let (authority, other) = (Authority::new(), Authority::new());
    let ours = authority.issue(&["a.example.com"], 7);
    for (list, expected) in [
        (authority.revoke(8), None),
        (authority.revoke(7), Some(CertificateError::Revoked)),
        (other.revoke(7), Some(CertificateError::UnknownRevocationStatus)),
    ] {
        let held = Secret { revocations: list, ..ours.clone() };
        let secrets = BTreeMap::from([(named("ca"), Arc::new(held))]);
        let (policy, inside, asked) = (policy(None, &[]), Inside::Http1, "a.example.com");
        let found =
            Case { policy, secrets: &secrets, endpoint: &ours, clients: None, inside, asked };
        let expected = expected.map(Error::InvalidCertificate);
        assert_eq!(found.run().err(), expected);
    }
}

#[test]
fn whoever_trusts_a_self_signed_authority_trusts_its_own_server() {
    let (authority, other) = (Authority::new(), Authority::new());
    let own = authority.itself();
    for (trusted, is_good) in [(&own, true), (&other.itself(), false)] {
        let secrets = BTreeMap::from([(named("ca"), Arc::new(trusted.clone()))]);
        let (policy, inside) = (policy(None, &["authority.example.com"]), Inside::Http1);
        let asked = "authority.example.com";
        let case = Case { policy, secrets: &secrets, endpoint: &own, clients: None, inside, asked };
        assert_eq!(case.run().is_ok(), is_good);
    }
}

#[test]
fn a_config_is_made_anew_only_for_another_policy_and_survives_bad_material() {
    let ours = Authority::new().issue(&["a.example.com"], 1);
    let good = BTreeMap::from([(named("ca"), Arc::new(ours))]);
    let bad = BTreeMap::from([(named("ca"), Arc::new(Secret::default()))]);
    let other = BTreeMap::from([(named("ca"), Arc::new(Authority::new().issue(&["b"], 1)))]);
    let (policy, none) = (policy(None, &[]), BTreeMap::new());
    let first = Originating::new("c", &policy, from(&good), None);
    let config = |of: &Originating| of.config(Inside::Http1);
    let begun = config(&first).unwrap();
    let step = |secrets| Originating::new("c", &policy, from(secrets), Some(&first));
    assert!(Arc::ptr_eq(&first, &step(&good)));
    assert!(Arc::ptr_eq(&config(&first).unwrap(), &begun), "nothing has changed");
    for gone in [&bad, &none] {
        assert!(Arc::ptr_eq(&first, &step(gone)));
        assert!(Arc::ptr_eq(&config(&first).unwrap(), &begun), "the last one serves on");
    }
    assert!(Arc::ptr_eq(&first, &step(&other)));
    assert!(!Arc::ptr_eq(&config(&first).unwrap(), &begun));
    let changed = UpstreamTls { sni: Some("x".into()), ..policy.clone() };
    let second = Originating::new("c", &changed, from(&none), Some(&first));
    assert!(!Arc::ptr_eq(&first, &second));
    assert!(config(&second).is_none(), "another policy inherits nothing");
    let unreadable = UpstreamTls { trust: TrustSource::Nobody, ..policy };
    assert!(config(&Originating::new("c", &unreadable, from(&good), None)).is_none());
}
