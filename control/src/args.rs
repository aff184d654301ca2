//! The command line: arguments to [`Settings`], and clap's complaints to one line.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Parser, ValueEnum};
use fairway_shared::duration;
use tracing::level_filters::LevelFilter;

/// Reads Istio and Kubernetes configuration, compiles it into snapshots and streams them to
/// gateway data planes.
#[derive(Debug, Clone, PartialEq, Parser)]
#[command(name = "fairway-control", version)]
pub struct Settings {
    /// Directory with the configuration, read recursively: *.yaml, *.yml, *.json
    #[arg(long, alias = "configDir", value_name = "DIR", conflicts_with_all = ["kube", "kube_context"])]
    pub config_dir: Option<PathBuf>,
    /// Read the configuration from a Kubernetes API server: the default without --config-dir
    #[arg(long)]
    pub kube: bool,
    /// Context of the kubeconfig; without it the current one, or the pod's service account
    #[arg(long, value_name = "NAME")]
    pub kube_context: Option<String>,
    /// Namespaces to watch; all by default
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', conflicts_with = "config_dir")]
    pub watch_namespaces: Vec<String>,
    /// MeshConfig; without it, key mesh of ConfigMap istio in the root namespace
    #[arg(long, visible_alias = "meshConfig", value_name = "FILE")]
    pub mesh_config: Option<PathBuf>,
    /// Address that the ports below are bound on
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1", value_parser = address)]
    pub listen_address: IpAddr,
    /// Port of gRPC; 0 picks a free one
    #[arg(
        long,
        visible_alias = "grpcAddr",
        value_name = "PORT",
        default_value = "15010",
        value_parser = port
    )]
    pub grpc_port: u16,
    /// Port of the debug pages; 0 picks a free one
    #[arg(
        long,
        visible_alias = "httpAddr",
        value_name = "PORT",
        default_value = "8080",
        value_parser = port
    )]
    pub debug_port: u16,
    /// Port of the metrics; 0 picks a free one
    #[arg(
        long,
        visible_alias = "monitoringAddr",
        value_name = "PORT",
        default_value = "15014",
        value_parser = port
    )]
    pub monitoring_port: u16,
    /// Unix socket for data planes on this host
    #[arg(long, value_name = "PATH")]
    pub unix_socket: Option<PathBuf>,
    /// Cluster domain: what the full names of services end in
    #[arg(long, value_name = "DOMAIN", default_value = "cluster.local", value_parser = domain)]
    pub domain: String,
    /// Namespace of the gateway pod: what exportTo is judged against
    #[arg(long, value_name = "NAMESPACE", default_value = "istio-system")]
    pub namespace: String,
    /// Labels of the gateway pod, which Gateway.spec.selector is matched against
    #[arg(
        long,
        value_name = "K=V,…",
        default_value = "istio=ingressgateway,app=istio-ingressgateway",
        value_parser = labels
    )]
    pub gateway_labels: Labels,
    /// Take Gateways of the gateway pod's namespace only; PILOT_SCOPE_GATEWAY_TO_NAMESPACE=true
    /// says so too
    #[arg(long)]
    pub scope_gateway_to_namespace: bool,
    /// Node that the gateway pod runs on, whose labels place it [default: unknown]
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub node_name: String,
    /// Where the gateway pod runs [default: as the labels of the pod or its Node say]
    #[arg(
        long,
        value_name = "REGION/ZONE/SUBZONE",
        default_value = "",
        hide_default_value = true,
        value_parser = locality
    )]
    pub locality: String,
    /// What becomes of servers whose Secret is deleted: they serve on with what it held last, or
    /// their handshakes fail
    #[arg(long, value_name = "serve|fail", value_enum, default_value_t = OnSecretDeleted::Serve)]
    pub on_secret_deleted: OnSecretDeleted,
    /// How long the configuration must be quiet before it is compiled
    #[arg(long, value_name = "TIME", default_value = "100ms", value_parser = time)]
    pub debounce_after: Duration,
    /// Longest wait for that quiet
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time)]
    pub debounce_max: Duration,
    /// Least severe messages logged: error, warn, info or debug
    #[arg(
        long,
        visible_alias = "log_output_level",
        value_name = "LEVEL",
        default_value = "info",
        value_parser = level
    )]
    pub log_level: LevelFilter,
    /// Only warnings and errors
    #[arg(long)]
    pub quiet: bool,
    /// Inherited descriptor that one line of JSON is written to when all ports are bound
    #[arg(long, value_name = "N", hide = true)]
    pub status_fd: Option<u32>,
}

/// Istio's own way to say `--scope-gateway-to-namespace`.
const SCOPE_VARIABLE: &str = "PILOT_SCOPE_GATEWAY_TO_NAMESPACE";

/// What becomes of servers whose Secret is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnSecretDeleted {
    /// They serve on with what it held last.
    Serve,
    /// Their handshakes fail.
    Fail,
}

/// Label names and values.
pub type Labels = BTreeMap<String, String>;

impl Settings {
    /// Reads a command line; the first item is the program.
    ///
    /// # Errors
    /// clap's, among them the texts of `--help` and `--version`.
    pub fn read(args: impl Iterator<Item = OsString>) -> Result<Self, clap::Error> {
        Self::try_parse_from(args)
    }

    /// Gateways of other namespaces are left alone, by flag or as Istio is told.
    pub fn scopes_gateways(&self) -> bool {
        let is_told = |value: OsString| value.eq_ignore_ascii_case("true");
        self.scope_gateway_to_namespace || std::env::var_os(SCOPE_VARIABLE).is_some_and(is_told)
    }

    /// What is logged.
    pub fn log_filter(&self) -> LevelFilter {
        if self.quiet { self.log_level.min(LevelFilter::WARN) } else { self.log_level }
    }
}

/// What is wrong with a command line, on one line: the flag, the value and what is allowed.
/// Without the program's name and without a line end.
pub fn one_line(error: &clap::Error) -> String {
    let text = |kind| error.get(kind).map(context_text);
    let flag = text(ContextKind::InvalidArg).unwrap_or_default();
    let value = text(ContextKind::InvalidValue).unwrap_or_default();
    let allowed = text(ContextKind::ValidValue)
        .map(|values| format!(": allowed are {values}"))
        .unwrap_or_default();
    match error.kind() {
        ErrorKind::UnknownArgument => {
            let hint = text(ContextKind::SuggestedArg)
                .map(|name| format!("did you mean {name}? "))
                .unwrap_or_default();
            format!("unknown argument {flag}: {hint}--help lists what is allowed")
        }
        ErrorKind::InvalidSubcommand => {
            let name = text(ContextKind::InvalidSubcommand).unwrap_or_default();
            let hint = text(ContextKind::SuggestedSubcommand)
                .map(|name| format!("did you mean {name}? "))
                .unwrap_or_default();
            format!("unknown command {name}: {hint}--help lists what is allowed")
        }
        ErrorKind::MissingSubcommand => {
            let names = text(ContextKind::ValidSubcommand).unwrap_or_default();
            format!("a command is missing: allowed are {names}")
        }
        ErrorKind::InvalidValue if value.is_empty() => format!("{flag} needs a value{allowed}"),
        ErrorKind::InvalidValue => format!("`{value}` is not a value for {flag}{allowed}"),
        ErrorKind::ValueValidation => {
            let cause = std::error::Error::source(error).map(ToString::to_string);
            format!("`{value}` is not a value for {flag}: {}", cause.unwrap_or_default())
        }
        ErrorKind::MissingRequiredArgument => format!("{flag} is missing"),
        ErrorKind::ArgumentConflict => match text(ContextKind::PriorArg) {
            Some(prior) if prior != flag => format!("{flag} cannot stand beside {prior}"),
            _ => format!("{flag} may be given only once"),
        },
        _ => first_paragraph(&error.to_string()),
    }
}

fn context_text(value: &ContextValue) -> String {
    match value {
        ContextValue::Strings(many) => many.join(", "),
        other => other.to_string(),
    }
}

/// clap's own words up to the first empty line.
fn first_paragraph(rendered: &str) -> String {
    let lines = rendered.lines().map(str::trim).take_while(|line| !line.is_empty());
    let joined = lines.collect::<Vec<_>>().join(" ");
    joined.strip_prefix("error: ").unwrap_or(&joined).to_owned()
}

/// A port; also as Istio writes its own, `:15010`.
fn port(text: &str) -> Result<u16, String> {
    let number = text.strip_prefix(':').unwrap_or(text);
    number.parse().map_err(|_| "allowed are 0 to 65535, 0 picks a free port".to_owned())
}

fn address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| "allowed are IPv4 and IPv6 addresses".to_owned())
}

/// The cluster domain; a pod's DNS domain such as `shop.svc.cluster.local` names it too.
fn domain(text: &str) -> Result<String, String> {
    let cluster = text.split_once(".svc.").map_or(text, |(_, cluster)| cluster);
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    if cluster.split('.').all(is_label) {
        Ok(cluster.to_ascii_lowercase())
    } else {
        Err("allowed are domain names such as cluster.local".to_owned())
    }
}

fn locality(text: &str) -> Result<String, String> {
    let parts: Vec<&str> = text.split('/').collect();
    let is_part = |part: &&str| !part.is_empty() && !part.contains(['*', ' ']);
    if text.is_empty() || (parts.len() <= 3 && parts.iter().all(is_part)) {
        Ok(text.to_owned())
    } else {
        Err("allowed are region, region/zone and region/zone/subzone".to_owned())
    }
}

fn labels(text: &str) -> Result<Labels, String> {
    let mut labels = Labels::new();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (name, value) = pair
            .split_once('=')
            .filter(|(name, _)| !name.is_empty())
            .ok_or_else(|| format!("`{pair}` is not of the form name=value"))?;
        if labels.insert(name.to_owned(), value.to_owned()).is_some() {
            return Err(format!("the label {name} is given twice"));
        }
    }
    Ok(labels)
}

fn time(text: &str) -> Result<Duration, String> {
    duration::parse(text).map_err(|error| error.to_string())
}

/// A level by itself, or the first of Istio's `scope:level` list.
fn level(text: &str) -> Result<LevelFilter, String> {
    let first = text.split(',').next().unwrap_or_default();
    match first.rsplit_once(':').map_or(first, |(_, level)| level) {
        "none" => Ok(LevelFilter::OFF),
        "error" | "fatal" => Ok(LevelFilter::ERROR),
        "warn" => Ok(LevelFilter::WARN),
        "info" => Ok(LevelFilter::INFO),
        "debug" => Ok(LevelFilter::DEBUG),
        _ => Err("allowed are none, error, warn, info and debug".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(flags: &str) -> Result<Settings, clap::Error> {
        let words = std::iter::once("fairway-control").chain(flags.split_whitespace());
        Settings::read(words.map(OsString::from))
    }

    #[test]
    fn the_command_is_consistent() {
        <Settings as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn defaults_are_those_of_the_interface() {
        let settings = read("--config-dir d").unwrap();
        let ports = (settings.grpc_port, settings.debug_port, settings.monitoring_port);
        assert_eq!(ports, (15010, 8080, 15014));
        assert_eq!(settings.listen_address.to_string(), "127.0.0.1");
        assert_eq!(settings.gateway_labels["istio"], "ingressgateway");
        assert_eq!(settings.debounce_after, Duration::from_millis(100));
        assert_eq!(settings.debounce_max, Duration::from_secs(10));
        assert_eq!(settings.log_filter(), LevelFilter::INFO);
    }

    #[test]
    fn istios_spellings_are_understood() {
        let settings = read(
            "--configDir=d --grpcAddr :1 --httpAddr :2 --monitoringAddr=:3 \
             --log_output_level=default:debug,ads:info --domain shop.svc.example.org --quiet",
        )
        .unwrap();
        let ports = (settings.grpc_port, settings.debug_port, settings.monitoring_port);
        assert_eq!(ports, (1, 2, 3));
        assert_eq!(settings.log_level, LevelFilter::DEBUG);
        assert_eq!(settings.log_filter(), LevelFilter::WARN);
        assert_eq!(settings.domain, "example.org");
    }

    #[test]
    fn a_complaint_is_one_line_that_names_flag_and_remedy() {
        for (flags, parts) in [
            ("--config-dir d --kube", ["--config-dir <DIR>", "--kube"]),
            ("--config-dir d --nonsense", ["--nonsense", "--help"]),
            ("--config-dir d --grpc-prot 1", ["--grpc-prot", "did you mean --grpc-port?"]),
            ("--config-dir d --grpc-port 70000", ["`70000`", "--grpc-port <PORT>: allowed are 0"]),
            ("--config-dir d --debounce-after 5", ["`5` is not", "100ms"]),
            ("--config-dir d --gateway-labels a", ["--gateway-labels", "name=value"]),
            ("--config-dir d --listen-address x", ["--listen-address", "IPv4"]),
            ("--config-dir d --log-level loud", ["`loud`", "none, error, warn, info and debug"]),
            ("--config-dir d --domain a..b", ["`a..b`", "cluster.local"]),
            ("--config-dir d --grpc-port", ["--grpc-port", "needs a value"]),
            ("--config-dir d --config-dir e", ["--config-dir", "only once"]),
            ("--config-dir d stray", ["stray", "--help"]),
        ] {
            let line = one_line(&read(flags).unwrap_err());
            assert!(!line.contains('\n'), "{line}");
            assert!(parts.iter().all(|part| line.contains(part)), "{flags}: {line}");
        }
    }
}
