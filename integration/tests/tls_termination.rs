//! TLS that ends at the gateway, as a client of another library than the test's subject would see
//! it: `rustls` here, `curl` and `openssl` among the public tools (Istio contract 1.4, 1.7).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use fairway_integration::tcp::{gateway, service};
use fairway_integration::upstream::Upstream;
use fairway_integration::wait;
use fairway_integration::world::{Setup, World};
use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// The binary under test.
const FAIRWAY: &str = env!("CARGO_BIN_EXE_fairway-tested");
const HOSTS: &str = "[open.example, bare.example, closed.example]";

type Pair = CertifiedKey<KeyPair>;

fn pair(name: &str) -> Pair {
    generate_simple_self_signed(vec![name.to_owned()]).expect("a certificate")
}

fn secret(name: &str, pair: &Pair, authorities: &str) -> String {
    let indented = |pem: &str| pem.trim_end().replace('\n', "\n    ");
    let (chain, key) = (indented(&pair.cert.pem()), indented(&pair.signing_key.serialize_pem()));
    let authorities = match authorities {
        "" => String::new(),
        pem => format!("  ca.crt: |\n    {}\n", indented(pem)),
    };
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: istio-system}}\n\
         stringData:\n  tls.crt: |\n    {chain}\n  tls.key: |\n    {key}\n{authorities}"
    )
}

/// `open.example` for everyone, `closed.example` for who shows a certificate, and `bare.example`
/// whose Secret is not there.
async fn start(upstream: &Upstream, open: &Pair, closed: &Pair, client: &Pair) -> World {
    let server = |name: &str, mode: &str| {
        format!(
            "{{port: {{number: 443, name: {name}, protocol: HTTPS}}, hosts: [{name}.example], \
             tls: {{mode: {mode}, credentialName: {name}}}}}"
        )
    };
    let servers =
        [server("open", "SIMPLE"), server("bare", "SIMPLE"), server("closed", "MUTUAL")].join(", ");
    let routes = format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\n\
         metadata: {{name: all, namespace: shop}}\nspec:\n  hosts: {HOSTS}\n  \
         gateways: [gw]\n  http: [{{route: [{{destination: {{host: web}}}}]}}]\n"
    );
    let setup = Setup::new(FAIRWAY)
        .file("gateway.yaml", gateway("gw", &format!("[{servers}]")))
        .file("routes.yaml", routes)
        .file("service.yaml", service("web", 80, &[upstream.address()]))
        .file("open.yaml", secret("open", open, ""))
        .file("closed.yaml", secret("closed", closed, &client.cert.pem()))
        .workers(2)
        .flags("--port-map 443:0");
    World::start(setup).await
}

/// What of a server is trusted, and what is shown to it.
fn trusting(servers: &[&Pair], shown: Option<&Pair>) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    for server in servers {
        roots.add(server.cert.der().clone()).expect("an authority");
    }
    let config = ClientConfig::builder().with_root_certificates(roots);
    let config = match shown {
        None => config.with_no_client_auth(),
        Some(pair) => {
            let key = PrivateKeyDer::try_from(pair.signing_key.serialize_der()).expect("a key");
            let chain = vec![CertificateDer::from(pair.cert.der().to_vec())];
            config.with_client_auth_cert(chain, key).expect("a pair")
        }
    };
    TlsConnector::from(Arc::new(config))
}

/// Connects for `name`, asks for `host`, and returns the status.
async fn ask(address: SocketAddr, tls: &TlsConnector, name: &str, host: &str) -> io::Result<u16> {
    let stream = TcpStream::connect(address).await?;
    let server_name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
    let mut stream = tls.connect(server_name, stream).await?;
    let request = format!("GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.ok_or_else(|| io::Error::other(answer))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_server_of_a_port_demands_what_it_says_and_harms_no_other() {
    let upstream = Upstream::start("web").await;
    let (open, closed, client) = (pair("open.example"), pair("closed.example"), pair("client"));
    let mut world = start(&upstream, &open, &closed, &client).await;
    let address = world.listener(443).await;
    let (anyone, known) =
        (trusting(&[&open, &closed], None), trusting(&[&open, &closed], Some(&client)));
    let stranger = trusting(&[&open, &closed], Some(&pair("stranger")));
    for (tls, name, expected) in [
        (&anyone, "open.example", Some(200)),
        (&known, "open.example", Some(200)),
        (&known, "closed.example", Some(200)),
        (&anyone, "closed.example", None),
        (&stranger, "closed.example", None),
        (&anyone, "bare.example", None),
        (&anyone, "other.example", None),
    ] {
        let status = ask(address, tls, name, name).await.ok();
        assert_eq!(status, expected, "{name}");
    }
    assert_eq!(upstream.last().header("x-forwarded-proto"), "https");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_made_for_one_host_does_not_open_what_demands_more() {
    let upstream = Upstream::start("web").await;
    let (open, closed, client) = (pair("open.example"), pair("closed.example"), pair("client"));
    let mut world = start(&upstream, &open, &closed, &client).await;
    let address = world.listener(443).await;
    let anyone = trusting(&[&open], None);
    for (host, expected) in [("open.example", 200), ("closed.example", 421)] {
        let status = ask(address, &anyone, "open.example", host).await.expect("an answer");
        assert_eq!(status, expected, "{host}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_rotated_without_a_failed_handshake() {
    let upstream = Upstream::start("web").await;
    let (old, new) = (pair("open.example"), pair("open.example"));
    let (closed, client) = (pair("closed.example"), pair("client"));
    let mut world = start(&upstream, &old, &closed, &client).await;
    let address = world.listener(443).await;
    let (either, new_only) = (trusting(&[&old, &new], None), trusting(&[&new], None));
    for turn in 0..10 {
        let next = if turn % 2 == 0 { &new } else { &old };
        world.write("open.yaml", &secret("open", next, ""));
        for _ in 0..10 {
            let status = ask(address, &either, "open.example", "open.example").await;
            assert_eq!(status.expect("a handshake"), 200, "turn {turn}");
        }
    }
    world.write("open.yaml", &secret("open", &new, ""));
    wait::until("the new certificate", async || {
        ask(address, &new_only, "open.example", "open.example").await.ok().filter(|s| *s == 200)
    })
    .await;
}
