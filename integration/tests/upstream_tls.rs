//! TLS to endpoints as DestinationRules ask for it: whom the gateway believes, what it says of
//! itself, and that it never falls back to plaintext (Istio contract 3.6).

use std::fs;
use std::net::SocketAddr;

use fairway_integration::certificates::{Authority, Pair, secret};
use fairway_integration::client::{Http1, get_once, request};
use fairway_integration::mesh::{Mesh, Serving};
use fairway_integration::tcp::{Script, TcpBackend, service, tcp_port};
use fairway_integration::tls_front::{Greeting, TlsFront};
use fairway_integration::upstream::Upstream;
use fairway_integration::wait;
use fairway_integration::world::{Setup, World};
use http::Version;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The binary under test.
const FAIRWAY: &str = env!("CARGO_BIN_EXE_fairway-tested");

fn rule(service: &str, policy: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\n\
         metadata: {{name: {service}, namespace: shop}}\n\
         spec: {{host: {service}, trafficPolicy: {{{policy}}}}}\n"
    )
}

/// A Service under a policy, and the host `<service>.test` that leads to it.
fn add(mesh: Mesh, service: &str, port_name: &str, at: SocketAddr, policy: &str) -> Mesh {
    mesh.service(service, port_name, &[at]).object(&rule(service, policy)).host_to(
        &format!("{service}.test"),
        service,
        "retries: {attempts: 0}",
    )
}

/// The instance, and where it logs requests as `host flags reason`.
async fn start(mesh: &Mesh, objects: &str) -> (Serving, TempDir) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let log = dir.path().join("access.log");
    let format = "\"%REQ(:AUTHORITY)%|%RESPONSE_FLAGS%|%UPSTREAM_TRANSPORT_FAILURE_REASON%\\n\"";
    let mesh_config = format!("accessLogFile: /dev/stdout\naccessLogFormat: {format}\n");
    fs::write(dir.path().join("mesh-config.yaml"), mesh_config).expect("a file of its own");
    let setup = Setup::new(FAIRWAY)
        .file("mesh.yaml", mesh.yaml())
        .file("objects.yaml", objects)
        .workers(1)
        .flags(&format!(
            "--access-log {} --mesh-config {}",
            log.display(),
            dir.path().join("mesh-config.yaml").display()
        ));
    let mut world = World::start(setup).await;
    let address = world.listener(80).await;
    (Serving { world, address }, dir)
}

/// Flags and reason in the log line of the last request for the host.
async fn logged(dir: &TempDir, host: &str) -> (String, String) {
    wait::until("a line of the access log", async || {
        let log = fs::read_to_string(dir.path().join("access.log")).unwrap_or_default();
        let line = log.lines().rfind(|line| line.starts_with(host))?.to_owned();
        let mut parts = line.splitn(3, '|').skip(1).map(str::to_owned);
        Some((parts.next()?, parts.next()?))
    })
    .await
}

async fn status(serving: &Serving, host: &str) -> u16 {
    get_once(serving.address, host, "/").await.status.as_u16()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_is_called_as_its_rule_says_or_not_at_all() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let web = Upstream::start("web").await;
    let backend = web.address();
    let pair = ours.issue(&["named.test", "good.example", "spiffe://m/x"], 1);
    let named = TlsFront::start(backend, &pair, None).await;
    let foreign = TlsFront::start(backend, &theirs.issue(&["good.example"], 2), None).await;
    let mutual = TlsFront::start(backend, &pair, Some(&ours)).await;
    let simple = |more: &str| format!("tls: {{mode: SIMPLE, credentialName: ca{more}}}");
    let sni = simple(", sni: good.example");
    let by_names = |name: &str| simple(&format!(", subjectAltNames: [{name}]"));
    let at = named.address();
    let shown = "tls: {mode: MUTUAL, credentialName: own, sni: good.example}";
    // Host, port name, endpoint, policy, and what a failure is called.
    let cases = [
        ("named", "http", at, simple(""), None),
        ("other", "http", at, simple(""), Some("verify SAN list")),
        ("sni", "http", at, sni.clone(), None),
        ("h2", "http2", at, sni.clone(), None),
        ("uri", "http", at, by_names("\"spiffe://m/x\""), None),
        ("wrong-uri", "http", at, by_names("\"spiffe://m/y\""), Some("verify SAN list")),
        ("foreign", "http", foreign.address(), sni.clone(), Some("issuer is not trusted")),
        ("mutual", "http", mutual.address(), shown.into(), None),
        ("mutual-h2", "http2", mutual.address(), shown.into(), None),
        ("unshown", "http", mutual.address(), sni.clone(), Some(ALERT)),
        ("unshown-h2", "http2", mutual.address(), sni.clone(), Some(ALERT)),
        ("no-tls", "http", backend, sni, Some("does not speak TLS")),
        ("skip", "http", foreign.address(), SKIP.into(), None),
        ("system", "http", at, "tls: {mode: SIMPLE, sni: good.example}".into(), Some("TLS_error")),
        ("no-secret", "http", at, simple("-gone"), Some("no usable certificate")),
        ("broken", "http", backend, "tls: {mode: FAST}".into(), Some("no usable certificate")),
        ("salvaged", "http", at, format!("{SKIP}, outlierDetection: {{interval: 0s}}"), None),
        ("off", "http", backend, "tls: {mode: DISABLE}".into(), None),
    ];
    let mesh = cases.iter().fold(Mesh::default(), |mesh, (host, port, at, policy, _)| {
        add(mesh, host, port, *at, policy)
    });
    let secrets = secret("ca", [("ca.crt", ours.pem.as_str())])
        + &ours.issue(&["gateway"], 9).secret_with("own", &[("ca.crt", &ours.pem)]);
    let (serving, dir) = start(&mesh, &secrets).await;
    for (host, _, _, _, failure) in &cases {
        let host = format!("{host}.test");
        let reply = get_once(serving.address, &host, "/").await;
        let body = String::from_utf8_lossy(&reply.body).into_owned();
        let (flags, reason) = logged(&dir, &host).await;
        match failure {
            None => {
                assert_eq!((reply.status.as_u16(), reason.as_str()), (200, "-"), "{host}: {body}")
            }
            // An endpoint of TLS 1.3 judges the gateway when the handshake is over for it: what it
            // says may be lost when it closes, and the request with it.
            Some(ALERT) => assert!(
                reply.status == 503 && ["UF", "UC"].contains(&flags.as_str()),
                "{host}: {flags} {body}"
            ),
            Some(failure) => {
                assert_eq!((reply.status.as_u16(), flags.as_str()), (503, "UF"), "{host}: {body}");
                assert!(reason.starts_with("TLS_error: ") && reason.contains(failure), "{reason}");
                let expected =
                    "reset reason: remote connection failure, transport failure reason: ";
                assert!(body.contains(expected) && body.ends_with(&reason), "{host}: {body}");
            }
        }
    }
    let greetings = named.greetings();
    for (name, alpn) in
        [("named.test", "http/1.1"), ("good.example", "http/1.1"), ("good.example", "h2")]
    {
        let expected = Greeting { name: name.into(), alpn: alpn.into(), shows: false };
        assert!(greetings.contains(&expected), "{expected:?} in {greetings:?}");
    }
    assert!(mutual.greetings().iter().filter(|one| one.shows).count() >= 2);
    assert!(web.take_records().iter().any(|got| got.version == Version::HTTP_2));
}

/// A failure that only the endpoint knows of.
const ALERT: &str = "alert of the endpoint";
const SKIP: &str = "tls: {mode: SIMPLE, insecureSkipVerify: true}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_shared_by_requests_for_one_name_only() {
    let ours = Authority::new("ours");
    let web = Upstream::start("web").await;
    let pair = ours.issue(&["a.test", "b.test"], 1);
    let front = TlsFront::start(web.address(), &pair, None).await;
    for port_name in ["http", "http2"] {
        let policy = "tls: {mode: SIMPLE, credentialName: ca}";
        let mesh = Mesh::default()
            .service("web", port_name, &[front.address()])
            .object(&rule("web", policy))
            .host_to("a.test", "web", "")
            .host_to("b.test", "web", "");
        let before = front.greetings().len();
        let (serving, _dir) = start(&mesh, &secret("ca", [("ca.crt", ours.pem.as_str())])).await;
        let mut client = Http1::connect(serving.address).await;
        for host in ["a.test", "b.test", "a.test", "b.test:80", "a.test:80"] {
            client.send(request(host, "GET /")).await.expect_status(200);
        }
        let names: Vec<_> =
            front.greetings()[before..].iter().map(|one| one.name.clone()).collect();
        assert_eq!(names, ["a.test", "b.test"], "{port_name}: one connection for each name");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_changes_leaves_no_connection_of_the_old_one_in_use() {
    let ours = Authority::new("ours");
    let web = Upstream::start("web").await;
    let mesh = add(Mesh::default(), "web", "http", web.address(), "tls: {mode: DISABLE}");
    let (serving, _dir) = start(&mesh, &secret("ca", [("ca.crt", ours.pem.as_str())])).await;
    assert_eq!(status(&serving, "web.test").await, 200);
    // The endpoint speaks no TLS: a request that is served went over the old connection.
    let changed = mesh.yaml().replace("tls: {mode: DISABLE}", SKIP);
    serving.world.write("mesh.yaml", &changed);
    wait::until("no more plaintext", async || {
        (status(&serving, "web.test").await == 503).then_some(())
    })
    .await;
    for _ in 0..10 {
        assert_eq!(status(&serving, "web.test").await, 503);
    }
    serving.world.write("mesh.yaml", mesh.yaml());
    wait::until("plaintext again", async || {
        (status(&serving, "web.test").await == 200).then_some(())
    })
    .await;
}

fn write_pair(dir: &TempDir, pair: &Pair, authorities: &str) {
    for (name, text) in [
        ("cert-chain.pem", pair.certificate.as_str()),
        ("key.pem", pair.private_key.as_str()),
        ("root-cert.pem", authorities),
    ] {
        fs::write(dir.path().join(name), text).expect("a file of its own");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_and_the_own_identity_are_read_anew_when_they_change() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let web = Upstream::start("web").await;
    let pair = ours.issue(&["spiffe://cluster.local/ns/shop/sa/web"], 1);
    let front = TlsFront::start(web.address(), &pair, Some(&ours)).await;
    let identity = tempfile::tempdir().expect("a temporary directory");
    let at = identity.path().display();
    let by_files = format!(
        "tls: {{mode: MUTUAL, clientCertificate: {at}/cert-chain.pem, privateKey: {at}/key.pem, \
         caCertificates: {at}/root-cert.pem, \
         subjectAltNames: [\"spiffe://cluster.local/ns/shop/sa/web\"]}}"
    );
    let mesh = add(Mesh::default(), "mesh", "http", front.address(), "tls: {mode: ISTIO_MUTUAL}");
    let mesh = add(mesh, "files", "http", front.address(), &by_files);
    write_pair(&identity, &ours.issue(&["gateway"], 2), &theirs.pem);
    let setup = Setup::new(FAIRWAY)
        .file("mesh.yaml", mesh.yaml())
        .workers(1)
        .flags(&format!("--identity-dir {at}"));
    let mut world = World::start(setup).await;
    let address = world.listener(80).await;
    let serving = Serving { world, address };
    for host in ["mesh.test", "files.test"] {
        assert_eq!(status(&serving, host).await, 503, "{host}: an endpoint of another authority");
    }
    write_pair(&identity, &ours.issue(&["gateway"], 3), &ours.pem);
    for host in ["mesh.test", "files.test"] {
        wait::until("the new authority is believed", async || {
            (status(&serving, host).await == 200).then_some(())
        })
        .await;
    }
    let names: Vec<_> = front.greetings().iter().map(|one| one.name.clone()).collect();
    assert!(names.contains(&"outbound_.80_._.mesh.shop.svc.cluster.local".into()), "{names:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opaque_bytes_are_secured_too() {
    let ours = Authority::new("ours");
    let backend = TcpBackend::start(Script::Echo("db")).await;
    let front = TlsFront::start(backend.address(), &ours.issue(&["db.example"], 1), None).await;
    for (names, expected) in [("db.example", "db"), ("other.example", "")] {
        let policy = format!(
            "tls: {{mode: SIMPLE, credentialName: ca, sni: db.example, subjectAltNames: [{names}]}}"
        );
        let objects = service("db", 5432, &[front.address()])
            + &tcp_port(31400, "[{destination: {host: db}}]")
            + "---\n"
            + &rule("db", &policy)
            + &secret("ca", [("ca.crt", ours.pem.as_str())]);
        let setup =
            Setup::new(FAIRWAY).file("tcp.yaml", objects).workers(1).flags("--port-map 31400:0");
        let mut world = World::start(setup).await;
        let address = world.listener(31400).await;
        let mut client = TcpStream::connect(address).await.expect("the gateway accepts");
        let mut heard = vec![0; expected.len().max(1)];
        let read = client.read(&mut heard).await.unwrap_or(0);
        assert_eq!(String::from_utf8_lossy(&heard[..read]), expected, "{names}");
    }
    assert_eq!(front.greetings()[0].name, "db.example");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_may_end_with_the_connection_however_that_closes() {
    let ours = Authority::new("ours");
    // Says this to whoever connects, and closes when it has heard all.
    let text = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nwhole";
    let old = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let backend = old.local_addr().expect("a bound socket has an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = old.accept().await {
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(text.as_bytes()).await;
        }
    });
    let pair = ours.issue(&["old.test"], 1);
    let front = TlsFront::start(backend, &pair, None).await;
    let policy = "tls: {mode: SIMPLE, credentialName: ca}";
    let mesh = add(Mesh::default(), "old", "http", front.address(), policy);
    let (serving, _dir) = start(&mesh, &secret("ca", [("ca.crt", ours.pem.as_str())])).await;
    let reply = get_once(serving.address, "old.test", "/").await.expect_status(200);
    assert_eq!(&reply.body[..], b"whole");
}
