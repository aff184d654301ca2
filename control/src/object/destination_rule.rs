//! `networking.istio.io` DestinationRule (Istio contract 3).

use std::collections::BTreeMap;

use serde::Deserialize;

/// `spec`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DestinationRule {
    /// Service host, short, full or wildcard.
    pub host: String,
    /// Base policy.
    #[serde(alias = "traffic_policy")]
    pub traffic_policy: Option<TrafficPolicy>,
    /// Named label sets.
    pub subsets: Vec<Subset>,
    /// Visibility.
    #[serde(alias = "export_to")]
    pub export_to: Vec<String>,
    /// Limits the rule to pods with these labels in its own namespace.
    #[serde(alias = "workload_selector")]
    pub workload_selector: Option<WorkloadSelector>,
}

/// `spec.workloadSelector`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkloadSelector {
    /// All must hold.
    #[serde(alias = "match_labels")]
    pub match_labels: BTreeMap<String, String>,
}

/// `spec.subsets[]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Subset {
    /// Unique.
    pub name: String,
    /// Pod labels.
    pub labels: BTreeMap<String, String>,
    /// Overrides blocks of the base.
    #[serde(alias = "traffic_policy")]
    pub traffic_policy: Option<TrafficPolicy>,
}

/// A traffic policy: blocks that are replaced whole, never merged (Istio contract 3.2).
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TrafficPolicy {
    /// Balancing.
    #[serde(alias = "load_balancer")]
    pub load_balancer: Option<LoadBalancer>,
    /// Connection pool.
    #[serde(alias = "connection_pool")]
    pub connection_pool: Option<ConnectionPool>,
    /// Ejection; not yet in force.
    #[serde(alias = "outlier_detection")]
    pub outlier_detection: Option<serde_json::Value>,
    /// Upstream TLS; not yet in force.
    pub tls: Option<serde_json::Value>,
    /// Tunnel; not in force.
    pub tunnel: Option<serde_json::Value>,
    /// PROXY protocol; not yet in force.
    #[serde(alias = "proxy_protocol")]
    pub proxy_protocol: Option<serde_json::Value>,
    /// Retry budget; not yet in force.
    #[serde(alias = "retry_budget")]
    pub retry_budget: Option<serde_json::Value>,
    /// By service port.
    #[serde(alias = "port_level_settings")]
    pub port_level_settings: Vec<PortPolicy>,
}

/// `portLevelSettings[]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PortPolicy {
    /// Service port.
    pub port: Option<super::virtual_service::PortSelector>,
    /// Balancing.
    #[serde(alias = "load_balancer")]
    pub load_balancer: Option<LoadBalancer>,
    /// Connection pool.
    #[serde(alias = "connection_pool")]
    pub connection_pool: Option<ConnectionPool>,
    /// Ejection; not yet in force.
    #[serde(alias = "outlier_detection")]
    pub outlier_detection: Option<serde_json::Value>,
    /// Upstream TLS; not yet in force.
    pub tls: Option<serde_json::Value>,
}

/// `loadBalancer`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LoadBalancer {
    /// `RANDOM`, `ROUND_ROBIN`, …; empty = unset.
    pub simple: String,
    /// Not yet in force.
    #[serde(alias = "consistent_hash")]
    pub consistent_hash: Option<serde_json::Value>,
    /// Not yet in force.
    #[serde(alias = "locality_lb_setting")]
    pub locality_lb_setting: Option<serde_json::Value>,
    /// Not yet in force.
    pub warmup: Option<serde_json::Value>,
    /// Not yet in force.
    #[serde(alias = "warmup_duration_secs")]
    pub warmup_duration_secs: Option<String>,
}

/// `connectionPool`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ConnectionPool {
    /// For every protocol.
    pub tcp: Option<TcpPool>,
    /// For HTTP.
    pub http: Option<HttpPool>,
}

/// `connectionPool.tcp`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TcpPool {
    /// Not yet in force.
    #[serde(alias = "max_connections")]
    pub max_connections: u32,
    /// Go duration.
    #[serde(alias = "connect_timeout")]
    pub connect_timeout: Option<String>,
    /// Go duration; for the HTTP pool if that sets none.
    #[serde(alias = "idle_timeout")]
    pub idle_timeout: Option<String>,
    /// Not yet in force.
    #[serde(alias = "tcp_keepalive")]
    pub tcp_keepalive: Option<serde_json::Value>,
    /// Not yet in force.
    #[serde(alias = "max_connection_duration")]
    pub max_connection_duration: Option<String>,
}

/// `connectionPool.http`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpPool {
    /// Not yet in force.
    #[serde(alias = "http1_max_pending_requests")]
    pub http1_max_pending_requests: u32,
    /// Not yet in force.
    #[serde(alias = "http2_max_requests")]
    pub http2_max_requests: u32,
    /// 0 = unlimited.
    #[serde(alias = "max_requests_per_connection")]
    pub max_requests_per_connection: u32,
    /// Not yet in force.
    #[serde(alias = "max_retries")]
    pub max_retries: u32,
    /// Go duration.
    #[serde(alias = "idle_timeout")]
    pub idle_timeout: Option<String>,
    /// `UPGRADE`, `DO_NOT_UPGRADE`, `DEFAULT`.
    #[serde(alias = "h2_upgrade_policy")]
    pub h2_upgrade_policy: String,
    /// The version the client used.
    #[serde(alias = "use_client_protocol")]
    pub use_client_protocol: bool,
    /// Not yet in force.
    #[serde(alias = "max_concurrent_streams")]
    pub max_concurrent_streams: u32,
}
