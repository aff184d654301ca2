//! The command line of `fairway`: what each flag means and which values it takes. Nothing here
//! looks at the machine.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use fairway_control::args::OnSecretDeleted;
use fairway_shared::duration;

use crate::analyze::AnalyzeArgs;
use crate::completions::CompletionsArgs;
use crate::explain::ExplainArgs;
use crate::get::GetArgs;
use crate::snapshot::SnapshotArgs;
use crate::status::StatusArgs;

/// More workers than any machine has CPUs.
const WORKERS_MAX: u16 = 1024;

/// An ingress gateway for Istio's configuration.
#[derive(Debug, Parser)]
#[command(
    name = "fairway",
    version,
    disable_help_subcommand = true,
    arg_required_else_help = false
)]
pub struct Fairway {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the configuration of a directory on this machine, in the foreground
    Up(UpArgs),
    /// Serve a built-in example with two upstreams
    Demo(UpOptions),
    /// A small upstream that answers any request with what it received
    Echo(EchoArgs),
    /// Tell what is wrong with manifests: files, directories or standard input
    Analyze(AnalyzeArgs),
    /// Tell what becomes of a request, and why: listener, rules tried, route, cluster, endpoints
    Explain(ExplainArgs),
    /// List what a running control has compiled, and its workers
    Get(GetArgs),
    /// Tell whether every worker serves what control published
    Status(StatusArgs),
    /// Look at the versions that control holds; roll back to one and hold it
    Snapshot(SnapshotArgs),
    /// Print what a shell needs to complete the command line
    Completions(CompletionsArgs),
}

/// `fairway up`.
#[derive(Debug, Clone, Args)]
pub struct UpArgs {
    /// Directory of Istio and Kubernetes manifests
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// Everything but the directory.
    #[command(flatten)]
    pub options: UpOptions,
}

/// The flags that `up` and `demo` share.
#[derive(Debug, Clone, Args)]
pub struct UpOptions {
    /// Worker processes [default: available CPUs]
    #[arg(long, value_name = "N", value_parser = workers)]
    pub workers: Option<u16>,
    /// Address the gateway's listeners bind
    #[arg(long, value_name = "ADDR", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST), value_parser = bind)]
    pub bind: IpAddr,
    /// Listener port and the local port for it, 0 = a free one; repeatable [default: ports below 1024 get +8000]
    #[arg(long, value_name = "PORT:LOCAL", value_parser = port_pair)]
    pub port_map: Vec<(u16, u16)>,
    /// How snapshots travel from control to the workers
    #[arg(long, value_enum, default_value_t = Transport::Unix)]
    pub transport: Transport,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub ports: Ports,
    /// Directory for sockets, last-good snapshots and instance.json [default: a fresh one]
    #[arg(long, value_name = "DIR")]
    pub instance_dir: Option<PathBuf>,
    /// Cluster domain suffix
    #[arg(long, value_name = "DOMAIN", default_value = "cluster.local")]
    pub domain: String,
    /// Namespace of the gateway pod
    #[arg(long, default_value = "istio-system")]
    pub namespace: String,
    /// MeshConfig [default: ConfigMap istio of the root namespace, if DIR holds one]
    #[arg(long, alias = "meshConfig", value_name = "FILE")]
    pub mesh_config: Option<PathBuf>,
    /// Name of the gateway pod [default: generated]
    #[arg(long, value_name = "NAME")]
    pub pod_name: Option<String>,
    /// Node that the gateway pod runs on [default: unknown]
    #[arg(long, value_name = "NAME")]
    pub node_name: Option<String>,
    /// Where the gateway pod runs [default: unknown]
    #[arg(long, value_name = "REGION/ZONE/SUBZONE", value_parser = locality)]
    pub locality: Option<String>,
    /// cert-chain.pem, key.pem and root-cert.pem of the gateway's own identity [default: /etc/certs]
    #[arg(long, value_name = "DIR")]
    pub identity_dir: Option<PathBuf>,
    /// Labels of the gateway pod, which Gateways select
    #[arg(long, value_name = "K=V,…", value_parser = labels, default_value = "istio=ingressgateway,app=istio-ingressgateway")]
    pub gateway_labels: Labels,
    /// How long running requests may take after the end was asked for
    #[arg(long, alias = "drainDuration", value_name = "DURATION", value_parser = go_duration, default_value = "45s")]
    pub drain_duration: Duration,
    /// When the predecessor is stopped after a binary upgrade
    #[arg(long, alias = "parentShutdownDuration", value_name = "DURATION", value_parser = go_duration, default_value = "1m0s")]
    pub parent_shutdown_duration: Duration,
    /// How long listeners accept after the end was asked for
    #[arg(long, value_name = "DURATION", value_parser = go_duration, default_value = "0s")]
    pub shutdown_grace: Duration,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub resilience: Resilience,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub edge: Edge,
    /// What becomes of servers whose Secret is deleted: serve on with what it held last, or fail
    #[arg(long, value_name = "serve|fail", value_enum, default_value_t = OnSecretDeleted::Serve)]
    pub on_secret_deleted: OnSecretDeleted,
    /// Quiet time after a change of a file before it is compiled
    #[arg(long, value_name = "DURATION", value_parser = go_duration, default_value = "100ms")]
    pub debounce_after: Duration,
    /// Longest wait for quiet time
    #[arg(long, value_name = "DURATION", value_parser = go_duration, default_value = "10s")]
    pub debounce_max: Duration,
    /// Access log: a file, - for stdout, or off; in place of the configured files
    #[arg(long, value_name = "FILE|-|off")]
    pub access_log: Option<String>,
    /// Zipkin collector of spans, in place of the configured one
    #[arg(long, alias = "zipkinAddress", value_name = "HOST:PORT", value_parser = host_port)]
    pub zipkin_address: Option<String>,
    /// DNS server for the names of endpoints [default: those of /etc/resolv.conf]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub dns_resolver: Option<SocketAddr>,
    /// Print warnings and errors only
    #[arg(long)]
    pub quiet: bool,
}

/// Where control and supervisor answer; 0 = a free port.
#[derive(Debug, Clone, Copy, Args)]
pub struct Ports {
    /// gRPC of control; this and the other ports: 0 = a free one
    #[arg(long, value_name = "PORT", default_value_t = 15010, value_parser = port)]
    pub grpc_port: u16,
    /// Debug pages of control
    #[arg(long, value_name = "PORT", default_value_t = 15080, value_parser = port)]
    pub debug_port: u16,
    /// Metrics of control
    #[arg(long, value_name = "PORT", default_value_t = 15014, value_parser = port)]
    pub monitoring_port: u16,
    /// Admin pages of the data plane
    #[arg(long, alias = "proxyAdminPort", value_name = "PORT", default_value_t = 15000, value_parser = port)]
    pub admin_port: u16,
    /// Health checks of the data plane
    #[arg(long, alias = "statusPort", value_name = "PORT", default_value_t = 15020, value_parser = port)]
    pub status_port: u16,
    /// Metrics of the data plane
    #[arg(long, value_name = "PORT", default_value_t = 15090, value_parser = port)]
    pub metrics_port: u16,
}

/// Heading of [`Edge`] in the help.
const CLIENTS: &str = "Clients";

/// What the data plane is told as it is written here; it checks the values.
#[derive(Debug, Clone, Default, Args)]
pub struct Resilience {
    /// Silence after which a worker is replaced, from 1s [default: 2s]
    #[arg(long, value_name = "DURATION")]
    pub worker_stall: Option<String>,
    /// Crashes while handling a request of one method, host and path after which such requests
    /// get 500 [default: off]
    #[arg(long, value_name = "N")]
    pub quarantine_after: Option<String>,
}

/// What clients may take, as it is written here; the data plane checks the values.
#[derive(Debug, Clone, Default, Args)]
pub struct Edge {
    /// From the first byte of a request's head to its last [default: 15s]
    #[arg(long, value_name = "DURATION", help_heading = CLIENTS)]
    pub request_head_timeout: Option<String>,
    /// Connection without a request [default: 1h]
    #[arg(long, value_name = "DURATION", help_heading = CLIENTS)]
    pub idle_timeout: Option<String>,
    /// Request or response of which nothing moves [default: 5m]
    #[arg(long, value_name = "DURATION", help_heading = CLIENTS)]
    pub stream_idle_timeout: Option<String>,
    /// Bytes of a request's head [default: 61440]
    #[arg(long, value_name = "N", help_heading = CLIENTS)]
    pub head_bytes_max: Option<String>,
    /// Fields of a request [default: 100]
    #[arg(long, value_name = "N", help_heading = CLIENTS)]
    pub fields_max: Option<String>,
    /// Bytes of a request's target [default: 61440]
    #[arg(long, value_name = "N", help_heading = CLIENTS)]
    pub uri_bytes_max: Option<String>,
    /// Requests of one connection [default: no limit]
    #[arg(long, value_name = "N", help_heading = CLIENTS)]
    pub requests_per_connection_max: Option<String>,
    /// Open connections per listener and worker [default: 50000]
    #[arg(long, value_name = "N", help_heading = CLIENTS)]
    pub connections_max: Option<String>,
    /// Open connections per client address (IPv6: /64), listener and worker [default: no limit]
    #[arg(long, value_name = "N", help_heading = CLIENTS)]
    pub connections_per_address_max: Option<String>,
    /// Concurrent streams of an HTTP/2 connection [default: 100]
    #[arg(long, value_name = "N", help_heading = CLIENTS)]
    pub http2_streams_max: Option<String>,
}

impl Edge {
    /// Each limit with its flag.
    pub fn flags(&self) -> [(&'static str, Option<&String>); 10] {
        [
            ("request-head-timeout", self.request_head_timeout.as_ref()),
            ("idle-timeout", self.idle_timeout.as_ref()),
            ("stream-idle-timeout", self.stream_idle_timeout.as_ref()),
            ("head-bytes-max", self.head_bytes_max.as_ref()),
            ("fields-max", self.fields_max.as_ref()),
            ("uri-bytes-max", self.uri_bytes_max.as_ref()),
            ("requests-per-connection-max", self.requests_per_connection_max.as_ref()),
            ("connections-max", self.connections_max.as_ref()),
            ("connections-per-address-max", self.connections_per_address_max.as_ref()),
            ("http2-streams-max", self.http2_streams_max.as_ref()),
        ]
    }
}

/// `fairway echo`.
#[derive(Debug, Clone, Args)]
pub struct EchoArgs {
    /// Address to listen on; port 0 = a free one, the first line printed names it
    #[arg(long, value_name = "ADDR:PORT", value_parser = socket)]
    pub listen: SocketAddr,
    /// Name in every answer
    #[arg(long, default_value = "echo")]
    pub name: String,
    /// Version in every answer
    #[arg(long, value_name = "VERSION")]
    pub version_label: Option<String>,
}

/// How snapshots travel from control to the workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Transport {
    /// Unix socket and shared memory.
    Unix,
    /// gRPC stream.
    Grpc,
}

/// Labels of a pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels(pub BTreeMap<String, String>);

fn workers(text: &str) -> Result<u16, String> {
    let count = text.parse().ok().filter(|count| (1..=WORKERS_MAX).contains(count));
    count.ok_or_else(|| format!("wanted: 1 to {WORKERS_MAX}"))
}

fn port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| "wanted: 0 to 65535, 0 = a free one".to_owned())
}

fn socket(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "wanted: an IP address and a port such as 127.0.0.1:9001".to_owned())
}

fn host_port(text: &str) -> Result<String, String> {
    let is_good = text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    if is_good { Ok(text.to_owned()) } else { Err("wanted: HOST:PORT".to_owned()) }
}

fn bind(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| "wanted: an IP address such as 127.0.0.1, 0.0.0.0 or ::".to_owned())
}

fn port_pair(text: &str) -> Result<(u16, u16), String> {
    let pair = text.split_once(':').and_then(|(from, to)| {
        let from = from.parse().ok().filter(|port| *port != 0)?;
        Some((from, to.parse().ok()?))
    });
    pair.ok_or_else(|| "wanted: PORT:LOCAL such as 80:18080, each up to 65535".to_owned())
}

/// `key=value` pairs with commas between.
pub(crate) fn labels(text: &str) -> Result<Labels, String> {
    let pairs = text.split(',').filter(|pair| !pair.is_empty()).map(|pair| {
        let (key, value) = pair.split_once('=').filter(|(key, _)| !key.is_empty())?;
        Some((key.to_owned(), value.to_owned()))
    });
    let labels: Option<BTreeMap<_, _>> = pairs.collect();
    labels.map(Labels).ok_or_else(|| "wanted: key=value pairs with commas between".to_owned())
}

pub(crate) fn locality(text: &str) -> Result<String, String> {
    let parts: Vec<&str> = text.split('/').collect();
    let is_whole = parts.len() <= 3 && parts.iter().all(|part| !part.is_empty());
    if is_whole || text.is_empty() {
        Ok(text.to_owned())
    } else {
        Err("wanted: region, region/zone or region/zone/subzone".to_owned())
    }
}

fn go_duration(text: &str) -> Result<Duration, String> {
    duration::parse(text).map_err(|error| error.to_string())
}

#[cfg(test)]
#[path = "args/tests.rs"]
mod tests;
