//! Every metric: name, kind, unit, labels, in one table. Nothing else may name a metric.

/// Kind of a metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Only rises; the name ends in `_total`.
    Counter,
    /// Rises and falls.
    Gauge,
    /// Counts per bucket, with these upper bounds.
    Histogram(&'static [f64]),
}

/// A metric's definition.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Metric {
    /// As scraped.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// One sentence for the scrape's `HELP`.
    pub help: &'static str,
}

/// Upper bounds of Istio's standard histograms, in milliseconds or bytes (Istio contract 6.3).
pub const ISTIO_BOUNDS: &[f64] = &[
    0.5,
    1.0,
    5.0,
    10.0,
    25.0,
    50.0,
    100.0,
    250.0,
    500.0,
    1000.0,
    2500.0,
    5000.0,
    10_000.0,
    30_000.0,
    60_000.0,
    300_000.0,
    600_000.0,
    1_800_000.0,
    3_600_000.0,
];

macro_rules! metrics {
    ($($ident:ident = $name:literal, $kind:expr, $help:literal;)*) => {
        $(
            #[doc = $help]
            pub const $ident: Metric = Metric { name: $name, kind: $kind, help: $help };
        )*
        /// All of them.
        pub const ALL: &[Metric] = &[$($ident),*];
    };
}

metrics! {
    REQUESTS = "istio_requests_total", Kind::Counter,
        "Requests ended, by destination and outcome.";
    REQUEST_DURATION = "istio_request_duration_milliseconds", Kind::Histogram(ISTIO_BOUNDS),
        "Milliseconds from a request's head to the last byte of its response.";
    TCP_OPENED = "istio_tcp_connections_opened_total", Kind::Counter,
        "Connections of opaque bytes accepted for a destination.";
    TCP_CLOSED = "istio_tcp_connections_closed_total", Kind::Counter,
        "Connections of opaque bytes that ended, by outcome.";
    TCP_SENT_BYTES = "istio_tcp_sent_bytes_total", Kind::Counter,
        "Bytes sent to the clients of connections of opaque bytes.";
    TCP_RECEIVED_BYTES = "istio_tcp_received_bytes_total", Kind::Counter,
        "Bytes received from the clients of connections of opaque bytes.";
    REQUEST_BYTES = "istio_request_bytes", Kind::Histogram(ISTIO_BOUNDS),
        "Bytes of a request's body.";
    RESPONSE_BYTES = "istio_response_bytes", Kind::Histogram(ISTIO_BOUNDS),
        "Bytes of a response's body.";
    REQUEST_MESSAGES = "istio_request_messages_total", Kind::Counter,
        "gRPC messages from clients.";
    RESPONSE_MESSAGES = "istio_response_messages_total", Kind::Counter,
        "gRPC messages to clients.";
    METRICS_FOLDED = "fairway_metrics_folded_total", Kind::Counter,
        "Requests counted under `other`, because their destination has too many series.";
    WORKER_RESTARTS = "fairway_worker_restarts_total", Kind::Counter,
        "Worker processes started in the place of one that ended, by slot.";
    WORKER_CRASHES = "fairway_worker_crashes_total", Kind::Counter,
        "Workers that ended without being asked to, by slot and cause.";
    WORKER_STATE = "fairway_worker_state", Kind::Gauge,
        "1 for the state a slot is in, 0 for the others.";
    SNAPSHOT_VERSION = "fairway_snapshot_version", Kind::Gauge,
        "Version of the snapshot that a slot's worker serves.";
    SNAPSHOT_REJECTED = "fairway_snapshot_rejected_total", Kind::Counter,
        "Snapshots that a worker refused whole.";
    SNAPSHOT_APPLY = "fairway_snapshot_apply_seconds", Kind::Histogram(&[0.0001, 0.001, 0.01, 0.1, 1.0]),
        "Seconds that a worker's loop stood still to swap in a snapshot.";
    CONTROL_CONNECTED = "fairway_control_connected", Kind::Gauge,
        "Workers with a living stream from control.";
    LAST_GOOD_IN_USE = "fairway_last_good_in_use", Kind::Gauge,
        "Workers that serve a snapshot read from the last-good file.";
    SLOTS_LENT = "fairway_slots_lent", Kind::Gauge,
        "Slots without a serving worker whose listening sockets a sibling accepts from.";
    DOWNSTREAM_CONNECTIONS = "fairway_downstream_connections", Kind::Gauge,
        "Open client connections, by listener.";
    OVERLOAD_REJECTED = "fairway_overload_rejected_total", Kind::Counter,
        "Connections closed unread because there were too many, by listener and reason.";
    DOWNSTREAM_REFUSED = "fairway_downstream_refused_total", Kind::Counter,
        "What clients were refused before routing, by listener and reason.";
    TLS_HANDSHAKES = "fairway_tls_handshakes_total", Kind::Counter,
        "TLS handshakes ended, by listener and outcome.";
    UPSTREAM_CONNECTIONS = "fairway_upstream_connections", Kind::Gauge,
        "Open upstream connections, by cluster.";
    UPSTREAM_CONNECTS = "fairway_upstream_connects_total", Kind::Counter,
        "Attempts to connect to an endpoint, by cluster.";
    UPSTREAM_CONNECT_FAILURES = "fairway_upstream_connect_failures_total", Kind::Counter,
        "Attempts to connect to an endpoint that failed, by cluster.";
    UPSTREAM_RETRIES = "fairway_upstream_retries_total", Kind::Counter,
        "Requests tried again, by cluster.";
    UPSTREAM_OVERFLOWS = "fairway_upstream_overflows_total", Kind::Counter,
        "Times that a limit of a cluster was reached, by cluster and limit.";
    ENDPOINT_EJECTED = "fairway_endpoint_ejected", Kind::Gauge,
        "Endpoints that are ejected now, by cluster.";
    ENDPOINT_EJECTIONS = "fairway_endpoint_ejections_total", Kind::Counter,
        "Endpoints ejected for their failures, by cluster.";
    CLUSTER_APPLIED = "fairway_cluster_applied_total", Kind::Counter,
        "Changes of a cluster's policy or endpoints that workers applied, by cluster.";
    ACCESS_LOG_DROPPED = "fairway_access_log_dropped_total", Kind::Counter,
        "Lines of access logs that were lost because a file was too slow or could not be written.";
    SPANS_DROPPED = "fairway_spans_dropped_total", Kind::Counter,
        "Spans that were lost because their collector was too slow or did not take them.";
    PILOT_PUSHES = "pilot_xds_pushes", Kind::Counter,
        "Updates that control sent to workers.";
    PILOT_REJECTS = "pilot_total_xds_rejects", Kind::Counter,
        "Updates that a worker refused.";
    PILOT_CONNECTED = "pilot_xds", Kind::Gauge,
        "Workers connected to control.";
    PILOT_VIRTUAL_SERVICES = "pilot_virt_services", Kind::Gauge,
        "VirtualServices in the configuration.";
    PILOT_SERVICES = "pilot_services", Kind::Gauge,
        "Services in the configuration.";
    CONTROL_SNAPSHOT_VERSION = "fairway_control_snapshot_version", Kind::Gauge,
        "Version of the snapshot that control publishes.";
    CONTROL_IN_SYNC = "fairway_control_workers_in_sync", Kind::Gauge,
        "Connected workers that serve the version control publishes.";
    PILOT_CERTIFICATE_ERRORS = "pilot_sds_certificate_errors_total", Kind::Counter,
        "Secrets found missing, broken or out of date.";
    PILOT_REJECTED_CONFIGS = "pilot_total_rejected_configs", Kind::Gauge,
        "Servers and TLS matches that lost their port or server name to an older one, by object.";
    CONTROL_DELETED_SECRETS = "fairway_control_deleted_secrets", Kind::Gauge,
        "Uses of Secrets that are deleted and whose last content serves on.";
    CONTROL_DIAGNOSTICS = "fairway_control_diagnostics", Kind::Gauge,
        "Findings in the configuration.";
}

/// The definition of a name.
pub fn find(name: &str) -> Option<&'static Metric> {
    ALL.iter().find(|metric| metric.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_our_counters_end_in_total() {
        for (index, metric) in ALL.iter().enumerate() {
            assert!(ALL[..index].iter().all(|other| other.name != metric.name), "{}", metric.name);
            // Istio's own names are kept as dashboards have them.
            let is_istios = metric.name.starts_with("pilot_");
            let is_counter = metric.kind == Kind::Counter;
            assert!(is_istios || is_counter == metric.name.ends_with("_total"), "{}", metric.name);
        }
    }
}
