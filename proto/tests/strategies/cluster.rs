//! Arbitrary clusters and endpoint sets.

use std::net::{IpAddr, SocketAddr};

use fairway_shared::snapshot::cluster::{
    Balancer, Cluster, Endpoint, EndpointSet, Http2Keepalive, Limits, LocalityPolicy,
    LocalityShare, NamedEndpoint, OutlierPolicy, ProxyVersion, RING_SIZE_MAX, RetryBudget,
    TcpKeepalive, UpstreamProtocol, Warmup,
};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

use super::{labels, listener, name, text};

pub(super) fn cluster() -> impl Strategy<Value = Cluster> {
    let choice = (labels(), balancer(), locality(), of(warmup()), 0_u8..=100);
    let connection = (protocol(), any::<u32>(), any::<Option<u64>>(), any::<Option<u64>>());
    let pool = (any::<u32>(), of(tcp_keepalive()), any::<Option<u32>>(), of(http2_keepalive()));
    let proxy = of(select(&[ProxyVersion::V1, ProxyVersion::V2][..]));
    let rest = (limits(), of(outlier()), of(listener::upstream_tls()), proxy);
    (choice, connection, pool, rest).prop_map(
        |(
            (labels, balancer, locality, warmup, panic_threshold_pct),
            (protocol, connect_timeout_ms, idle_timeout_ms, max_connection_duration_ms),
            (requests, tcp_keepalive, max_concurrent_streams, http2_keepalive),
            (limits, outlier, tls, proxy_protocol),
        )| Cluster {
            labels,
            balancer,
            locality,
            warmup,
            panic_threshold_pct,
            protocol,
            connect_timeout_ms,
            idle_timeout_ms,
            max_connection_duration_ms,
            max_requests_per_connection: requests,
            tcp_keepalive,
            max_concurrent_streams,
            http2_keepalive,
            limits,
            outlier,
            tls,
            proxy_protocol,
        },
    )
}

fn balancer() -> impl Strategy<Value = Balancer> {
    prop_oneof![
        Just(Balancer::Random),
        Just(Balancer::RoundRobin),
        Just(Balancer::LeastRequest),
        (1..=RING_SIZE_MAX).prop_map(|ring_size_min| Balancer::RingHash { ring_size_min }),
        select(&[2_u32, 65_537, 4_999_999][..])
            .prop_map(|table_size| Balancer::Maglev { table_size }),
    ]
}

fn protocol() -> impl Strategy<Value = UpstreamProtocol> {
    use UpstreamProtocol::{FromClient, Http1, Http2};
    select(&[Http1, Http2, FromClient][..])
}

fn locality() -> impl Strategy<Value = LocalityPolicy> {
    let share =
        (name(), 1_u32..=100).prop_map(|(locality, percent)| LocalityShare { locality, percent });
    prop_oneof![
        Just(LocalityPolicy::Flat),
        vec(share, 0..3).prop_map(|shares| LocalityPolicy::Distribute { shares }),
        (text(), of(text())).prop_map(|(own, region)| LocalityPolicy::Failover { own, region }),
        vec((name(), text()), 0..3).prop_map(|labels| LocalityPolicy::FailoverByLabels { labels }),
    ]
}

fn warmup() -> impl Strategy<Value = Warmup> {
    (1_u64.., 0_u32..=100, 1_u32..).prop_map(|(duration_ms, minimum_pct, aggression)| Warmup {
        duration_ms,
        minimum_pct,
        aggression_thousandths: aggression,
    })
}

fn tcp_keepalive() -> impl Strategy<Value = TcpKeepalive> {
    any::<(Option<u32>, Option<u32>, Option<u32>)>().prop_map(|(probes, time, interval)| {
        TcpKeepalive { probes, time_secs: time, interval_secs: interval }
    })
}

fn http2_keepalive() -> impl Strategy<Value = Http2Keepalive> {
    (1_u64.., 1_u64..)
        .prop_map(|(interval_ms, timeout_ms)| Http2Keepalive { interval_ms, timeout_ms })
}

fn limits() -> impl Strategy<Value = Limits> {
    let budget = (0_u32..=1_000_000, any::<u32>())
        .prop_map(|(share, retries_min)| RetryBudget { share_millionths: share, retries_min });
    let counts = any::<(Option<u32>, Option<u32>, Option<u32>, Option<u32>)>();
    (counts, of(budget)).prop_map(
        |((connections, pending_requests, requests, retries), retry_budget)| Limits {
            connections,
            pending_requests,
            requests,
            retries,
            retry_budget,
        },
    )
}

fn outlier() -> impl Strategy<Value = OutlierPolicy> {
    let count = || of(1_u32..);
    (count(), count(), count(), 1_u64.., 1_u64.., 0_u8..=100, vec(100_u16..=599, 0..3)).prop_map(
        |(errors, gateway, local, interval_ms, base_ejection_ms, max_ejection_pct, statuses)| {
            OutlierPolicy {
                consecutive_errors: errors,
                consecutive_gateway_errors: gateway,
                consecutive_local_failures: local,
                interval_ms,
                base_ejection_ms,
                max_ejection_pct,
                error_statuses: statuses,
            }
        },
    )
}

pub(super) fn endpoint_set() -> impl Strategy<Value = EndpointSet> {
    (vec(endpoint(), 0..3), vec(named_endpoint(), 0..2), any::<bool>()).prop_map(
        |(endpoints, names, is_latest_answer_only)| EndpointSet {
            endpoints,
            names,
            is_latest_answer_only,
        },
    )
}

fn endpoint() -> impl Strategy<Value = Endpoint> {
    let address = (any::<IpAddr>(), any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip, port));
    (address, 1_u32.., labels(), text()).prop_map(|(address, weight, labels, locality)| Endpoint {
        address,
        weight,
        labels,
        locality,
    })
}

fn named_endpoint() -> impl Strategy<Value = NamedEndpoint> {
    (name(), any::<u16>(), 1_u32.., labels(), text()).prop_map(
        |(host, port, weight, labels, locality)| NamedEndpoint {
            host,
            port,
            weight,
            labels,
            locality,
        },
    )
}
