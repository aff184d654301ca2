//! Every way in which TLS ends at a Gateway server: who is let in, and what is negotiated
//! (Istio contract 1.7). One port carries them all, each server under a name of its own.

use std::fs;

use fairway_integration::certificates::{Authority, Pair, secret};
use fairway_integration::client::{Http2, get_once};
use fairway_integration::tcp::{Script, TcpBackend, gateway, service, virtual_service};
use fairway_integration::tls::{TlsClient, TlsSetup, session};
use fairway_integration::upstream::Upstream;
use fairway_integration::world::{Setup, World};
use http::Request;
use http_body_util::Full;
use rustls::version::{TLS12, TLS13};
use rustls::{CipherSuite, ProtocolVersion, SupportedProtocolVersion};
use tempfile::TempDir;
use tokio::io::AsyncReadExt;

/// The binary under test.
const FAIRWAY: &str = env!("CARGO_BIN_EXE_fairway-tested");

/// Who signs whom, and who there is.
struct People {
    servers: Authority,
    clients: Authority,
    alice: Pair,
    bob: Pair,
    /// Revoked where there is a list.
    mallory: Pair,
    /// Signed by somebody else.
    stranger: Pair,
}

impl People {
    fn new() -> Self {
        let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
        let alice = clients.issue(&["alice.example"], 1);
        let bob = clients.issue(&["bob.example", "spiffe://mesh/ns/shop/sa/bob"], 2);
        let mallory = clients.issue(&["mallory.example"], 3);
        let stranger = Authority::new("nobody").issue(&["alice.example"], 1);
        Self { servers, clients, alice, bob, mallory, stranger }
    }

    fn revoked(&self) -> String {
        self.clients.revoke(3)
    }

    fn named(&self, name: &str) -> Option<&Pair> {
        Some(match name {
            "alice" => &self.alice,
            "bob" => &self.bob,
            "mallory" => &self.mallory,
            "stranger" => &self.stranger,
            _ => return None,
        })
    }

    fn client(&self, name: &str, versions: &[&'static SupportedProtocolVersion]) -> TlsClient {
        let trusts = [&self.servers];
        TlsSetup { shows: self.named(name), versions, ..TlsSetup::trusting(&trusts) }.client()
    }
}

/// Servers as `name: tls block`; the name of the Secret and of the host is the server's.
fn servers(people: &People, files: &str) -> Vec<(&'static str, String)> {
    let by = |mode: &str, name: &str, more: &str| {
        format!("{{mode: {mode}, credentialName: {name}{more}}}")
    };
    let (hash, spki) = (&people.alice.hash, &people.alice.spki_hash);
    vec![
        ("simple", by("SIMPLE", "simple", "")),
        ("twin", by("SIMPLE", "simple", "")),
        ("mutual", by("MUTUAL", "mutual", "")),
        ("apart", by("MUTUAL", "apart", "")),
        ("optional", by("OPTIONAL_MUTUAL", "mutual", "")),
        (
            "files",
            format!(
                "{{mode: MUTUAL, serverCertificate: {files}/tls.crt, privateKey: {files}/tls.key, \
                 caCertificates: {files}/ca.crt, caCrl: {files}/ca.crl}}"
            ),
        ),
        (
            "names",
            by(
                "MUTUAL",
                "mutual",
                ", subjectAltNames: [alice.example, spiffe://mesh/ns/shop/sa/bob]",
            ),
        ),
        ("pinned", by("MUTUAL", "mutual", &format!(", verifyCertificateHash: [{hash}]"))),
        ("keyed", by("MUTUAL", "mutual", &format!(", verifyCertificateSpki: [\"{spki}\"]"))),
        ("listed", by("MUTUAL", "listed", "")),
        ("gullible", by("MUTUAL", "mutual", ", insecureSkipVerify: true")),
        ("mesh", "{mode: ISTIO_MUTUAL}".to_owned()),
        (
            "old",
            by(
                "SIMPLE",
                "simple",
                ", maxProtocolVersion: TLSV1_2, cipherSuites: [ECDHE-ECDSA-CHACHA20-POLY1305]",
            ),
        ),
        ("new", by("SIMPLE", "simple", ", minProtocolVersion: TLSV1_3")),
    ]
}

/// A running gateway, with the directory that its files lie in.
struct Doors {
    world: World,
    address: std::net::SocketAddr,
    people: People,
    _files: TempDir,
}

async fn start(upstream: &Upstream) -> Doors {
    let people = People::new();
    let all = people.servers.issue(&["*.shop.example"], 10);
    let files = tempfile::tempdir().expect("a temporary directory");
    let ca = people.clients.pem.as_str();
    let mesh = people.servers.issue(&["mesh.shop.example"], 11);
    for (name, text) in [
        ("tls.crt", all.certificate.as_str()),
        ("tls.key", &all.private_key),
        ("ca.crt", ca),
        ("ca.crl", &people.revoked()),
        ("cert-chain.pem", &mesh.certificate),
        ("key.pem", &mesh.private_key),
        ("root-cert.pem", ca),
    ] {
        fs::write(files.path().join(name), text).expect("a directory of its own");
    }
    let at = files.path().display().to_string();
    let blocks: Vec<String> = servers(&people, &at)
        .iter()
        .map(|(name, tls)| {
            format!(
                "{{port: {{number: 443, name: {name}, protocol: HTTPS}}, \
                 hosts: [{name}.shop.example], tls: {tls}}}"
            )
        })
        .collect();
    let secrets = [
        all.secret("simple"),
        all.secret_with("mutual", &[("ca.crt", ca)]),
        all.secret("apart"),
        secret("apart-cacert", [("cacert", ca)]),
        all.secret_with("listed", &[("ca.crt", ca), ("ca.crl", &people.revoked())]),
    ];
    let setup = Setup::new(FAIRWAY)
        .file("gateway.yaml", gateway("gw", &format!("[{}]", blocks.join(", "))))
        .file(
            "routes.yaml",
            virtual_service("all", "gw", "http: [{route: [{destination: {host: web}}]}]"),
        )
        .file("service.yaml", service("web", 80, &[upstream.address()]))
        .file("secrets.yaml", secrets.concat())
        .workers(1)
        .flags(&format!("--port-map 443:0 --identity-dir {at}"));
    let mut world = World::start(setup).await;
    let address = world.listener(443).await;
    Doors { world, address, people, _files: files }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_mode_lets_in_whom_it_should() {
    let upstream = Upstream::start("web").await;
    let doors = start(&upstream).await;
    let everyone = ["nobody", "alice", "bob", "mallory", "stranger"];
    for (server, welcome) in [
        ("simple", "nobody alice bob mallory stranger"),
        ("mutual", "alice bob mallory"),
        ("apart", "alice bob mallory"),
        ("optional", "nobody alice bob mallory"),
        ("files", "alice bob"),
        ("names", "alice bob"),
        ("pinned", "alice"),
        ("keyed", "alice"),
        ("listed", "alice bob"),
        ("gullible", "alice bob mallory stranger"),
        ("mesh", "alice bob mallory"),
    ] {
        for (person, version) in everyone.iter().flat_map(|one| [(one, &TLS12), (one, &TLS13)]) {
            let client = doors.people.client(person, &[version]);
            let host = format!("{server}.shop.example");
            let answer = client.ask(doors.address, &host, &host).await;
            let found = answer.as_ref().map(|answer| answer.status).ok();
            let expected = welcome.split(' ').any(|name| name == *person).then_some(200);
            assert_eq!(found, expected, "{person} at {server}, {version:?}: {answer:?}");
        }
    }
    assert_eq!(upstream.last().header("x-forwarded-proto"), "https");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_and_suites_are_those_that_the_server_names() {
    let upstream = Upstream::start("web").await;
    let doors = start(&upstream).await;
    let (chacha, aes) = (
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    );
    let both: &[&SupportedProtocolVersion] = &[&TLS12, &TLS13];
    for (host, versions, suites, expected) in [
        ("simple", both, &[][..], Some((ProtocolVersion::TLSv1_3, None))),
        ("simple", &[&TLS12], &[aes], Some((ProtocolVersion::TLSv1_2, Some(aes)))),
        ("old", both, &[], Some((ProtocolVersion::TLSv1_2, Some(chacha)))),
        ("old", &[&TLS12], &[aes], None),
        ("old", &[&TLS13], &[], None),
        ("new", both, &[], Some((ProtocolVersion::TLSv1_3, None))),
        ("new", &[&TLS12], &[], None),
    ] {
        let trusts = [&doors.people.servers];
        let client = TlsSetup { versions, suites, ..TlsSetup::trusting(&trusts) }.client();
        let host = format!("{host}.shop.example");
        let answer = client.ask(doors.address, &host, &host).await;
        let found = answer.ok().map(|answer| {
            let suite = answer.session.suite;
            (answer.session.version, Some(suite).filter(|suite| [chacha, aes].contains(suite)))
        });
        assert_eq!(found, expected, "{host} {versions:?} {suites:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_protocol_is_negotiated_and_none_in_common_is_no_refusal() {
    let upstream = Upstream::start("web").await;
    let doors = start(&upstream).await;
    for (alpn, expected) in [
        (&["h2", "http/1.1"][..], "h2"),
        (&["http/1.1", "h2"], "h2"),
        (&["http/1.1"], "http/1.1"),
        (&["acme/1"], ""),
        (&[], ""),
    ] {
        let trusts = [&doors.people.servers];
        let client = TlsSetup { alpn, ..TlsSetup::trusting(&trusts) }.client();
        let stream =
            client.connect(doors.address, "simple.shop.example").await.expect("a handshake");
        assert_eq!(session(&stream).expect("it is done").alpn, expected, "{alpn:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_http2_connection_opens_other_hosts_of_the_same_demands_only() {
    let upstream = Upstream::start("web").await;
    let doors = start(&upstream).await;
    let trusts = [&doors.people.servers];
    let client = TlsSetup { alpn: &["h2"], ..TlsSetup::trusting(&trusts) }.client();
    let stream = client.connect(doors.address, "simple.shop.example").await.expect("a handshake");
    let mut connection = Http2::over(stream).await;
    for (host, expected) in [
        ("simple.shop.example", 200),
        ("twin.shop.example", 200),
        ("mutual.shop.example", 421),
        ("optional.shop.example", 421),
        ("mesh.shop.example", 421),
        ("new.shop.example", 421),
        ("unknown.shop.example", 404),
    ] {
        let request =
            Request::get(format!("https://{host}/")).body(Full::<bytes::Bytes>::default());
        let reply = connection.send(request.expect("a request")).await;
        assert_eq!(reply.status.as_u16(), expected, "{host}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_names_no_server_or_an_unknown_one_is_refused_unless_a_server_takes_all() {
    let upstream = Upstream::start("web").await;
    let doors = start(&upstream).await;
    let client = doors.people.client("nobody", &[]);
    for name in ["unknown.shop.example", "shop.example", "x.simple.shop.example", "127.0.0.1"] {
        let refused = client.connect(doors.address, name).await.expect_err(name).to_string();
        assert!(refused.contains("UnrecognisedName"), "{name}: {refused}");
    }
    let all = doors.people.servers.issue(&["*.shop.example"], 12);
    let server = "[{port: {number: 443, name: rest, protocol: HTTPS}, hosts: [\"*\"], \
                  tls: {mode: SIMPLE, credentialName: rest}}]";
    doors.world.write("rest.yaml", &(gateway("rest", server) + &all.secret("rest")));
    let trusts = [&doors.people.servers];
    let trusting = TlsSetup::trusting(&trusts).client();
    fairway_integration::wait::until("a server for all names", async || {
        let answer = trusting
            .ask(doors.address, "unknown.shop.example", "unknown.shop.example")
            .await
            .ok()?;
        // No VirtualService is bound to it.
        (answer.status == 404).then_some(())
    })
    .await;
    let still = trusting.ask(doors.address, "simple.shop.example", "simple.shop.example").await;
    assert_eq!(still.expect("the more specific server").status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_inside_tls_go_where_tcp_routes_say() {
    let backend = TcpBackend::start(Script::Echo("b")).await;
    let people = People::new();
    let pair = people.servers.issue(&["bytes.example"], 10);
    let server = "[{port: {number: 31400, name: tls, protocol: TLS}, hosts: [bytes.example], \
                  tls: {mode: MUTUAL, credentialName: bytes}}]";
    let route = "tcp: [{route: [{destination: {host: db}}]}]";
    let objects = gateway("gw", server)
        + &virtual_service("db", "gw", route)
        + &service("db", 5432, &[backend.address()])
        + &pair.secret_with("bytes", &[("ca.crt", &people.clients.pem)]);
    let setup =
        Setup::new(FAIRWAY).file("all.yaml", objects).workers(1).flags("--port-map 31400:0");
    let mut world = World::start(setup).await;
    let address = world.listener(31400).await;
    for (person, expected) in [("alice", Some(b'b')), ("nobody", None), ("stranger", None)] {
        let client = people.client(person, &[]);
        let heard = async {
            let mut stream = client.connect(address, "bytes.example").await.ok()?;
            stream.read_u8().await.ok()
        };
        assert_eq!(heard.await, expected, "{person}");
    }
    assert_eq!(backend.accepted(), 1, "nobody else got through");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plaintext_server_may_send_everyone_to_https() {
    let upstream = Upstream::start("web").await;
    let server = "[{port: {number: 80, name: http, protocol: HTTP}, hosts: [\"*.example\"], \
                  tls: {httpsRedirect: true}}]";
    let objects = gateway("gw", server)
        + &virtual_service("all", "gw", "http: [{route: [{destination: {host: web}}]}]")
        + &service("web", 80, &[upstream.address()]);
    let mut world = World::start(Setup::new(FAIRWAY).file("all.yaml", objects).workers(1)).await;
    let address = world.listener(80).await;
    for (host, path, location) in [
        ("shop.example", "/cart?item=1", "https://shop.example/cart?item=1"),
        ("Shop.example:80", "/", "https://Shop.example:80/"),
    ] {
        let reply = get_once(address, host, path).await.expect_status(301);
        assert_eq!(reply.header("location"), location);
    }
    get_once(address, "other.test", "/").await.expect_status(404);
    assert_eq!(upstream.total(), 0);
}
