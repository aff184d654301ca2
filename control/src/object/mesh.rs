//! MeshConfig: what holds for the mesh as a whole, from `--mesh-config` or from the key `mesh` of
//! ConfigMap `istio` in the root namespace (Istio contract 0).
//!
//! Only fields that concern a gateway have a place here; the others of Istio's MeshConfig are
//! [`WITHOUT_EFFECT`], so that a mesh's real file draws no findings about them.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::traffic_policy::{Keepalive, LocalityLbSetting, TrafficPolicy};
use super::virtual_service::Retries;

/// Name of the ConfigMap.
pub const CONFIG_MAP_NAME: &str = "istio";
/// Key of the ConfigMap that holds MeshConfig as YAML.
pub const CONFIG_MAP_KEY: &str = "mesh";

/// Fields of MeshConfig and, below `defaultConfig.`, of ProxyConfig that say nothing to a gateway
/// of Fairway's build: sidecars, the control plane's own workings, other proxies' internals.
pub const WITHOUT_EFFECT: &[&str] = &[
    "ca",
    "caCertificates",
    "certificates",
    "configSources",
    "defaultConfig.binaryPath",
    "defaultConfig.caCertificatesPem",
    "defaultConfig.concurrency",
    "defaultConfig.configPath",
    "defaultConfig.controlPlaneAuthPolicy",
    "defaultConfig.customConfigFile",
    "defaultConfig.discoveryAddress",
    "defaultConfig.envoyAccessLogService",
    "defaultConfig.envoyMetricsService",
    "defaultConfig.fileFlushInterval",
    "defaultConfig.fileFlushMinSizeKb",
    "defaultConfig.holdApplicationUntilProxyStarts",
    "defaultConfig.image",
    "defaultConfig.interceptionMode",
    "defaultConfig.meshId",
    "defaultConfig.parentShutdownDuration",
    "defaultConfig.privateKeyProvider",
    "defaultConfig.proxyAdminPort",
    "defaultConfig.proxyBootstrapTemplatePath",
    "defaultConfig.proxyStatsMatcher",
    "defaultConfig.readinessProbe",
    "defaultConfig.runtimeValues",
    "defaultConfig.serviceCluster",
    "defaultConfig.statNameLength",
    "defaultConfig.statsCompression",
    "defaultConfig.statsdUdpAddress",
    "defaultConfig.statusPort",
    "defaultConfig.zipkinAddress",
    "disableEnvoyListenerLog",
    "discoverySelectors",
    "enableAutoMtls",
    "enableEnvoyAccessLogService",
    "enablePrometheusMerge",
    "hboneIdleTimeout",
    "inboundClusterStatName",
    "inboundTrafficPolicy",
    "meshMTLS",
    "outboundClusterStatName",
    "outboundTrafficPolicy",
    "protocolDetectionTimeout",
    "proxyHttpPort",
    "proxyInboundListenPort",
    "proxyListenPort",
    "serviceScopeConfigs",
    "serviceSettings",
    "thriftConfig",
    "trustDomainAliases",
    "verifyCertificateAtClient",
];

/// Kinds of extension providers that are not read here.
pub const OTHER_PROVIDERS: &[&str] = &[
    "datadog",
    "envoyExtAuthzGrpc",
    "envoyExtAuthzHttp",
    "envoyHttpAls",
    "envoyOtelAls",
    "envoyTcpAls",
    "lightstep",
    "opencensus",
    "prometheus",
    "sds",
    "skywalking",
    "stackdriver",
];

/// The fields that are read. Absent ones have Istio's defaults, which compile knows.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MeshConfig {
    /// Namespace whose objects hold for the mesh; empty = `istio-system`.
    #[serde(alias = "root_namespace")]
    pub root_namespace: String,
    /// First part of workload identities; empty = `cluster.local`.
    #[serde(alias = "trust_domain")]
    pub trust_domain: String,
    /// Go duration; absent = 10 s.
    #[serde(alias = "connect_timeout")]
    pub connect_timeout: Option<String>,
    /// Go duration; absent = 60 s.
    #[serde(alias = "dns_refresh_rate")]
    pub dns_refresh_rate: Option<String>,
    /// For upstream connections whose rule sets none.
    #[serde(alias = "tcp_keepalive")]
    pub tcp_keepalive: Option<Keepalive>,
    /// Connection pool and ejection where no rule says otherwise.
    #[serde(alias = "default_traffic_policy")]
    pub default_traffic_policy: Option<TrafficPolicy>,
    /// `UPGRADE` or `DO_NOT_UPGRADE`.
    #[serde(alias = "h2_upgrade_policy")]
    pub h2_upgrade_policy: String,
    /// For routes without `retries`.
    #[serde(alias = "default_http_retry_policy")]
    pub default_http_retry_policy: Option<Retries>,
    /// For VirtualServices without `exportTo`.
    #[serde(alias = "default_virtual_service_export_to")]
    pub default_virtual_service_export_to: Vec<String>,
    /// For DestinationRules without `exportTo`.
    #[serde(alias = "default_destination_rule_export_to")]
    pub default_destination_rule_export_to: Vec<String>,
    /// For Services without the annotation.
    #[serde(alias = "default_service_export_to")]
    pub default_service_export_to: Vec<String>,
    /// Path normalisation.
    #[serde(alias = "path_normalization")]
    pub path_normalization: PathNormalization,
    /// Empty = no log.
    #[serde(alias = "access_log_file")]
    pub access_log_file: String,
    /// `TEXT` or `JSON`.
    #[serde(alias = "access_log_encoding")]
    pub access_log_encoding: String,
    /// Empty = Istio's own.
    #[serde(alias = "access_log_format")]
    pub access_log_format: String,
    /// Absent = true.
    #[serde(alias = "enable_tracing")]
    pub enable_tracing: Option<bool>,
    /// Named receivers of logs, spans and metrics, and authorizers.
    #[serde(alias = "extension_providers")]
    pub extension_providers: Vec<ExtensionProvider>,
    /// Providers used where no Telemetry object says otherwise.
    #[serde(alias = "default_providers")]
    pub default_providers: DefaultProviders,
    /// Locality balancing where no rule says otherwise.
    #[serde(alias = "locality_lb_setting")]
    pub locality_lb_setting: Option<LocalityLbSetting>,
    /// Least TLS version and algorithms of gateway servers.
    #[serde(alias = "tls_defaults")]
    pub tls_defaults: Option<TlsDefaults>,
    /// Class of the Ingresses that are taken; empty = `istio`.
    #[serde(alias = "ingress_class")]
    pub ingress_class: String,
    /// `STRICT`, `DEFAULT` or `OFF`.
    #[serde(alias = "ingress_controller_mode")]
    pub ingress_controller_mode: String,
    /// Service whose addresses are written into Ingress status.
    #[serde(alias = "ingress_service")]
    pub ingress_service: String,
    /// Value of label `istio` of the gateway that serves Ingresses.
    #[serde(alias = "ingress_selector")]
    pub ingress_selector: String,
    /// For every proxy, gateways included.
    #[serde(alias = "default_config")]
    pub default_config: ProxyConfig,
}

/// `pathNormalization`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct PathNormalization {
    /// `DEFAULT`, `NONE`, `BASE`, `MERGE_SLASHES` or `DECODE_AND_MERGE_SLASHES`.
    pub normalization: String,
}

/// `defaultProviders`: names of extension providers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DefaultProviders {
    /// All of these write.
    #[serde(alias = "access_logging")]
    pub access_logging: Vec<String>,
    /// The first takes spans.
    pub tracing: Vec<String>,
    /// Only `prometheus` is served.
    pub metrics: Vec<String>,
}

/// `tlsDefaults`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TlsDefaults {
    /// `TLSV1_2`, …; empty = Istio's default.
    #[serde(alias = "min_protocol_version")]
    pub min_protocol_version: String,
    /// OpenSSL names.
    #[serde(alias = "cipher_suites")]
    pub cipher_suites: Vec<String>,
    /// Curves.
    #[serde(alias = "ecdh_curves")]
    pub ecdh_curves: Vec<String>,
}

/// `defaultConfig`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProxyConfig {
    /// What stands in front of the gateway.
    #[serde(alias = "gateway_topology")]
    pub gateway_topology: GatewayTopology,
    /// Spans where no provider is named.
    pub tracing: Option<ProxyTracing>,
    /// Headers the gateway writes; not in force, the data plane's `--server-header` is.
    #[serde(alias = "proxy_headers")]
    pub proxy_headers: Option<serde_json::Value>,
    /// Environment of the gateway: `ISTIO_META_…`.
    #[serde(alias = "proxy_metadata")]
    pub proxy_metadata: BTreeMap<String, String>,
    /// Go duration; the data plane's flag comes first.
    #[serde(alias = "drain_duration")]
    pub drain_duration: Option<String>,
    /// Go duration; the data plane's environment comes first.
    #[serde(alias = "termination_drain_duration")]
    pub termination_drain_duration: Option<String>,
}

/// `gatewayTopology`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewayTopology {
    /// Trusted proxies in front (Istio contract 6.6).
    #[serde(alias = "num_trusted_proxies")]
    pub num_trusted_proxies: u32,
    /// `SANITIZE_SET`, `SANITIZE`, `FORWARD_ONLY`, `APPEND_FORWARD` or `ALWAYS_FORWARD_ONLY`.
    #[serde(alias = "forward_client_cert_details")]
    pub forward_client_cert_details: String,
    /// Present: every connection starts with a PROXY header.
    #[serde(alias = "proxy_protocol")]
    pub proxy_protocol: Option<serde_json::Map<String, serde_json::Value>>,
}

/// `defaultConfig.tracing`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProxyTracing {
    /// Zipkin collector.
    pub zipkin: Option<ZipkinAddress>,
    /// Per cent of requests, 0 to 100; absent = 1.
    pub sampling: Option<f64>,
    /// Tags beyond Istio's own.
    #[serde(alias = "custom_tags")]
    pub custom_tags: BTreeMap<String, CustomTag>,
    /// Longest path in a span, in bytes.
    #[serde(alias = "max_path_tag_length")]
    pub max_path_tag_length: Option<u32>,
}

/// `tracing.zipkin`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ZipkinAddress {
    /// `host:port`.
    pub address: String,
}

/// One tag: exactly one field is set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct CustomTag {
    /// As written.
    pub literal: Option<LiteralTag>,
    /// Environment of the data plane.
    pub environment: Option<NamedTag>,
    /// Request header.
    pub header: Option<NamedTag>,
}

/// `customTags.*.literal`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct LiteralTag {
    /// The value.
    pub value: String,
}

/// `customTags.*.environment` and `customTags.*.header`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NamedTag {
    /// Of the variable or header.
    pub name: String,
    /// If it is absent.
    #[serde(alias = "default_value")]
    pub default_value: String,
}

/// `extensionProviders[]`: a name and exactly one kind.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExtensionProvider {
    /// Unique.
    pub name: String,
    /// A log file.
    #[serde(alias = "envoy_file_access_log")]
    pub envoy_file_access_log: Option<FileAccessLog>,
    /// Spans to Zipkin.
    pub zipkin: Option<SpanCollector>,
    /// Spans over OpenTelemetry.
    pub opentelemetry: Option<SpanCollector>,
    /// Every other kind, by its name: told from a misspelt one by [`OTHER_PROVIDERS`].
    #[serde(flatten)]
    pub other: BTreeMap<String, serde_json::Value>,
}

/// `extensionProviders[].envoyFileAccessLog`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FileAccessLog {
    /// Empty = `/dev/stdout`.
    pub path: String,
    /// Absent = Istio's own text.
    #[serde(alias = "log_format")]
    pub log_format: Option<FileLogFormat>,
}

/// `envoyFileAccessLog.logFormat`: one of the two.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct FileLogFormat {
    /// Text with `%OPERATOR%`s.
    pub text: Option<String>,
    /// One JSON object a line.
    pub labels: Option<serde_json::Map<String, serde_json::Value>>,
}

/// `extensionProviders[].zipkin` and `.opentelemetry`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SpanCollector {
    /// Host, perhaps `namespace/host`.
    pub service: String,
    /// Its port.
    pub port: u32,
    /// Path of Zipkin's API; empty = `/api/v2/spans`.
    pub path: String,
    /// Longest path in a span, in bytes.
    #[serde(alias = "max_tag_length")]
    pub max_tag_length: Option<u32>,
    /// Zipkin: 64-bit trace ids, which Fairway does not make.
    #[serde(alias = "enable64bit_trace_id")]
    pub enable64bit_trace_id: Option<bool>,
    /// OpenTelemetry over HTTP instead of gRPC.
    pub http: Option<SpanHttp>,
    /// Not served.
    #[serde(alias = "resource_detectors")]
    pub resource_detectors: Option<serde_json::Value>,
    /// Not served.
    #[serde(alias = "dynatrace_sampler")]
    pub dynatrace_sampler: Option<serde_json::Value>,
    /// Zipkin: which headers carry the context.
    #[serde(alias = "trace_context_option")]
    pub trace_context_option: String,
}

/// `opentelemetry.http`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct SpanHttp {
    /// Path of the collector.
    pub path: String,
    /// Go duration.
    pub timeout: Option<String>,
    /// Not served.
    pub headers: Option<serde_json::Value>,
}
