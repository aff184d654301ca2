//! Backends of opaque bytes that say how they are treated, and the objects that lead to them.

use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Bytes of one write of [`Script::Flood`].
const CHUNK_BYTES: usize = 64 * 1024;

/// What a backend does with a connection.
#[derive(Debug, Clone)]
pub enum Script {
    /// Says its name as soon as it is connected, and then what it hears.
    Echo(&'static str),
    /// Listens to the end, then says how many bytes it heard, and closes.
    CountThenTell,
    /// Closes its own direction at once, then listens to the end.
    CloseThenCount,
    /// Says that many bytes, each the low byte of its place, and closes.
    Flood(u64),
}

/// A running backend; stops when dropped.
#[derive(Debug)]
pub struct TcpBackend {
    address: SocketAddr,
    counts: Arc<Counts>,
    accepting: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Counts {
    accepted: AtomicU64,
    heard: AtomicU64,
    said: AtomicU64,
    ended: AtomicU64,
}

impl TcpBackend {
    /// Starts on a free port of loopback.
    ///
    /// # Panics
    /// If there is none.
    pub async fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let counts = Arc::<Counts>::default();
        let shared = Arc::clone(&counts);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                shared.accepted.fetch_add(1, Ordering::Relaxed);
                let (script, counts) = (script.clone(), Arc::clone(&shared));
                tokio::spawn(async move {
                    // A connection that breaks is what some tests are about.
                    let _ = play(stream, script, &counts).await;
                    counts.ended.fetch_add(1, Ordering::Relaxed);
                });
            }
        });
        Self { address, counts, accepting }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections so far.
    pub fn accepted(&self) -> u64 {
        self.counts.accepted.load(Ordering::Relaxed)
    }

    /// Connections that are over.
    pub fn ended(&self) -> u64 {
        self.counts.ended.load(Ordering::Relaxed)
    }

    /// Bytes heard so far.
    pub fn heard(&self) -> u64 {
        self.counts.heard.load(Ordering::Relaxed)
    }

    /// Bytes said so far, as far as the kernel took them.
    pub fn said(&self) -> u64 {
        self.counts.said.load(Ordering::Relaxed)
    }
}

impl Drop for TcpBackend {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn play(mut stream: TcpStream, script: Script, counts: &Counts) -> std::io::Result<()> {
    match script {
        Script::Echo(name) => {
            stream.write_all(name.as_bytes()).await?;
            let (mut read, mut write) = stream.split();
            tokio::io::copy(&mut read, &mut write).await?;
            stream.shutdown().await
        }
        Script::CountThenTell => {
            let heard = listen(&mut stream, counts).await?;
            stream.write_all(heard.to_string().as_bytes()).await?;
            stream.shutdown().await
        }
        Script::CloseThenCount => {
            stream.shutdown().await?;
            listen(&mut stream, counts).await.map(drop)
        }
        Script::Flood(bytes) => {
            let chunk: Vec<u8> = (0..CHUNK_BYTES).map(|place| place as u8).collect();
            let mut left = bytes;
            while left > 0 {
                let length = usize::try_from(left).unwrap_or(usize::MAX).min(chunk.len());
                let count = stream.write(&chunk[..length]).await? as u64;
                counts.said.fetch_add(count, Ordering::Relaxed);
                left -= count;
                // The next write begins where this one ended within the pattern.
                if !(count as usize).is_multiple_of(256) {
                    let rest = 256 - count as usize % 256;
                    stream.write_all(&chunk[256 - rest..256]).await?;
                    counts.said.fetch_add(rest as u64, Ordering::Relaxed);
                    left = left.saturating_sub(rest as u64);
                }
            }
            stream.shutdown().await
        }
    }
}

async fn listen(stream: &mut TcpStream, counts: &Counts) -> std::io::Result<u64> {
    let (mut heard, mut buffer) = (0, vec![0; CHUNK_BYTES]);
    loop {
        let count = stream.read(&mut buffer).await? as u64;
        if count == 0 {
            return Ok(heard);
        }
        heard += count;
        counts.heard.fetch_add(count, Ordering::Relaxed);
    }
}

/// A Service of namespace `shop` with one port for opaque bytes and these endpoints.
///
/// # Panics
/// Never: a string grows.
pub fn service(name: &str, port: u16, endpoints: &[SocketAddr]) -> String {
    let mut text = format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: shop}}\n\
         spec: {{ports: [{{name: tcp, port: {port}}}]}}\n"
    );
    for (number, endpoint) in endpoints.iter().enumerate() {
        let (ip, port) = (endpoint.ip(), endpoint.port());
        let labels = format!("kubernetes.io/service-name: {name}");
        write!(
            text,
            "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
             metadata: {{name: {name}-{number}, namespace: shop, labels: {{{labels}}}}}\n\
             addressType: IPv4\nendpoints: [{{addresses: [{ip}]}}]\n\
             ports: [{{name: tcp, port: {port}, protocol: TCP}}]\n"
        )
        .expect("a string grows");
    }
    text
}

/// A Gateway of namespace `shop`; `servers` in YAML's flow style.
pub fn gateway(name: &str, servers: &str) -> String {
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: Gateway\n\
         metadata: {{name: {name}, namespace: shop}}\n\
         spec: {{selector: {{istio: ingressgateway}}, servers: {servers}}}\n"
    )
}

/// A VirtualService of namespace `shop` for all hosts; `routes` in YAML's block style at its
/// outermost level: `tcp: […]`.
pub fn virtual_service(name: &str, gateway: &str, routes: &str) -> String {
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\n\
         metadata: {{name: {name}, namespace: shop}}\n\
         spec: {{hosts: [\"*\"], gateways: [{gateway}], {routes}}}\n"
    )
}

/// A Gateway for one TCP port, with all of it going to `destinations`, as a list in YAML's flow
/// style.
pub fn tcp_port(port: u16, destinations: &str) -> String {
    let server =
        format!("[{{port: {{number: {port}, name: tcp, protocol: TCP}}, hosts: [\"*\"]}}]");
    let name = format!("tcp-{port}");
    let routes = format!("tcp: [{{route: {destinations}}}]");
    gateway(&name, &server) + &virtual_service(&name, &name, &routes)
}
