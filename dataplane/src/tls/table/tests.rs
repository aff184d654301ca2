use super::*;
use crate::tls::testing::{Authority, handshake};
use fairway_shared::id::{RouteTableId, SecretName};
use fairway_shared::snapshot::listener::ListenerKind;
use fairway_shared::snapshot::tls::{CertificateSource, Secret};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

type Secrets = BTreeMap<SecretName, Arc<Secret>>;

fn tls(certificate: CertificateSource) -> ServerTls {
    ServerTls {
        certificates: vec![certificate],
        client: ClientDemand::None,
        version_min: TlsVersion::V1_2,
        version_max: TlsVersion::V1_3,
        cipher_suites: Vec::new(),
    }
}

fn listener(chains: &[(&str, ServerTls)]) -> Listener {
    let chain = |(name, tls): &(&str, ServerTls)| TlsChain {
        name: (*name).to_owned(),
        server_names: vec![format!("{name}.example.com")],
        action: ChainAction::Http { tls: tls.clone(), route_table: RouteTableId((*name).into()) },
    };
    Listener {
        bind: None,
        port: 443,
        gateway_ports: vec![443],
        protocol: "HTTPS".into(),
        gateways: vec![],
        proxy_protocol: false,
        kind: ListenerKind::Tls { chains: chains.iter().map(chain).collect() },
    }
}

fn secret(name: &str) -> CertificateSource {
    CertificateSource::Secret(SecretName(name.into()))
}

fn table(
    listener: &Listener,
    secrets: &Secrets,
    previous: Option<&Arc<TlsTable>>,
) -> Arc<TlsTable> {
    let from = Materials { secrets, mesh: Path::new("/nonexistent"), fails_without_secret: false };
    TlsTable::new(listener, from, &TicketSecret::new(&[7; 32]), previous)
}

/// Serial number of the certificate that a handshake shows.
fn shown(table: &TlsTable, authority: &Authority, name: &str) -> Option<Vec<u8>> {
    let (_, chain) = table.find(Some(name))?;
    let config = chain.terminating.as_ref()?.config().ok()?;
    let client = Arc::new(authority.client(None));
    let (_, client) = handshake(&config, &client, name).ok()?;
    Some(client.peer_certificates()?.first()?.to_vec())
}

fn secrets(all: &[(&str, &Secret)]) -> Secrets {
    all.iter().map(|(name, one)| (SecretName((*name).into()), Arc::new((*one).clone()))).collect()
}

#[test]
fn a_broken_certificate_harms_only_its_own_chain() {
    let authority = Authority::new();
    let (a, b) = (authority.issue(&["a.example.com"], 1), authority.issue(&["b.example.com"], 2));
    let listener = listener(&[("a", tls(secret("a"))), ("b", tls(secret("b")))]);
    let mixed = Secret { private_key: b.private_key.clone(), ..a };
    for bad in [secrets(&[("a", &mixed), ("b", &b)]), secrets(&[("b", &b)])] {
        let table = table(&listener, &bad, None);
        assert!(shown(&table, &authority, "a.example.com").is_none());
        assert!(shown(&table, &authority, "b.example.com").is_some());
    }
}

#[test]
fn a_good_pair_stays_until_a_better_one_comes() {
    let authority = Authority::new();
    let (one, two) =
        (authority.issue(&["a.example.com"], 1), authority.issue(&["a.example.com"], 2));
    let bad = Secret { private_key: Vec::new(), ..two.clone() };
    let listener = listener(&[("a", tls(secret("a")))]);
    let shown = |table: &TlsTable| shown(table, &authority, "a.example.com");
    let first = table(&listener, &secrets(&[("a", &one)]), None);
    let second = table(&listener, &secrets(&[("a", &bad)]), Some(&first));
    assert_eq!(shown(&second), shown(&first));
    let third = table(&listener, &secrets(&[("a", &two)]), Some(&second));
    assert_ne!(shown(&third), shown(&first));
}

#[test]
fn a_secret_that_is_gone_serves_on_unless_that_is_forbidden() {
    let authority = Authority::new();
    let listener = listener(&[("a", tls(secret("a")))]);
    let first = table(&listener, &secrets(&[("a", &authority.issue(&["a.example.com"], 1))]), None);
    for (fails_without_secret, serves) in [(false, true), (true, false)] {
        let none = secrets(&[]);
        let from =
            Materials { secrets: &none, mesh: Path::new("/nonexistent"), fails_without_secret };
        let tickets = TicketSecret::new(&[7; 32]);
        let second = TlsTable::new(&listener, from, &tickets, Some(&first));
        let found = shown(&second, &authority, "a.example.com").is_some();
        assert_eq!(found, serves, "{fails_without_secret}");
    }
}

#[test]
fn what_the_gateway_demands_anew_is_never_served_on_old_terms() {
    let authority = Authority::new();
    let one = authority.issue(&["a.example.com"], 1);
    let all = secrets(&[("a", &one)]);
    let first = table(&listener(&[("a", tls(secret("a")))]), &all, None);
    let mut strict = tls(secret("a"));
    strict.client = ClientDemand::Certificate {
        is_required: true,
        trust: fairway_shared::snapshot::tls::TrustSource::Secret(SecretName("missing".into())),
        subject_alt_names: vec![],
        spki_sha256: vec![],
        certificate_sha256: vec![],
    };
    let second = table(&listener(&[("a", strict)]), &all, Some(&first));
    assert!(shown(&second, &authority, "a.example.com").is_none());
}

#[test]
fn what_has_not_changed_is_shared() {
    let authority = Authority::new();
    let (one, two) =
        (authority.issue(&["a.example.com"], 1), authority.issue(&["b.example.com"], 2));
    let listener = listener(&[("a", tls(secret("a"))), ("b", tls(secret("b")))]);
    let first = table(&listener, &secrets(&[("a", &one), ("b", &one)]), None);
    let same = table(&listener, &secrets(&[("a", &one), ("b", &one)]), Some(&first));
    assert!(Arc::ptr_eq(&first, &same));
    let next = table(&listener, &secrets(&[("a", &one), ("b", &two)]), Some(&first));
    let terminating = |table: &TlsTable, name| {
        Arc::clone(table.named(name).unwrap().terminating.as_ref().unwrap())
    };
    assert!(Arc::ptr_eq(&terminating(&first, "a"), &terminating(&next, "a")));
    assert!(!Arc::ptr_eq(&terminating(&first, "b"), &terminating(&next, "b")));
}

#[test]
fn files_are_read_anew_and_a_bad_one_changes_nothing() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let (chain, key) = (folder.path().join("tls.crt"), folder.path().join("tls.key"));
    let write = |held: &Secret| {
        fs::write(&chain, &held.certificate_chain).unwrap();
        fs::write(&key, &held.private_key).unwrap();
    };
    write(&authority.issue(&["a.example.com"], 1));
    let files = CertificateSource::Files {
        certificate: chain.display().to_string(),
        private_key: key.display().to_string(),
    };
    let none = Secrets::new();
    let table = table(&listener(&[("a", tls(files))]), &none, None);
    let shown = || shown(&table, &authority, "a.example.com").unwrap();
    let refresh = || {
        let from = Materials {
            secrets: &none,
            mesh: Path::new("/nonexistent"),
            fails_without_secret: false,
        };
        table.refresh(from, &TicketSecret::new(&[7; 32])).into_iter().next().map(|(_, bad)| bad)
    };
    assert!(table.has_files());
    assert_eq!(refresh(), None);
    let first = shown();
    write(&authority.issue(&["a.example.com"], 2));
    assert_eq!(refresh(), Some(None));
    let second = shown();
    assert_ne!(first, second);
    fs::remove_file(&key).unwrap();
    assert!(matches!(refresh(), Some(Some(MaterialError::File { .. }))));
    assert_eq!(shown(), second);
}
