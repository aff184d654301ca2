//! The gateway pod's command line: a drop-in for `proxy router` of the reference deployment
//! (Istio contract 8.1). Pure: arguments and environment in, settings and warnings out.
//!
//! A reader of its own rather than a parser library, because it has to take both spellings of
//! every flag (`--proxyAdminPort`, `--proxy-admin-port`) and pass over any flag it does not know.

mod flag;
mod given;
mod value;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use fairway_shared::ipc::edge::EdgeLimits;
use fairway_shared::ipc::message::{AccessLogFlag, NodeIdentity};

use given::Given;
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
  --quarantine-after N            crashes while handling a request of one method, host and path
                                  after which such requests get 500 [off]
  --log-level, --log-output-level LEVEL   error, warn, info, debug; `scope:level` too [info]
  --access-log FILE|-|off         in place of the configured access logs' files
  --dns-resolver ADDRESS:PORT     resolves endpoints' names [those of /etc/resolv.conf]
  --zipkin-address HOST:PORT      collector of spans, in place of the configured one
  --quiet                         only warnings and errors
Clients (a duration or number of 0 = no limit)
  --request-head-timeout DURATION  from a head's first byte to its last; first byte of a
                                  connection too [15s]
  --idle-timeout DURATION         connection without a request [$ISTIO_META_IDLE_TIMEOUT or 1h]
  --stream-idle-timeout DURATION  request or response of which nothing moves [5m]
  --head-bytes-max N              bytes of a request's head, from 8192 [61440]
  --fields-max N                  fields of a request, 1 to 1000 [100]
  --uri-bytes-max N               bytes of a request's target [61440]
  --requests-per-connection-max N  [0]
  --connections-max N             open connections per listener and worker [50000]
  --connections-per-address-max N  open connections per client address (IPv6: /64), listener
                                  and worker [0]
  --http2-streams-max N           concurrent streams of an HTTP/2 connection [100]
Identity
  --identity-dir DIR              cert-chain.pem, key.pem, root-cert.pem [/etc/certs]
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
    /// The gateway's own certificate, key and root.
    pub identity_dir: PathBuf,
    /// Who this gateway is.
    pub node: NodeIdentity,
    /// What runs may finish this long.
    pub drain: Duration,
    /// Accepting goes on this long after the first signal.
    pub grace: Duration,
    /// Longest silence of a serving worker.
    pub stall: Duration,
    /// Crashes that quarantine a request.
    pub quarantine_after: Option<u32>,
    /// `None` = the upstream's.
    pub server_header: Option<String>,
    /// `error`, `warn`, `info`, `debug`.
    pub log_level: &'static str,
    /// In place of the configured access logs' files.
    pub access_log: AccessLogFlag,
    /// `host:port` of a collector of spans.
    pub zipkin: Option<String>,
    /// DNS server for endpoints' names.
    pub dns_resolver: Option<SocketAddr>,
    /// What clients may take.
    pub edge: EdgeLimits,
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
        let flag = flag::split(&word)?;
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

#[cfg(test)]
mod tests;
