//! Traffic policies of DestinationRules and MeshConfig, block by block (Istio contract 3.2 to 3.6).
//!
//! Durations are Go-style texts. Numbers that may not be negative are unsigned: the source refuses
//! the others by name.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::virtual_service::PortSelector;

/// `trafficPolicy`: blocks that are replaced whole, never merged (Istio contract 3.2).
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TrafficPolicy {
    /// Balancing.
    #[serde(alias = "load_balancer")]
    pub load_balancer: Option<LoadBalancer>,
    /// Connections.
    #[serde(alias = "connection_pool")]
    pub connection_pool: Option<ConnectionPool>,
    /// Ejection.
    #[serde(alias = "outlier_detection")]
    pub outlier_detection: Option<OutlierDetection>,
    /// Upstream TLS.
    pub tls: Option<ClientTls>,
    /// Tunnel; not in force.
    pub tunnel: Option<serde_json::Value>,
    /// PROXY protocol.
    #[serde(alias = "proxy_protocol")]
    pub proxy_protocol: Option<ProxyProtocol>,
    /// Retries as a share of what runs.
    #[serde(alias = "retry_budget")]
    pub retry_budget: Option<RetryBudget>,
    /// By service port.
    #[serde(alias = "port_level_settings")]
    pub port_level_settings: Vec<PortPolicy>,
}

/// `portLevelSettings[]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PortPolicy {
    /// Service port.
    pub port: Option<PortSelector>,
    /// Balancing.
    #[serde(alias = "load_balancer")]
    pub load_balancer: Option<LoadBalancer>,
    /// Connections.
    #[serde(alias = "connection_pool")]
    pub connection_pool: Option<ConnectionPool>,
    /// Ejection.
    #[serde(alias = "outlier_detection")]
    pub outlier_detection: Option<OutlierDetection>,
    /// Upstream TLS.
    pub tls: Option<ClientTls>,
}

/// `loadBalancer` (Istio contract 3.3).
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LoadBalancer {
    /// `RANDOM`, `ROUND_ROBIN`, …; empty = unset.
    pub simple: String,
    /// Excludes `simple`.
    #[serde(alias = "consistent_hash")]
    pub consistent_hash: Option<ConsistentHash>,
    /// Which endpoints come first.
    #[serde(alias = "locality_lb_setting")]
    pub locality_lb_setting: Option<LocalityLbSetting>,
    /// Newer alternative, of which only the presence counts.
    #[serde(alias = "zone_aware_lb_setting")]
    pub zone_aware_lb_setting: Option<serde_json::Value>,
    /// Slow start.
    pub warmup: Option<Warmup>,
    /// Slow start as it was written before `warmup`.
    #[serde(alias = "warmup_duration_secs")]
    pub warmup_duration_secs: Option<String>,
}

/// `consistentHash`: one key, at most one algorithm.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsistentHash {
    /// Key: a request header.
    #[serde(alias = "http_header_name")]
    pub http_header_name: String,
    /// Key: a cookie.
    #[serde(alias = "http_cookie")]
    pub http_cookie: Option<HttpCookie>,
    /// Key: the peer's address.
    #[serde(alias = "use_source_ip")]
    pub use_source_ip: Option<bool>,
    /// Key: a query parameter.
    #[serde(alias = "http_query_parameter_name")]
    pub http_query_parameter_name: String,
    /// Algorithm: a ring.
    #[serde(alias = "ring_hash")]
    pub ring_hash: Option<RingHash>,
    /// Algorithm: a Maglev table.
    pub maglev: Option<Maglev>,
    /// Deprecated form of `ringHash`.
    #[serde(alias = "minimum_ring_size")]
    pub minimum_ring_size: Option<u64>,
}

/// `consistentHash.httpCookie`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpCookie {
    /// Required.
    pub name: String,
    /// `Path` of an issued one.
    pub path: String,
    /// Absent = never issued, zero = for the session.
    pub ttl: Option<String>,
    /// Further attributes of an issued one.
    pub attributes: Vec<CookieAttribute>,
}

/// `consistentHash.httpCookie.attributes[]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CookieAttribute {
    /// `SameSite`.
    pub name: String,
    /// May be empty.
    pub value: String,
}

/// `consistentHash.ringHash`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RingHash {
    /// 0 = unset.
    #[serde(alias = "minimum_ring_size")]
    pub minimum_ring_size: u64,
}

/// `consistentHash.maglev`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Maglev {
    /// A prime.
    #[serde(alias = "table_size")]
    pub table_size: Option<u64>,
}

/// `localityLbSetting`, of a rule or of the mesh.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LocalityLbSetting {
    /// Absent = true.
    pub enabled: Option<bool>,
    /// Shares by the gateway's own locality.
    pub distribute: Vec<Distribute>,
    /// Regions to go to next.
    pub failover: Vec<Failover>,
    /// `label` or `label=value`, the most important first.
    #[serde(alias = "failover_priority")]
    pub failover_priority: Vec<String>,
}

/// `localityLbSetting.distribute[]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Distribute {
    /// Locality, perhaps with a trailing `*`.
    pub from: String,
    /// Percentages by locality.
    pub to: BTreeMap<String, u32>,
}

/// `localityLbSetting.failover[]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Failover {
    /// Region.
    pub from: String,
    /// Region.
    pub to: String,
}

/// `warmup`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Warmup {
    /// Required.
    pub duration: Option<String>,
    /// Percent, 10 unless given.
    #[serde(alias = "minimum_percent")]
    pub minimum_percent: Option<f64>,
    /// 1 unless given.
    pub aggression: Option<f64>,
}

/// `connectionPool` (Istio contract 3.4).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConnectionPool {
    /// For every protocol.
    pub tcp: Option<TcpPool>,
    /// For HTTP.
    pub http: Option<HttpPool>,
}

/// `connectionPool.tcp`. 0 = unset.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TcpPool {
    /// Open connections.
    #[serde(alias = "max_connections")]
    pub max_connections: u32,
    /// For a connection.
    #[serde(alias = "connect_timeout")]
    pub connect_timeout: Option<String>,
    /// For the HTTP pool too if that sets none; zero = never.
    #[serde(alias = "idle_timeout")]
    pub idle_timeout: Option<String>,
    /// Empty = with the system's values.
    #[serde(alias = "tcp_keepalive")]
    pub tcp_keepalive: Option<Keepalive>,
    /// Since it was opened.
    #[serde(alias = "max_connection_duration")]
    pub max_connection_duration: Option<String>,
}

/// `tcpKeepalive`, of a rule or of the mesh.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Keepalive {
    /// 0 = unset.
    pub probes: u32,
    /// Idle time before the first probe.
    pub time: Option<String>,
    /// Between probes.
    pub interval: Option<String>,
}

/// `connectionPool.http`. 0 = unset.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpPool {
    /// Requests that wait.
    #[serde(alias = "http1_max_pending_requests")]
    pub http1_max_pending_requests: u32,
    /// Requests that run.
    #[serde(alias = "http2_max_requests")]
    pub http2_max_requests: u32,
    /// 0 = unlimited.
    #[serde(alias = "max_requests_per_connection")]
    pub max_requests_per_connection: u32,
    /// Retries that run.
    #[serde(alias = "max_retries")]
    pub max_retries: u32,
    /// Zero = never.
    #[serde(alias = "idle_timeout")]
    pub idle_timeout: Option<String>,
    /// `UPGRADE`, `DO_NOT_UPGRADE`, `DEFAULT`.
    #[serde(alias = "h2_upgrade_policy")]
    pub h2_upgrade_policy: String,
    /// The version the client used.
    #[serde(alias = "use_client_protocol")]
    pub use_client_protocol: bool,
    /// Of one HTTP/2 connection.
    #[serde(alias = "max_concurrent_streams")]
    pub max_concurrent_streams: u32,
    /// HTTP/2 pings.
    #[serde(alias = "http2_keep_alive")]
    pub http2_keep_alive: Option<Http2KeepAlive>,
}

/// `connectionPool.http.http2KeepAlive`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Http2KeepAlive {
    /// Required.
    pub interval: Option<String>,
    /// Required.
    pub timeout: Option<String>,
}

/// `outlierDetection` (Istio contract 3.5). Empty = with the defaults.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OutlierDetection {
    /// Explicit 0 = not counted.
    #[serde(alias = "consecutive_5xx_errors")]
    pub consecutive_5xx_errors: Option<u32>,
    /// 0 = not counted.
    #[serde(alias = "consecutive_gateway_errors")]
    pub consecutive_gateway_errors: Option<u32>,
    /// Deprecated, ignored.
    #[serde(alias = "consecutive_errors")]
    pub consecutive_errors: Option<u32>,
    /// Own failures are counted apart.
    #[serde(alias = "split_external_local_origin_errors")]
    pub split_external_local_origin_errors: bool,
    /// Needs `splitExternalLocalOriginErrors`.
    #[serde(alias = "consecutive_local_origin_failures")]
    pub consecutive_local_origin_failures: Option<u32>,
    /// Between sweeps.
    pub interval: Option<String>,
    /// Times the number of ejections.
    #[serde(alias = "base_ejection_time")]
    pub base_ejection_time: Option<String>,
    /// Percent; 0 = unset.
    #[serde(alias = "max_ejection_percent")]
    pub max_ejection_percent: u32,
    /// Percent.
    #[serde(alias = "min_health_percent")]
    pub min_health_percent: u32,
    /// Statuses that count as errors.
    #[serde(alias = "outlier_detection_http_error_codes")]
    pub outlier_detection_http_error_codes: Vec<u32>,
}

/// `tls` towards the backend (Istio contract 3.6).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClientTls {
    /// `DISABLE`, `SIMPLE`, `MUTUAL`, `ISTIO_MUTUAL`.
    pub mode: String,
    /// Path.
    #[serde(alias = "client_certificate")]
    pub client_certificate: String,
    /// Path.
    #[serde(alias = "private_key")]
    pub private_key: String,
    /// Path; empty = the system's.
    #[serde(alias = "ca_certificates")]
    pub ca_certificates: String,
    /// Path.
    #[serde(alias = "ca_crl")]
    pub ca_crl: String,
    /// Secret of the gateway pod's namespace; excludes the paths.
    #[serde(alias = "credential_name")]
    pub credential_name: String,
    /// Any of these.
    #[serde(alias = "subject_alt_names")]
    pub subject_alt_names: Vec<String>,
    /// Server name sent.
    pub sni: String,
    /// Nothing of the backend's certificate is checked.
    #[serde(alias = "insecure_skip_verify")]
    pub insecure_skip_verify: Option<bool>,
}

/// `proxyProtocol`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProxyProtocol {
    /// `V1`, `V2`; empty = `V1`.
    pub version: String,
}

/// `retryBudget`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RetryBudget {
    /// 20 unless given.
    pub percent: Option<f64>,
    /// 3 unless given.
    #[serde(alias = "min_retry_concurrency")]
    pub min_retry_concurrency: Option<u32>,
}
