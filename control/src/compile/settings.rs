//! The settings of the gateway as a whole, from MeshConfig: trusted proxies, path normalisation,
//! access logs and tracing (Istio contract 6).

use fairway_shared::snapshot::route::Share;
use fairway_shared::snapshot::settings::{
    AccessLog, ClientCertHeader, Collector, CustomTag, GatewaySettings, LogFormat,
    PathNormalization, Tracing,
};

use super::findings::{FieldPath, Findings, NOT_FOUND, Scope};
use super::mesh::{Mesh, one_of};
use super::quantities::{positive_ms, read_share};
use crate::object::mesh::{self as object, ExtensionProvider, FileLogFormat, MeshConfig};
use crate::object::virtual_service::Percent;

/// Where the access log of provider `envoy` goes, and any other that names no file.
const STDOUT: &str = "/dev/stdout";
/// Name of the file log that every mesh has.
const BUILT_IN_LOG: &str = "envoy";
/// Zipkin's API, version 2.
const ZIPKIN_PATH: &str = "/api/v2/spans";
/// Share of requests that make spans where nothing says otherwise: 1 %.
const SAMPLING: Share = Share(10_000);
/// See the module.
pub(super) fn gateway_settings(mesh: &Mesh<'_>, findings: &mut Findings) -> GatewaySettings {
    let Some(object) = mesh.object else { return GatewaySettings::default() };
    let scope = &mut findings.scope(object, FieldPath::Mesh);
    let topology = &mesh.config.default_config.gateway_topology;
    GatewaySettings {
        trusted_proxies: topology.num_trusted_proxies,
        path_normalization: path_normalization(mesh.config, scope),
        client_cert_header: client_cert_header(&topology.forward_client_cert_details, scope),
        access_logs: access_logs(mesh.config, scope),
        tracing: tracing(mesh.config, scope),
        metrics: Vec::new(),
        fails_without_secret: false,
        dns_refresh_ms: mesh
            .config
            .dns_refresh_rate
            .as_ref()
            .and_then(|text| positive_ms(text, "dnsRefreshRate", scope)),
    }
}

fn path_normalization(config: &MeshConfig, scope: &mut Scope<'_>) -> PathNormalization {
    let words = [
        ("DEFAULT", PathNormalization::Base),
        ("BASE", PathNormalization::Base),
        ("NONE", PathNormalization::None),
        ("MERGE_SLASHES", PathNormalization::MergeSlashes),
        ("DECODE_AND_MERGE_SLASHES", PathNormalization::DecodeAndMergeSlashes),
    ];
    let field = "pathNormalization.normalization";
    one_of(&config.path_normalization.normalization, field, &words, scope)
}

fn client_cert_header(written: &str, scope: &mut Scope<'_>) -> ClientCertHeader {
    let words = [
        ("SANITIZE_SET", ClientCertHeader::SanitizeSet),
        ("UNDEFINED", ClientCertHeader::SanitizeSet),
        ("SANITIZE", ClientCertHeader::Sanitize),
        ("FORWARD_ONLY", ClientCertHeader::ForwardOnly),
        ("APPEND_FORWARD", ClientCertHeader::AppendForward),
        ("ALWAYS_FORWARD_ONLY", ClientCertHeader::AlwaysForwardOnly),
    ];
    let field = "defaultConfig.gatewayTopology.forwardClientCertDetails";
    one_of(written, field, &words, scope)
}

/// The file of `accessLogFile`, and those of the default providers.
fn access_logs(config: &MeshConfig, scope: &mut Scope<'_>) -> Vec<AccessLog> {
    let mut logs = Vec::new();
    if !config.access_log_file.is_empty() {
        logs.push(AccessLog {
            file: config.access_log_file.clone(),
            format: mesh_format(config, scope),
            filter: None,
        });
    }
    for name in &config.default_providers.access_logging {
        match provider_log(config, name, scope) {
            Ok(log) => logs.push(log),
            Err(problem) => {
                let remedy = "name an extension provider that writes a file, or `envoy`";
                scope.error(NOT_FOUND, "defaultProviders.accessLogging", problem, remedy);
            }
        }
    }
    logs
}

/// How lines look that no provider gives a format of its own.
fn mesh_format(config: &MeshConfig, scope: &mut Scope<'_>) -> LogFormat {
    let words = [("TEXT", false), ("JSON", true)];
    let is_json = one_of(&config.access_log_encoding, "accessLogEncoding", &words, scope);
    match (is_json, config.access_log_format.as_str()) {
        (false, "") => LogFormat::default_text(),
        (false, text) => LogFormat::Text(text.to_owned()),
        (true, "") => LogFormat::default_json(),
        (true, text) => match serde_json::from_str(text) {
            Ok(serde_json::Value::Object(keys)) => json_format(&keys),
            _ => {
                let remedy = "write a JSON object of texts, or leave it out";
                scope.invalid("accessLogFormat", "is no JSON object", remedy);
                LogFormat::default_json()
            }
        },
    }
}

fn json_format(keys: &serde_json::Map<String, serde_json::Value>) -> LogFormat {
    let text = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    LogFormat::Json(keys.iter().map(|(key, value)| (key.clone(), text(value))).collect())
}

/// The log of a provider, of MeshConfig's or built in.
///
/// # Errors
/// There is no such provider, or it writes no file.
pub(super) fn provider_log(
    config: &MeshConfig,
    name: &str,
    scope: &mut Scope<'_>,
) -> Result<AccessLog, String> {
    let Some(provider) = provider(config, name) else {
        if name == BUILT_IN_LOG {
            let format = mesh_format(config, scope);
            return Ok(AccessLog { file: STDOUT.to_owned(), format, filter: None });
        }
        return Err(format!("names provider `{name}`, which is unknown"));
    };
    let Some(log) = &provider.envoy_file_access_log else {
        return Err(format!("names provider `{name}`, which writes no file"));
    };
    let file = if log.path.is_empty() { STDOUT } else { &log.path }.to_owned();
    let format = match &log.log_format {
        Some(FileLogFormat { labels: Some(labels), .. }) => json_format(labels),
        Some(FileLogFormat { text: Some(text), .. }) => LogFormat::Text(text.clone()),
        _ => mesh_format(config, scope),
    };
    Ok(AccessLog { file, format, filter: None })
}

fn provider<'c>(config: &'c MeshConfig, name: &str) -> Option<&'c ExtensionProvider> {
    config.extension_providers.iter().find(|provider| provider.name == name)
}

/// Spans to the first default provider, else to the Zipkin of `defaultConfig`.
fn tracing(config: &MeshConfig, scope: &mut Scope<'_>) -> Option<Tracing> {
    if config.enable_tracing == Some(false) {
        return None;
    }
    let collector = match config.default_providers.tracing.first() {
        Some(name) => match provider_collector(config, name) {
            Ok(collector) => collector,
            Err(problem) => {
                let remedy = "name an extension provider of kind zipkin or opentelemetry";
                scope.error(NOT_FOUND, "defaultProviders.tracing", problem, remedy);
                return None;
            }
        },
        None => {
            let zipkin = config.default_config.tracing.as_ref()?.zipkin.as_ref()?;
            let address = zipkin.address.clone();
            Collector::Zipkin { address, path: ZIPKIN_PATH.to_owned() }
        }
    };
    Some(traced_to(collector, config, scope))
}

/// Tracing to a collector, under the mesh's sampling and tags.
pub(super) fn traced_to(
    collector: Collector,
    config: &MeshConfig,
    scope: &mut Scope<'_>,
) -> Tracing {
    let proxy = config.default_config.tracing.as_ref();
    let uses_w3c = matches!(collector, Collector::OpenTelemetry { .. });
    let field = "defaultConfig.tracing.sampling";
    let sampling = proxy
        .and_then(|tracing| tracing.sampling)
        .map_or(SAMPLING, |value| read_share(Percent { value }, field, scope));
    let tags = proxy.into_iter().flat_map(|tracing| &tracing.custom_tags);
    let custom_tags = tags.filter_map(|(name, tag)| {
        let read = read_tag(tag);
        if read.is_none() {
            let remedy = "set literal, environment or header";
            scope.invalid(
                "defaultConfig.tracing.customTags",
                format_args!("`{name}` has no value"),
                remedy,
            );
        }
        Some((name.clone(), read?))
    });
    Tracing {
        collector,
        sampling,
        custom_tags: custom_tags.collect(),
        uses_w3c,
        is_reporting: true,
    }
}

/// The value of a tag; `None` if it says none.
pub(super) fn read_tag(tag: &object::CustomTag) -> Option<CustomTag> {
    if let Some(literal) = &tag.literal {
        return Some(CustomTag::Literal(literal.value.clone()));
    }
    if let Some(environment) = &tag.environment {
        let (name, default) = (environment.name.clone(), environment.default_value.clone());
        return Some(CustomTag::Environment { name, default });
    }
    let header = tag.header.as_ref()?;
    let (name, default) = (header.name.to_ascii_lowercase(), header.default_value.clone());
    Some(CustomTag::Header { name, default })
}

/// The collector of a provider.
///
/// # Errors
/// There is no such provider, or it takes no spans.
pub(super) fn provider_collector(config: &MeshConfig, name: &str) -> Result<Collector, String> {
    let Some(provider) = provider(config, name) else {
        return Err(format!("names provider `{name}`, which is unknown"));
    };
    let address = |to: &object::SpanCollector| {
        // A namespace in front only says where Istio looks for the host.
        let host = to.service.rsplit_once('/').map_or(to.service.as_str(), |(_, host)| host);
        format!("{host}:{}", to.port)
    };
    match (&provider.zipkin, &provider.opentelemetry) {
        (Some(zipkin), _) => {
            let path = if zipkin.path.is_empty() { ZIPKIN_PATH } else { &zipkin.path };
            Ok(Collector::Zipkin { address: address(zipkin), path: path.to_owned() })
        }
        (None, Some(collector)) => Ok(Collector::OpenTelemetry {
            address: address(collector),
            http_path: collector.http.as_ref().map(|http| http.path.clone()),
        }),
        (None, None) => Err(format!("names provider `{name}`, which takes no spans")),
    }
}
