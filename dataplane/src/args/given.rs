//! What a command line gives, and what environment and defaults make of it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use fairway_shared::ipc::edge::EdgeLimits;
use fairway_shared::ipc::message::{AccessLogFlag, NodeIdentity};

use super::value::{self, ValueError};
use super::{ArgsError, Flags};

/// What limits may be set to.
const HEAD_BYTES: RangeInclusive<u32> = EdgeLimits::HEAD_BYTES_MIN..=1024 * 1024;
const FIELDS: RangeInclusive<u32> = 1..=1000;
const TARGET_BYTES: RangeInclusive<u32> = 1..=65_534;
const STREAMS: RangeInclusive<u32> = 1..=100_000;

/// What was given, before defaults.
#[derive(Debug, Default)]
pub(super) struct Given {
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
    identity_dir: Option<PathBuf>,
    namespace: Option<String>,
    pod_name: Option<String>,
    domain: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    locality: Option<String>,
    drain: Option<Duration>,
    parent_shutdown: Option<Duration>,
    grace: Option<Duration>,
    stall: Option<Duration>,
    quarantine_after: Option<u32>,
    server_header: Option<String>,
    log_level: Option<&'static str>,
    access_log: AccessLogFlag,
    zipkin: Option<String>,
    dns_resolver: Option<SocketAddr>,
    idle: Option<Duration>,
    edge: EdgeLimits,
    pub(super) is_quiet: bool,
    status_fd: Option<i32>,
}

impl Given {
    /// Takes the value of a flag, by its name in kebab-case.
    pub(super) fn set(&mut self, name: &str, text: &str) -> Result<(), ValueError> {
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
            "identity-dir" => self.identity_dir = Some(value::filled(text)?.into()),
            "namespace" => self.namespace = Some(value::filled(text)?),
            "pod-name" => self.pod_name = Some(value::filled(text)?),
            "domain" => self.domain = Some(value::filled(text)?),
            "gateway-labels" => self.labels = Some(value::labels(text)?),
            "locality" => self.locality = Some(text.to_owned()),
            "drain-duration" => self.drain = Some(value::duration(text)?),
            "parent-shutdown-duration" => self.parent_shutdown = Some(value::duration(text)?),
            "shutdown-grace" => self.grace = Some(value::duration(text)?),
            "worker-stall" => self.stall = Some(value::stall(text)?),
            "quarantine-after" => self.quarantine_after = value::count(text)?,
            "server-header" => self.server_header = Some(value::header(text)?),
            "log-level" | "log-output-level" => self.log_level = Some(value::log_level(text)?),
            "access-log" => self.access_log = value::access_log(text)?,
            "zipkin-address" => self.zipkin = Some(value::host_port(text)?),
            "dns-resolver" => self.dns_resolver = Some(value::socket_address(text)?),
            "status-fd" => self.status_fd = Some(value::descriptor(text)?),
            "idle-timeout" => self.idle = Some(value::duration(text)?),
            _ => return self.set_edge(name, text),
        }
        Ok(())
    }

    /// Takes a limit on what clients may take.
    fn set_edge(&mut self, name: &str, text: &str) -> Result<(), ValueError> {
        let edge = &mut self.edge;
        match name {
            "request-head-timeout" => edge.head_timeout_ms = value::millis(text)?,
            "stream-idle-timeout" => edge.stream_idle_timeout_ms = value::millis(text)?,
            "head-bytes-max" => {
                edge.head_bytes_max = value::within(text, HEAD_BYTES)?;
            }
            "fields-max" => edge.fields_max = value::within(text, FIELDS)?,
            "uri-bytes-max" => edge.target_bytes_max = value::within(text, TARGET_BYTES)?,
            "http2-streams-max" => edge.streams_max = value::within(text, STREAMS)?,
            "requests-per-connection-max" => {
                edge.requests_per_connection_max = value::count(text)?.unwrap_or_default();
            }
            "connections-max" => edge.connections_max = value::count(text)?.unwrap_or_default(),
            "connections-per-address-max" => {
                edge.connections_per_address_max = value::count(text)?.unwrap_or_default();
            }
            _ => {}
        }
        Ok(())
    }

    /// Fills in defaults.
    pub(super) fn complete(
        &self,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Flags, ArgsError> {
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
            identity_dir: self.identity_dir.clone().unwrap_or_else(|| "/etc/certs".into()),
            node: self.node(env)?,
            drain: self.drain.unwrap_or(Duration::from_secs(45)),
            grace: match self.grace {
                Some(grace) => grace,
                None => from_env(env, "TERMINATION_DRAIN_DURATION_SECONDS", value::seconds)?
                    .unwrap_or(Duration::from_secs(5)),
            },
            stall: self.stall.unwrap_or(Duration::from_secs(2)),
            quarantine_after: self.quarantine_after,
            server_header: (header != "-").then(|| header.to_owned()),
            log_level: match (self.log_level, self.is_quiet) {
                (Some("error"), _) => "error",
                (_, true) => "warn",
                (level, false) => level.unwrap_or("info"),
            },
            access_log: self.access_log.clone(),
            zipkin: self.zipkin.clone(),
            dns_resolver: self.dns_resolver,
            edge: self.edge(env)?,
            status_fd: self.status_fd,
        })
    }

    /// Istio contract 6.7: the environment says how long connections may idle.
    fn edge(&self, env: &dyn Fn(&str) -> Option<String>) -> Result<EdgeLimits, ArgsError> {
        let idle = match self.idle {
            Some(idle) => Some(idle),
            None => from_env(env, "ISTIO_META_IDLE_TIMEOUT", value::duration)?,
        };
        let idle = idle.map(value::whole_millis);
        Ok(EdgeLimits {
            idle_timeout_ms: idle.unwrap_or(EdgeLimits::default().idle_timeout_ms),
            ..self.edge
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

    /// What is accepted but probably not meant.
    pub(super) fn doubts(&self, flags: &Flags) -> Option<String> {
        let parent = self.parent_shutdown.unwrap_or(Duration::from_secs(60));
        (parent <= flags.drain).then(|| {
            "--parent-shutdown-duration should exceed --drain-duration: \
             the old process of an upgrade would be ended while it drains"
                .to_owned()
        })
    }
}

pub(super) fn default_labels() -> BTreeMap<String, String> {
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
