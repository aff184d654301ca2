//! A DestinationRule checked (Istio contract 3, 9.3): what is wrong, and which of its fields are
//! not in force. A broken subset is left out; a broken base policy leaves the rule out.

use std::collections::BTreeSet;

use super::findings::{FieldPath, NOT_IN_FORCE, Scope};
use super::names::{export_to_problem, is_dns_name, is_label};
use super::quantities::{positive_ms, read_ms};
use crate::object::destination_rule::{
    ConnectionPool, DestinationRule, HttpPool, LoadBalancer, PortPolicy, Subset, TcpPool,
    TrafficPolicy,
};

/// The blocks that a policy and a port's settings share.
struct Blocks<'r> {
    load_balancer: Option<&'r LoadBalancer>,
    connection_pool: Option<&'r ConnectionPool>,
    not_in_force: [(&'static str, bool); 2],
}

/// Checks a rule and hands back its usable subsets.
pub(super) fn check_rule<'r>(rule: &'r DestinationRule, scope: &mut Scope<'_>) -> Vec<&'r Subset> {
    let name = rule.host.strip_prefix("*.").unwrap_or(&rule.host);
    if rule.host != "*" && !is_dns_name(name.strip_suffix('.').unwrap_or(name)) {
        let what = format_args!("`{}` is no host", rule.host);
        scope.invalid("host", what, "name a service, or `*.suffix`");
    }
    if let Some(problem) = export_to_problem(&rule.export_to) {
        scope.invalid("exportTo", problem, "list namespaces once, or `*` alone");
    }
    let is_public = rule.export_to.iter().any(|value| value != ".");
    if rule.workload_selector.is_some() && is_public {
        let remedy = "export it to `.` only";
        scope.invalid("exportTo", "goes beyond the namespace of workloadSelector", remedy);
    }
    if let Some(policy) = &rule.traffic_policy {
        let mut part = scope.part(FieldPath::Policy);
        check_policy(policy, FieldPath::PolicyPort, &mut part);
        if part.is_broken() {
            scope.mark_broken();
        }
    }
    let mut names = BTreeSet::new();
    let mut usable = Vec::with_capacity(rule.subsets.len());
    for (at, subset) in rule.subsets.iter().enumerate() {
        let mut part = scope.part(FieldPath::Subset(at));
        check_subset(subset, &mut names, &mut part);
        let mut policy_part = part.part(FieldPath::SubsetPolicy(at));
        if let Some(policy) = &subset.traffic_policy {
            let port_path = |port| FieldPath::SubsetPolicyPort(at, port);
            check_policy(policy, port_path, &mut policy_part);
        }
        let has_good_policy = !policy_part.is_broken();
        if has_good_policy && !part.is_broken() {
            usable.push(subset);
        }
    }
    usable
}

fn check_subset<'r>(subset: &'r Subset, names: &mut BTreeSet<&'r str>, scope: &mut Scope<'_>) {
    if !is_label(&subset.name) {
        let what = format_args!("`{}` is no subset name", subset.name);
        scope.invalid("name", what, "use letters, digits and `-`");
    } else if !names.insert(&subset.name) {
        let what = format_args!("`{}` is taken by an earlier subset", subset.name);
        scope.invalid("name", what, "give every subset its own name");
    }
    if subset.labels.keys().any(String::is_empty) {
        scope.invalid("labels", "has an empty key", "name the label");
    }
}

fn check_policy(
    policy: &TrafficPolicy,
    port_path: impl Fn(usize) -> FieldPath,
    scope: &mut Scope<'_>,
) {
    if *policy == TrafficPolicy::default() {
        scope.invalid("", "is empty", "set a block, or remove it");
    }
    if policy.tunnel.is_some() && policy.proxy_protocol.is_some() {
        scope.invalid("tunnel", "excludes proxyProtocol", "keep one");
    }
    let blocks = Blocks {
        load_balancer: policy.load_balancer.as_ref(),
        connection_pool: policy.connection_pool.as_ref(),
        not_in_force: [
            ("outlierDetection", policy.outlier_detection.is_some()),
            ("tls", policy.tls.is_some()),
        ],
    };
    check_blocks(&blocks, scope);
    say_not_in_force(
        &[
            ("tunnel", policy.tunnel.is_some()),
            ("proxyProtocol", policy.proxy_protocol.is_some()),
            ("retryBudget", policy.retry_budget.is_some()),
        ],
        scope,
    );
    for (at, port) in policy.port_level_settings.iter().enumerate() {
        let mut part = scope.part(port_path(at));
        check_port(port, &mut part);
        if part.is_broken() {
            scope.mark_broken();
        }
    }
}

fn check_port(port: &PortPolicy, scope: &mut Scope<'_>) {
    let number = port.port.as_ref().map_or(0, |selector| selector.number);
    if !(1..=65_535).contains(&number) {
        scope.invalid("port", "is missing or out of range", "name a service port");
    }
    let blocks = Blocks {
        load_balancer: port.load_balancer.as_ref(),
        connection_pool: port.connection_pool.as_ref(),
        not_in_force: [
            ("outlierDetection", port.outlier_detection.is_some()),
            ("tls", port.tls.is_some()),
        ],
    };
    let is_empty = blocks.load_balancer.is_none()
        && blocks.connection_pool.is_none()
        && !blocks.not_in_force.iter().any(|(_, is_set)| *is_set);
    if is_empty {
        scope.invalid("", "sets nothing", "set a block, or remove it");
    }
    check_blocks(&blocks, scope);
}

fn check_blocks(blocks: &Blocks<'_>, scope: &mut Scope<'_>) {
    if let Some(load_balancer) = blocks.load_balancer {
        check_load_balancer(load_balancer, scope);
    }
    if let Some(pool) = blocks.connection_pool {
        if pool.tcp.is_none() && pool.http.is_none() {
            scope.invalid("connectionPool", "has neither tcp nor http", "set one");
        }
        check_tcp_pool(pool.tcp.as_ref().unwrap_or(&TcpPool::default()), scope);
        check_http_pool(pool.http.as_ref().unwrap_or(&HttpPool::default()), scope);
    }
    say_not_in_force(&blocks.not_in_force, scope);
}

fn check_load_balancer(load_balancer: &LoadBalancer, scope: &mut Scope<'_>) {
    match load_balancer.simple.as_str() {
        "" | "UNSPECIFIED" | "LEAST_REQUEST" | "LEAST_CONN" | "ROUND_ROBIN" | "RANDOM" => {}
        "PASSTHROUGH" => scope.warn(
            NOT_IN_FORCE,
            "loadBalancer.simple",
            "PASSTHROUGH has no meaning on a gateway",
            "it counts as unset: LEAST_REQUEST",
        ),
        other => {
            let remedy = "use LEAST_REQUEST, ROUND_ROBIN or RANDOM";
            scope.invalid("loadBalancer.simple", format_args!("`{other}` is unknown"), remedy);
        }
    }
    if !load_balancer.simple.is_empty() && load_balancer.consistent_hash.is_some() {
        scope.invalid("loadBalancer", "sets simple and consistentHash", "keep one");
    }
    say_not_in_force(
        &[
            ("loadBalancer.consistentHash", load_balancer.consistent_hash.is_some()),
            ("loadBalancer.localityLbSetting", load_balancer.locality_lb_setting.is_some()),
            ("loadBalancer.warmup", load_balancer.warmup.is_some()),
            ("loadBalancer.warmupDurationSecs", load_balancer.warmup_duration_secs.is_some()),
        ],
        scope,
    );
}

fn check_tcp_pool(tcp: &TcpPool, scope: &mut Scope<'_>) {
    if let Some(timeout) = &tcp.connect_timeout {
        positive_ms(timeout, "connectionPool.tcp.connectTimeout", scope);
    }
    if let Some(timeout) = &tcp.idle_timeout {
        read_ms(timeout, "connectionPool.tcp.idleTimeout", scope);
    }
    say_not_in_force(
        &[
            ("connectionPool.tcp.maxConnections", tcp.max_connections != 0),
            ("connectionPool.tcp.tcpKeepalive", tcp.tcp_keepalive.is_some()),
            ("connectionPool.tcp.maxConnectionDuration", tcp.max_connection_duration.is_some()),
        ],
        scope,
    );
}

fn check_http_pool(http: &HttpPool, scope: &mut Scope<'_>) {
    if let Some(timeout) = &http.idle_timeout {
        read_ms(timeout, "connectionPool.http.idleTimeout", scope);
    }
    match http.h2_upgrade_policy.as_str() {
        "" | "DEFAULT" | "DO_NOT_UPGRADE" => {}
        "UPGRADE" if http.use_client_protocol => {
            let remedy = "keep h2UpgradePolicy or useClientProtocol";
            scope.invalid(
                "connectionPool.http.h2UpgradePolicy",
                "excludes useClientProtocol",
                remedy,
            );
        }
        "UPGRADE" => {}
        other => {
            let what = format_args!("`{other}` is unknown");
            let remedy = "use UPGRADE or DO_NOT_UPGRADE";
            scope.invalid("connectionPool.http.h2UpgradePolicy", what, remedy);
        }
    }
    say_not_in_force(
        &[
            ("connectionPool.http.http1MaxPendingRequests", http.http1_max_pending_requests != 0),
            ("connectionPool.http.http2MaxRequests", http.http2_max_requests != 0),
            ("connectionPool.http.maxRetries", http.max_retries != 0),
            ("connectionPool.http.maxConcurrentStreams", http.max_concurrent_streams != 0),
        ],
        scope,
    );
}

fn say_not_in_force(fields: &[(&str, bool)], scope: &mut Scope<'_>) {
    for (field, _) in fields.iter().filter(|(_, is_set)| *is_set) {
        scope.ignored(field);
    }
}
