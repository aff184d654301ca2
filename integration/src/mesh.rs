//! A configuration put together from small parts, running: one Gateway for all hosts on port 80,
//! Services with their endpoints, and a VirtualService for each host.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;

use http::Request;
use http_body_util::Full;

use crate::client::{Http1, Reply, get_once, request};
use crate::world::{Setup, World};

const GATEWAY: &str = "\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: all, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: [\"*\"]
";

/// A configuration in the making. All objects are in namespace `shop`.
#[derive(Debug, Clone)]
pub struct Mesh {
    objects: String,
    virtual_services: usize,
    flags: String,
}

impl Default for Mesh {
    fn default() -> Self {
        Self { objects: GATEWAY.to_owned(), virtual_services: 0, flags: String::new() }
    }
}

impl Mesh {
    /// A Service with port 80 and these endpoints. The protocol towards them is that of the port's
    /// name, as in Istio.
    #[must_use]
    pub fn service(self, name: &str, port_name: &str, endpoints: &[SocketAddr]) -> Self {
        let mut text = format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: shop}}\n\
             spec: {{ports: [{{name: {port_name}, port: 80}}]}}\n"
        );
        // The port of a slice holds for all of its endpoints.
        for (number, endpoint) in endpoints.iter().enumerate() {
            let (ip, port) = (endpoint.ip(), endpoint.port());
            let label = format!("kubernetes.io/service-name: {name}");
            write!(
                text,
                "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
                 metadata: {{name: {name}-{number}, namespace: shop, labels: {{{label}}}}}\n\
                 addressType: IPv4\nendpoints: [{{addresses: [{ip}]}}]\n\
                 ports: [{{name: {port_name}, port: {port}, protocol: TCP}}]\n"
            )
            .expect("a string grows");
        }
        self.object(&text)
    }

    /// A VirtualService for a host. `http` is its list of routes, in YAML's flow style. Those added
    /// earlier come first in Istio's order.
    #[must_use]
    pub fn host(mut self, host: &str, http: &str) -> Self {
        self.virtual_services += 1;
        let number = self.virtual_services;
        self.object(&format!(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\n\
             metadata: {{name: vs-{number:04}, namespace: shop}}\n\
             spec: {{hosts: [\"{host}\"], gateways: [all], http: {http}}}\n"
        ))
    }

    /// A VirtualService for a host that sends all to one Service, changed by further fields of the
    /// route.
    #[must_use]
    pub fn host_to(self, host: &str, service: &str, fields: &str) -> Self {
        let comma = if fields.is_empty() { "" } else { ", " };
        let route = format!("route: [{{destination: {{host: {service}}}}}]");
        self.host(host, &format!("[{{{route}{comma}{fields}}}]"))
    }

    /// Any object.
    #[must_use]
    pub fn object(mut self, yaml: &str) -> Self {
        self.objects.push_str("---\n");
        self.objects.push_str(yaml);
        self
    }

    /// Flags of `fairway up`, as they are typed.
    #[must_use]
    pub fn flags(mut self, flags: &str) -> Self {
        self.flags = flags.to_owned();
        self
    }

    /// As it is written to `mesh.yaml`.
    pub fn yaml(&self) -> &str {
        &self.objects
    }

    /// Starts the binary with one worker and waits until it serves.
    ///
    /// # Panics
    /// If it does not in time.
    pub async fn start(self, fairway: impl AsRef<Path>) -> Serving {
        self.start_on(fairway, 1).await
    }

    /// Starts the binary with that many workers and waits until it serves.
    ///
    /// # Panics
    /// If it does not in time.
    pub async fn start_on(self, fairway: impl AsRef<Path>, workers: u16) -> Serving {
        let setup = Setup::new(fairway.as_ref()).flags(&self.flags);
        let setup = setup.file("mesh.yaml", self.objects).workers(workers);
        let mut world = World::start(setup).await;
        let address = world.listener(80).await;
        Serving { world, address }
    }
}

/// A [`Mesh`] that is served.
#[derive(Debug)]
pub struct Serving {
    /// The instance.
    pub world: World,
    /// Of port 80.
    pub address: SocketAddr,
}

impl Serving {
    /// Waits until a line of the metrics has all of these parts.
    ///
    /// # Panics
    /// If none has in time.
    pub async fn counted(&self, parts: &[&str]) {
        let instance = self.world.instance().expect("it is up");
        let metrics = instance.supervisor.metrics.parse().expect("an address");
        crate::wait::until(&format!("{parts:?} in the metrics"), async || {
            let page = get_once(metrics, "localhost", "/stats/prometheus").await;
            let text = String::from_utf8(page.body.to_vec()).expect("text");
            text.lines().any(|line| parts.iter().all(|part| line.contains(part))).then_some(())
        })
        .await;
    }

    /// Sends what [`request`] makes of the text, on a connection of its own.
    ///
    /// # Panics
    /// If there is no answer.
    pub async fn ask(&self, host: &str, text: &str) -> Reply {
        Http1::connect(self.address).await.send(request(host, text)).await
    }

    /// The same with a body.
    ///
    /// # Panics
    /// If there is no answer.
    pub async fn ask_with(&self, host: &str, text: &str, body: impl Into<bytes::Bytes>) -> Reply {
        let request: Request<Full<_>> = request(host, text).map(|_| Full::new(body.into()));
        Http1::connect(self.address).await.send(request).await
    }
}
