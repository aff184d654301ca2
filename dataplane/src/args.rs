//! The gateway pod's command line: a drop-in for `proxy router` of the reference deployment
//! (Istio contract 8.1). Pure: arguments and environment in, settings and warnings out.
//!
//! A reader of its own rather than a parser library, because it has to take both spellings of
//! every flag (`--proxyAdminPort`, `--proxy-admin-port`) and pass over any flag it does not know.

mod flag;
mod value;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use fairway_shared::ipc::message::NodeIdentity;

pub use value::ValueError;

/// `--help`.
pub const USAGE: &str = "\
Usage: fairway-dataplane proxy router [FLAGS]
       flags are --kebab-case or --camelCase, --flag value or --flag=value

Control
  --discovery-address HOST:PORT   gRPC of control [istio-pilot:15010, unless a socket is given]
  --control-socket PATH           unix socket of control, tried first
Listeners
  --workers, --concurrency N      worker processes, 0 = one per usable CPU [0]
  --bind ADDR                     address of the listeners, repeatable [0.0.0.0 and ::]
  --port-map FROM:TO              listener port to local port, repeatable
  --low-port-offset N             added to ports below 1024 that are not mapped [0]
  --server-header NAME            `server` of responses, - = the upstream's [istio-envoy]
Supervisor
  --admin-port, --proxy-admin-port N   [15000], 0 = a free one, for every port
  --status-port N                 [15020]
  --metrics-port N                [15090]
  --admin-address ADDR            [127.0.0.1]
  --status-address ADDR           of the status and metrics ports [0.0.0.0]
  --instance-dir DIR              sockets and last-good [$XDG_RUNTIME_DIR/fairway or /run/fairway]
  --worker-stall DURATION         silence after which a worker is replaced, from 1s [2s]
  --log-level, --log-output-level LEVEL   error, warn, info, debug; `scope:level` too [info]
  --quiet                         only warnings and errors
Identity
  --namespace NAME                [$POD_NAMESPACE or istio-system]
  --pod-name NAME                 [$POD_NAME or $HOSTNAME]
  --domain DOMAIN                 [NAMESPACE.svc.cluster.local]
  --gateway-labels K=V,…          [$ISTIO_METAJSON_LABELS or those of istio-ingressgateway]
  --locality REGION/ZONE/SUBZONE  [label istio-locality]
Termination
  --shutdown-grace DURATION       [$TERMINATION_DRAIN_DURATION_SECONDS or 5s]
  --drain-duration DURATION       [45s]
  --parent-shutdown-duration DURATION  [1m0s]
";

/// Why the command line is refused: one line that names the flag and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArgsError {
    /// A known flag with a bad value.
    #[error("{flag} `{value}` {cause}")]
    BadValue {
        /// As written, or the environment variable.
        flag: String,
        /// As written.
        value: String,
        /// What is allowed; part of the line.
        cause: ValueError,
    },
    /// A known flag at the end of the line.
    #[error("{flag} needs a value")]
    NoValue {
        /// As written.
        flag: String,
    },
    /// A word that is not a flag.
    #[error("unexpected argument `{word}`, expected flags or `proxy router`")]
    Unexpected {
        /// As written.
        word: String,
    },
    /// An argument that is not UTF-8.
    #[error("argument `{word}` is not UTF-8")]
    NotUtf8 {
        /// Lossily.
        word: String,
    },
}

/// What the command line asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Run the gateway; with one line for each flag that has no effect.
    Run(Box<Flags>, Vec<String>),
    /// Print [`USAGE`].
    Help,
    /// Print the version.
    Version,
}

/// Every flag's value, with defaults filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct Flags {
    /// `host:port` of control's gRPC.
    pub control_grpc: Option<String>,
    /// Unix socket of control.
    pub control_socket: Option<String>,
    /// 0 = one per usable CPU.
    pub workers: u16,
    /// Empty = every address of the host.
    pub bind: Vec<IpAddr>,
    /// Listener port → local port.
    pub port_map: BTreeMap<u16, u16>,
    /// Added to unmapped ports below 1024.
    pub low_port_offset: u16,
    /// Admin HTTP.
    pub admin: (IpAddr, u16),
    /// Health HTTP.
    pub status: (IpAddr, u16),
    /// Metrics HTTP; the same address as health.
    pub metrics: (IpAddr, u16),
    /// Where last-good lives.
    pub instance_dir: PathBuf,
    /// Who this gateway is.
    pub node: NodeIdentity,
    /// What runs may finish this long.
    pub drain: Duration,
    /// Accepting goes on this long after the first signal.
    pub grace: Duration,
    /// Longest silence of a serving worker.
    pub stall: Duration,
    /// `None` = the upstream's.
    pub server_header: Option<String>,
    /// `error`, `warn`, `info`, `debug`.
    pub log_level: &'static str,
    /// Descriptor for status lines.
    pub status_fd: Option<i32>,
}

/// Reads arguments (without the program's name) and environment.
///
/// # Errors
/// The first [`ArgsError`].
pub fn parse(
    args: impl Iterator<Item = OsString>,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Command, ArgsError> {
    let (mut given, mut warnings) = (Given::default(), Vec::new());
    let mut words = flag::words(args)?.into_iter().peekable();
    words.next_if(|word| word == "proxy");
    if let Some(role) = words.next_if(|word| !word.starts_with('-'))
        && role != "router"
    {
        return Err(ArgsError::Unexpected { word: role });
    }
    while let Some(word) = words.next() {
        let flag = flag::split(word)?;
        match flag.name.as_str() {
            "help" | "h" => return Ok(Command::Help),
            "version" => return Ok(Command::Version),
            "quiet" => given.is_quiet = flag.value.as_deref() != Some("false"),
            name if flag::is_known(name) => {
                let value = flag.value.clone().or_else(|| words.next());
                let Some(value) = value else {
                    return Err(ArgsError::NoValue { flag: flag.written });
                };
                given.set(name, &value).map_err(|cause| ArgsError::BadValue {
                    flag: flag.written,
                    value,
                    cause,
                })?;
            }
            _ => {
                if flag.value.is_none() {
                    words.next_if(|word| !word.starts_with('-'));
                }
                warnings.push(format!("{} is not known here and has no effect", flag.written));
            }
        }
    }
    let flags = given.complete(env)?;
    warnings.extend(given.doubts(&flags));
    Ok(Command::Run(Box::new(flags), warnings))
}

/// What was given, before defaults.
#[derive(Debug, Default)]
struct Given {
    control_grpc: Option<String>,
    control_socket: Option<String>,
    workers: u16,
    bind: Vec<IpAddr>,
    port_map: BTreeMap<u16, u16>,
    low_port_offset: u16,
    admin_port: Option<u16>,
    status_port: Option<u16>,
    metrics_port: Option<u16>,
    admin_address: Option<IpAddr>,
    status_address: Option<IpAddr>,
    instance_dir: Option<PathBuf>,
    namespace: Option<String>,
    pod_name: Option<String>,
    domain: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    locality: Option<String>,
    drain: Option<Duration>,
    parent_shutdown: Option<Duration>,
    grace: Option<Duration>,
    stall: Option<Duration>,
    server_header: Option<String>,
    log_level: Option<&'static str>,
    is_quiet: bool,
    status_fd: Option<i32>,
}

impl Given {
    fn set(&mut self, name: &str, text: &str) -> Result<(), ValueError> {
        match name {
            "discovery-address" => self.control_grpc = Some(value::host_port(text)?),
            "control-socket" => self.control_socket = Some(value::filled(text)?),
            "workers" | "concurrency" => self.workers = value::workers(text)?,
            "bind" => self.bind.push(value::address(text)?),
            "port-map" => {
                let (from, to) = value::port_pair(text)?;
                self.port_map.insert(from, to);
            }
            "low-port-offset" => self.low_port_offset = value::port(text)?,
            "admin-port" | "proxy-admin-port" => self.admin_port = Some(value::port(text)?),
            "status-port" => self.status_port = Some(value::port(text)?),
            "metrics-port" => self.metrics_port = Some(value::port(text)?),
            "admin-address" => self.admin_address = Some(value::address(text)?),
            "status-address" => self.status_address = Some(value::address(text)?),
            "instance-dir" => self.instance_dir = Some(value::filled(text)?.into()),
            "namespace" => self.namespace = Some(value::filled(text)?),
            "pod-name" => self.pod_name = Some(value::filled(text)?),
            "domain" => self.domain = Some(value::filled(text)?),
            "gateway-labels" => self.labels = Some(value::labels(text)?),
            "locality" => self.locality = Some(text.to_owned()),
            "drain-duration" => self.drain = Some(value::duration(text)?),
            "parent-shutdown-duration" => self.parent_shutdown = Some(value::duration(text)?),
            "shutdown-grace" => self.grace = Some(value::duration(text)?),
            "worker-stall" => self.stall = Some(value::stall(text)?),
            "server-header" => self.server_header = Some(value::header(text)?),
            "log-level" | "log-output-level" => self.log_level = Some(value::log_level(text)?),
            "status-fd" => self.status_fd = Some(value::descriptor(text)?),
            _ => {}
        }
        Ok(())
    }

    fn complete(&self, env: &dyn Fn(&str) -> Option<String>) -> Result<Flags, ArgsError> {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let admin_address = self.admin_address.unwrap_or(loopback);
        let status_address = self.status_address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let header = self.server_header.as_deref().unwrap_or("istio-envoy");
        let pilot = self.control_socket.is_none().then(|| "istio-pilot:15010".to_owned());
        Ok(Flags {
            control_grpc: self.control_grpc.clone().or(pilot),
            control_socket: self.control_socket.clone(),
            workers: self.workers,
            bind: self.bind.clone(),
            port_map: self.port_map.clone(),
            low_port_offset: self.low_port_offset,
            admin: (admin_address, self.admin_port.unwrap_or(15000)),
            status: (status_address, self.status_port.unwrap_or(15020)),
            metrics: (status_address, self.metrics_port.unwrap_or(15090)),
            instance_dir: self.instance_dir.clone().unwrap_or_else(|| default_directory(env)),
            node: self.node(env)?,
            drain: self.drain.unwrap_or(Duration::from_secs(45)),
            grace: match self.grace {
                Some(grace) => grace,
                None => from_env(env, "TERMINATION_DRAIN_DURATION_SECONDS", value::seconds)?
                    .unwrap_or(Duration::from_secs(5)),
            },
            stall: self.stall.unwrap_or(Duration::from_secs(2)),
            server_header: (header != "-").then(|| header.to_owned()),
            log_level: match (self.log_level, self.is_quiet) {
                (Some("error"), _) => "error",
                (_, true) => "warn",
                (level, false) => level.unwrap_or("info"),
            },
            status_fd: self.status_fd,
        })
    }

    /// Istio contract 8.2: `router~<ip>~<pod>.<namespace>~<domain>`.
    fn node(&self, env: &dyn Fn(&str) -> Option<String>) -> Result<NodeIdentity, ArgsError> {
        let or_env = |given: &Option<String>, names: &[&str], default: &str| {
            let set = || names.iter().find_map(|name| env(name).filter(|text| !text.is_empty()));
            given.clone().or_else(set).unwrap_or_else(|| default.to_owned())
        };
        let namespace = or_env(&self.namespace, &["POD_NAMESPACE"], "istio-system");
        let pod = or_env(&self.pod_name, &["POD_NAME", "HOSTNAME"], "istio-ingressgateway");
        let address = or_env(&None, &["INSTANCE_IP"], "127.0.0.1");
        let domain = match self.domain.as_deref().unwrap_or("cluster.local") {
            full if full.contains("svc.") => full.to_owned(),
            cluster => format!("{namespace}.svc.{cluster}"),
        };
        let labels = match &self.labels {
            Some(labels) => labels.clone(),
            None => from_env(env, "ISTIO_METAJSON_LABELS", value::json_labels)?
                .unwrap_or_else(default_labels),
        };
        let locality = self
            .locality
            .clone()
            .or_else(|| labels.get("istio-locality").map(|dotted| dotted.replace('.', "/")));
        Ok(NodeIdentity {
            id: format!("router~{address}~{pod}.{namespace}~{domain}"),
            namespace,
            labels,
            locality: locality.unwrap_or_default(),
            build: env!("CARGO_PKG_VERSION").to_owned(),
        })
    }

    fn doubts(&self, flags: &Flags) -> Option<String> {
        let parent = self.parent_shutdown.unwrap_or(Duration::from_secs(60));
        (parent <= flags.drain).then(|| {
            "--parent-shutdown-duration should exceed --drain-duration: \
             the old process of an upgrade would be ended while it drains"
                .to_owned()
        })
    }
}

fn default_labels() -> BTreeMap<String, String> {
    let pairs = [("app", "istio-ingressgateway"), ("istio", "ingressgateway")];
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn default_directory(env: &dyn Fn(&str) -> Option<String>) -> PathBuf {
    let runtime = env("XDG_RUNTIME_DIR").filter(|text| !text.is_empty());
    PathBuf::from(runtime.unwrap_or_else(|| "/run".to_owned())).join("fairway")
}

fn from_env<T>(
    env: &dyn Fn(&str) -> Option<String>,
    name: &str,
    read: fn(&str) -> Result<T, ValueError>,
) -> Result<Option<T>, ArgsError> {
    let Some(text) = env(name).filter(|text| !text.is_empty()) else { return Ok(None) };
    match read(&text) {
        Ok(value) => Ok(Some(value)),
        Err(cause) => Err(ArgsError::BadValue { flag: format!("${name}"), value: text, cause }),
    }
}

#[cfg(test)]
mod tests;
