//! `/clusters`: endpoints with their health and counts, in the shapes that tools know
//! (Envoy: `/clusters`, `/clusters?format=json`). Pure.

use std::fmt::{self, Write};

use fairway_shared::ipc::message::EndpointState;
use fairway_shared::snapshot::cluster::Limits;
use serde_json::{Value, json};

use crate::supervisor::listing::Clusters;

/// Stands for no limit.
const UNLIMITED: u32 = u32::MAX;

/// `cluster::address::name::value` lines.
pub fn text(clusters: &Clusters) -> String {
    let mut page = String::new();
    for (name, cluster) in clusters {
        for (limit, value) in limits(&cluster.limits) {
            line(&mut page, format_args!("{name}::default_priority::{limit}::{value}"));
        }
        line(&mut page, format_args!("{name}::added_via_api::true"));
        for endpoint in cluster.endpoints.values() {
            let address = endpoint.address;
            let mut say = |what: &str, value: &dyn fmt::Display| {
                line(&mut page, format_args!("{name}::{address}::{what}::{value}"));
            };
            for (what, _, value) in counts(endpoint) {
                say(what, &value);
            }
            let health = if endpoint.is_ejected { "/failed_outlier_check" } else { "healthy" };
            say("health_flags", &health);
            say("weight", &endpoint.weight);
            for (what, value) in ["region", "zone", "sub_zone"].iter().zip(place(endpoint)) {
                say(what, &value);
            }
            say("canary", &false);
            say("priority", &endpoint.priority);
            say("success_rate", &-1);
        }
    }
    page
}

/// The same as one object.
pub fn json(clusters: &Clusters) -> Value {
    let statuses = clusters.iter().map(|(name, cluster)| {
        let thresholds: serde_json::Map<_, _> = limits(&cluster.limits)
            .map(|(limit, value)| (limit.to_owned(), json!(value)))
            .collect();
        json!({
            "name": name,
            "added_via_api": true,
            "circuit_breakers": { "thresholds": [thresholds] },
            "host_statuses": cluster.endpoints.values().map(host_status).collect::<Vec<_>>(),
        })
    });
    json!({ "cluster_statuses": statuses.collect::<Vec<_>>() })
}

fn host_status(endpoint: &EndpointState) -> Value {
    let stats = counts(endpoint).map(
        |(name, kind, value)| json!({ "name": name, "type": kind, "value": value.to_string() }),
    );
    let [region, zone, sub_zone] = place(endpoint);
    let ip = endpoint.address.ip().to_string();
    json!({
        "address": { "socket_address": { "address": ip, "port_value": endpoint.address.port() } },
        "stats": stats,
        "health_status": {
            "eds_health_status": "HEALTHY",
            "failed_outlier_check": endpoint.is_ejected,
        },
        "weight": endpoint.weight,
        "priority": endpoint.priority,
        "locality": { "region": region, "zone": zone, "sub_zone": sub_zone },
    })
}

fn line(page: &mut String, text: fmt::Arguments<'_>) {
    // A string takes all.
    let _ = writeln!(page, "{text}");
}

fn limits(limits: &Limits) -> impl Iterator<Item = (&'static str, u32)> {
    [
        ("max_connections", limits.connections),
        ("max_pending_requests", limits.pending_requests),
        ("max_requests", limits.requests),
        ("max_retries", limits.retries),
    ]
    .into_iter()
    .map(|(name, limit)| (name, limit.unwrap_or(UNLIMITED)))
}

/// In Envoy's names and kinds.
fn counts(endpoint: &EndpointState) -> [(&'static str, &'static str, u64); 7] {
    let counts = &endpoint.counts;
    [
        ("cx_active", "GAUGE", counts.connections),
        ("cx_connect_fail", "COUNTER", counts.connect_failures),
        ("cx_total", "COUNTER", counts.connects),
        ("rq_active", "GAUGE", counts.active),
        ("rq_error", "COUNTER", counts.errors),
        ("rq_success", "COUNTER", counts.successes),
        ("rq_total", "COUNTER", counts.requests),
    ]
}

fn place(endpoint: &EndpointState) -> [&str; 3] {
    let mut parts = endpoint.locality.splitn(3, '/');
    std::array::from_fn(|_| parts.next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::listing::Cluster;
    use fairway_shared::ipc::message::EndpointCounts;

    fn clusters() -> Clusters {
        let endpoint = EndpointState {
            address: ([10, 0, 0, 1], 8080).into(),
            weight: 2,
            locality: "r1/z1".into(),
            priority: 1,
            is_ejected: true,
            counts: EndpointCounts { requests: 5, errors: 5, ..EndpointCounts::default() },
        };
        let limits = Limits { requests: Some(9), ..Limits::default() };
        let endpoints = [(endpoint.address, endpoint)].into();
        [("outbound|80||a".to_owned(), Cluster { limits, endpoints })].into()
    }

    #[test]
    fn a_line_names_cluster_endpoint_and_figure() {
        let page = text(&clusters());
        for expected in [
            "outbound|80||a::default_priority::max_requests::9\n",
            "outbound|80||a::default_priority::max_connections::4294967295\n",
            "outbound|80||a::10.0.0.1:8080::rq_error::5\n",
            "outbound|80||a::10.0.0.1:8080::health_flags::/failed_outlier_check\n",
            "outbound|80||a::10.0.0.1:8080::zone::z1\n",
            "outbound|80||a::10.0.0.1:8080::sub_zone::\n",
            "outbound|80||a::10.0.0.1:8080::priority::1\n",
        ] {
            assert!(page.contains(expected), "{expected} in {page}");
        }
    }

    #[test]
    fn the_object_says_the_same() {
        let page = json(&clusters());
        let cluster = &page["cluster_statuses"][0];
        assert_eq!(cluster["name"], "outbound|80||a");
        let host = &cluster["host_statuses"][0];
        assert_eq!(host["address"]["socket_address"]["port_value"], 8080);
        assert_eq!(host["health_status"]["failed_outlier_check"], true);
        assert_eq!(host["stats"][6], json!({"name": "rq_total", "type": "COUNTER", "value": "5"}));
    }
}
