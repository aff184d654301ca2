//! `connectionPool`: connections to the backend, and how many (Istio contract 3.4). Zero in a
//! number means unset.

use fairway_shared::snapshot::cluster::{Http2Keepalive, Limits, TcpKeepalive};

use super::super::findings::{DUBIOUS, Scope};
use super::super::quantities::{positive_ms, read_ms};
use crate::object::traffic_policy::{ConnectionPool, HttpPool, Keepalive, TcpPool};

/// The block, read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::compile) struct Pool {
    /// `None` = as the mesh says.
    pub(in crate::compile) connect_timeout_ms: Option<u32>,
    /// Overrides the mesh's, number by number.
    pub(in crate::compile) keepalive: Option<TcpKeepalive>,
    /// Of TCP sessions; zero = never, `None` = the default.
    pub(in crate::compile) tcp_idle_ms: Option<u64>,
    /// Of HTTP connections; zero = never, `None` = as of TCP sessions.
    pub(in crate::compile) http_idle_ms: Option<u64>,
    /// Since it was opened.
    pub(in crate::compile) max_connection_duration_ms: Option<u64>,
    /// 0 = unlimited.
    pub(in crate::compile) max_requests_per_connection: u32,
    /// Whether HTTP/2 is spoken to backends that do not ask for it; `None` = as the mesh says.
    pub(in crate::compile) upgrades_to_http2: Option<bool>,
    /// The version the client used.
    pub(in crate::compile) use_client_protocol: bool,
    /// Of one HTTP/2 connection.
    pub(in crate::compile) max_concurrent_streams: Option<u32>,
    /// HTTP/2 pings.
    pub(in crate::compile) http2_keepalive: Option<Http2Keepalive>,
    /// What is refused beyond.
    pub(in crate::compile) limits: Limits,
}

/// Reads the block.
pub(super) fn read(block: &ConnectionPool, scope: &mut Scope<'_>) -> Pool {
    if block.tcp.is_none() && block.http.is_none() {
        scope.invalid("connectionPool", "has neither tcp nor http", "set one");
    }
    let mut pool = Pool::default();
    if let Some(tcp) = &block.tcp {
        read_tcp(tcp, &mut pool, scope);
    }
    if let Some(http) = &block.http {
        read_http(http, &mut pool, scope);
    }
    pool
}

fn read_tcp(tcp: &TcpPool, pool: &mut Pool, scope: &mut Scope<'_>) {
    let duration = |text: &Option<String>, field: &str, scope: &mut Scope<'_>| {
        text.as_deref().and_then(|text| positive_ms(text, field, scope))
    };
    let timeout = duration(&tcp.connect_timeout, "connectionPool.tcp.connectTimeout", scope);
    pool.connect_timeout_ms = timeout.map(|ms| u32::try_from(ms).unwrap_or(u32::MAX));
    pool.tcp_idle_ms = tcp
        .idle_timeout
        .as_deref()
        .and_then(|text| read_ms(text, "connectionPool.tcp.idleTimeout", scope));
    pool.max_connection_duration_ms =
        duration(&tcp.max_connection_duration, "connectionPool.tcp.maxConnectionDuration", scope);
    pool.keepalive = tcp
        .tcp_keepalive
        .as_ref()
        .map(|written| read_keepalive(written, "connectionPool.tcp.tcpKeepalive", scope));
    pool.limits.connections = unless_zero(tcp.max_connections);
}

fn read_http(http: &HttpPool, pool: &mut Pool, scope: &mut Scope<'_>) {
    pool.http_idle_ms = http
        .idle_timeout
        .as_deref()
        .and_then(|text| read_ms(text, "connectionPool.http.idleTimeout", scope));
    pool.max_requests_per_connection = http.max_requests_per_connection;
    pool.upgrades_to_http2 = read_upgrade(http, scope);
    pool.use_client_protocol = http.use_client_protocol;
    pool.max_concurrent_streams = unless_zero(http.max_concurrent_streams);
    pool.http2_keepalive = read_http2_keepalive(http, scope);
    pool.limits.pending_requests = unless_zero(http.http1_max_pending_requests);
    pool.limits.requests = unless_zero(http.http2_max_requests);
    pool.limits.retries = unless_zero(http.max_retries);
}

fn unless_zero(number: u32) -> Option<u32> {
    (number > 0).then_some(number)
}

/// Keep-alive of a rule or of the mesh. Times below a second count as one.
pub(in crate::compile) fn read_keepalive(
    written: &Keepalive,
    field: &str,
    scope: &mut Scope<'_>,
) -> TcpKeepalive {
    let mut secs = |text: &Option<String>, name: &str| {
        let ms = positive_ms(text.as_deref()?, &format!("{field}.{name}"), scope)?;
        Some(u32::try_from(ms.div_ceil(1_000)).unwrap_or(u32::MAX))
    };
    TcpKeepalive {
        probes: unless_zero(written.probes),
        time_secs: secs(&written.time, "time"),
        interval_secs: secs(&written.interval, "interval"),
    }
}

fn read_upgrade(http: &HttpPool, scope: &mut Scope<'_>) -> Option<bool> {
    const FIELD: &str = "connectionPool.http.h2UpgradePolicy";
    match http.h2_upgrade_policy.as_str() {
        "" | "DEFAULT" => None,
        "DO_NOT_UPGRADE" => Some(false),
        "UPGRADE" => {
            if http.use_client_protocol {
                let remedy = "keep h2UpgradePolicy or useClientProtocol";
                scope.invalid(FIELD, "excludes useClientProtocol", remedy);
            }
            Some(true)
        }
        other => {
            let what = format_args!("`{other}` is unknown");
            scope.invalid(FIELD, what, "use UPGRADE or DO_NOT_UPGRADE");
            None
        }
    }
}

fn read_http2_keepalive(http: &HttpPool, scope: &mut Scope<'_>) -> Option<Http2Keepalive> {
    const FIELD: &str = "connectionPool.http.http2KeepAlive";
    let written = http.http2_keep_alive.as_ref()?;
    let (Some(interval), Some(timeout)) = (&written.interval, &written.timeout) else {
        scope.invalid(FIELD, "lacks interval or timeout", "set both");
        return None;
    };
    let interval_ms = positive_ms(interval, &format!("{FIELD}.interval"), scope)?;
    let timeout_ms = positive_ms(timeout, &format!("{FIELD}.timeout"), scope)?;
    if timeout_ms > interval_ms {
        let what = "has a timeout longer than its interval";
        scope.warn(DUBIOUS, FIELD, what, "make the timeout the shorter one");
    }
    Some(Http2Keepalive { interval_ms, timeout_ms })
}
