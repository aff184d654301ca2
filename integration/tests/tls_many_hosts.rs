//! A thousand tenants on one TLS port, each with a Gateway, a Secret and routes of its own.

use std::fmt::Write;
use std::sync::Arc;

use fairway_integration::certificates::Authority;
use fairway_integration::tcp::{gateway, service};
use fairway_integration::tls::TlsSetup;
use fairway_integration::upstream::Upstream;
use fairway_integration::wait;
use fairway_integration::world::{Setup, World};
use tokio::task::JoinSet;

/// The binary under test.
const FAIRWAY: &str = env!("CARGO_BIN_EXE_fairway-tested");
const HOSTS: usize = 1_000;
/// Clients at once.
const CLIENTS: usize = 8;

fn host(number: usize) -> String {
    format!("t{number}.shop.example")
}

/// Gateway and VirtualService of one tenant; the answer's header says whose route it was.
fn tenant(number: usize) -> String {
    let (name, host) = (format!("t{number}"), host(number));
    let server = format!(
        "[{{port: {{number: 443, name: https, protocol: HTTPS}}, hosts: [{host}], \
         tls: {{mode: SIMPLE, credentialName: {name}}}}}]"
    );
    let mut text = gateway(&name, &server);
    write!(
        text,
        "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\n\
         metadata: {{name: {name}, namespace: shop}}\n\
         spec: {{hosts: [{host}], gateways: [{name}], http: [{{route: [{{destination: \
         {{host: web}}}}], headers: {{response: {{set: {{x-tenant: {name}}}}}}}}}]}}\n"
    )
    .expect("a string grows");
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_a_thousand_hosts_shows_its_own_certificate_and_has_its_own_routes() {
    let upstream = Upstream::start("web").await;
    let authority = Arc::new(Authority::new("servers"));
    let tenants: String = (0..HOSTS).map(tenant).collect();
    let secrets: String = (0..HOSTS)
        .map(|number| {
            let pair = authority.issue(&[&host(number)], number as u64 + 1);
            pair.secret(&format!("t{number}"))
        })
        .collect();
    let setup = Setup::new(FAIRWAY)
        .file("tenants.yaml", tenants)
        .file("secrets.yaml", secrets)
        .file("service.yaml", service("web", 80, &[upstream.address()]))
        .workers(2)
        .flags("--port-map 443:0");
    let mut world = World::start(setup).await;
    let address = world.listener(443).await;
    let client = TlsSetup::trusting(&[&authority]).client();
    let mut clients = JoinSet::new();
    for first in 0..CLIENTS {
        let client = client.clone();
        clients.spawn(async move {
            for number in (first..HOSTS).step_by(CLIENTS) {
                let host = host(number);
                // The client checks that the certificate is for the name, and each is for one.
                let answer = client.ask(address, &host, &host).await;
                let text = answer.unwrap_or_else(|error| panic!("{host}: {error}")).text;
                let whose = format!("x-tenant: t{number}\r\n");
                assert!(text.starts_with("HTTP/1.1 200") && text.contains(&whose), "{text}");
            }
        });
    }
    while let Some(ended) = clients.join_next().await {
        ended.expect("every host answers");
    }
    // One more comes, while the others are there.
    let pair = authority.issue(&[&host(HOSTS)], HOSTS as u64 + 1);
    world.write("more.yaml", &(tenant(HOSTS) + &pair.secret(&format!("t{HOSTS}"))));
    wait::until("one host more", async || {
        let host = host(HOSTS);
        client.ask(address, &host, &host).await.ok().filter(|answer| answer.status == 200)
    })
    .await;
}
