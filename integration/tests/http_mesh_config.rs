//! MeshConfig as requests feel it: trusted proxies (Istio contract 6.6), the scheme that decides
//! `httpsRedirect` (1.8), path normalisation (6.7), and a change of it under way.

use fairway_integration::mesh::{Mesh, Serving};
use fairway_integration::upstream::Upstream;

/// The binary under test.
const FAIRWAY: &str = env!("CARGO_BIN_EXE_fairway-tested");

/// One upstream behind `u.test`, and `safe.test` that sends everyone to https.
async fn serving(upstream: &Upstream, mesh_config: &str) -> Serving {
    let indented = mesh_config.replace('\n', "\n    ");
    Mesh::default()
        .service("u", "http", &[upstream.address()])
        .host_to("*", "u", "")
        .object(
            "apiVersion: networking.istio.io/v1\nkind: Gateway\n\
             metadata: {name: safe, namespace: shop}\nspec:\n  servers:\n  \
             - {port: {number: 80, name: http, protocol: HTTP}, hosts: [safe.test], \
             tls: {httpsRedirect: true}}\n",
        )
        .object(&format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio, namespace: istio-system}}\n\
             data:\n  mesh: |-\n    {indented}\n"
        ))
        .start(FAIRWAY)
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trusted_proxies_tell_who_the_client_is_and_how_it_came() {
    let upstream = Upstream::start("u").await;
    let config = "defaultConfig: {gatewayTopology: {numTrustedProxies: 2}}";
    let serving = serving(&upstream, config).await;
    for (fields, client, scheme) in [
        ("x-forwarded-for: 1.1.1.1, 2.2.2.2, 3.3.3.3", "2.2.2.2", "http"),
        ("x-forwarded-for: 3.3.3.3", "127.0.0.1", "http"),
        ("x-forwarded-for: 1.1.1.1,2.2.2.2 | x-forwarded-proto: https", "1.1.1.1", "https"),
        ("x-envoy-external-address: 9.9.9.9", "127.0.0.1", "http"),
    ] {
        serving.ask("u.test", &format!("GET / | {fields}")).await.expect_status(200);
        let received = upstream.last();
        assert_eq!(received.header("x-envoy-external-address"), client, "{fields}");
        assert_eq!(received.header("x-forwarded-proto"), scheme, "{fields}");
        assert!(received.header("x-forwarded-for").ends_with("127.0.0.1"), "{fields}");
    }
    let told = "GET /a?b | x-forwarded-for: 1.1.1.1 | x-forwarded-proto";
    let reply = serving.ask("safe.test", &format!("{told}: http")).await.expect_status(301);
    assert_eq!(reply.header("location"), "https://safe.test/a?b");
    // Not sent away; that its virtual host has no routes is another matter.
    serving.ask("safe.test", &format!("{told}: https")).await.expect_status(404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_trusted_proxies_a_told_scheme_does_not_avoid_the_redirect() {
    let upstream = Upstream::start("u").await;
    let serving = serving(&upstream, "{}").await;
    let told = "GET / | x-forwarded-for: 1.1.1.1 | x-forwarded-proto: https";
    serving.ask("safe.test", told).await.expect_status(301);
    serving.ask("u.test", told).await.expect_status(200);
    assert_eq!(upstream.last().header("x-forwarded-proto"), "http");
    assert_eq!(upstream.last().header("x-envoy-external-address"), "127.0.0.1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paths_are_forwarded_as_the_mesh_wants_them_normalised() {
    let asked = ["/a//b", "/a%2Fb%5cc", "/x/./y/../z", "/%2561"];
    for (mode, expected) in [
        ("NONE", ["/a//b", "/a%2Fb%5cc", "/x/./y/../z", "/%2561"]),
        ("BASE", ["/a//b", "/a%2Fb%5cc", "/x/z", "/%2561"]),
        ("MERGE_SLASHES", ["/a/b", "/a%2Fb%5cc", "/x/z", "/%2561"]),
        ("DECODE_AND_MERGE_SLASHES", ["/a/b", "/a/b/c", "/x/z", "/%2561"]),
    ] {
        let upstream = Upstream::start("u").await;
        let config = format!("pathNormalization: {{normalization: {mode}}}");
        let serving = serving(&upstream, &config).await;
        for (asked, expected) in asked.iter().zip(expected) {
            serving.ask("u.test", &format!("GET {asked}?q=//")).await.expect_status(200);
            assert_eq!(upstream.last().path, format!("{expected}?q=//"), "{mode} {asked}");
        }
        if mode != "NONE" {
            serving.ask("u.test", "GET /%00").await.expect_status(400);
        }
    }
}
