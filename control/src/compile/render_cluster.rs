//! Clusters and endpoints as text: a line each, and a line below for each further fact.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter, Write};

use fairway_shared::id::{ClusterId, ServicePort};
use fairway_shared::snapshot::cluster::{
    Balancer, Cluster, EndpointSet, Limits, LocalityPolicy, LocalityShare, OutlierPolicy,
    ProxyVersion, TcpKeepalive, UpstreamProtocol,
};
use fairway_shared::snapshot::tls::{CertificateSource, TrustSource, UpstreamTls};

/// Writes a cluster.
pub(super) fn write_cluster(id: &ClusterId, cluster: &Cluster, out: &mut String) -> fmt::Result {
    writeln!(out, "cluster {id} {}", HeadText(cluster))?;
    write_locality(&cluster.locality, out)?;
    if let Some(warmup) = &cluster.warmup {
        let (from, power) = (warmup.minimum_pct, warmup.aggression_thousandths);
        writeln!(out, "  warmup {}ms from {from}% aggression {power}/1000", warmup.duration_ms)?;
    }
    write_connection(cluster, out)?;
    if cluster.limits != Limits::default() {
        writeln!(out, "  limits{}", LimitsText(&cluster.limits))?;
    }
    if let Some(outlier) = &cluster.outlier {
        writeln!(out, "  outlier{}", OutlierText(outlier))?;
    }
    if cluster.panic_threshold_pct > 0 {
        writeln!(out, "  panic below {}%", cluster.panic_threshold_pct)?;
    }
    match &cluster.tls {
        Some(tls) => writeln!(out, "  tls{}", TlsText(tls)),
        None => Ok(()),
    }
}

/// Writes an endpoint list.
pub(super) fn write_endpoints(
    id: &ServicePort,
    set: &EndpointSet,
    out: &mut String,
) -> fmt::Result {
    let is_empty = set.endpoints.is_empty() && set.names.is_empty();
    let latest = if set.is_latest_answer_only { " latest answer only" } else { "" };
    writeln!(out, "endpoints {id}{}{latest}", if is_empty { " none" } else { "" })?;
    for endpoint in &set.endpoints {
        let place = PlaceText(endpoint.weight, &endpoint.locality, &endpoint.labels);
        writeln!(out, "  {}{place}", endpoint.address)?;
    }
    for name in &set.names {
        let place = PlaceText(name.weight, &name.locality, &name.labels);
        writeln!(out, "  dns {}:{}{place}", name.host, name.port)?;
    }
    Ok(())
}

struct HeadText<'s>(&'s Cluster);

impl Display for HeadText<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(cluster) = self;
        match cluster.balancer {
            Balancer::Random => f.write_str("RANDOM")?,
            Balancer::RoundRobin => f.write_str("ROUND_ROBIN")?,
            Balancer::LeastRequest => f.write_str("LEAST_REQUEST")?,
            Balancer::RingHash { ring_size_min } => write!(f, "RING_HASH {ring_size_min}")?,
            Balancer::Maglev { table_size } => write!(f, "MAGLEV {table_size}")?,
        }
        f.write_str(match cluster.protocol {
            UpstreamProtocol::Http1 => " h1",
            UpstreamProtocol::Http2 => " h2",
            UpstreamProtocol::FromClient => " as-client",
        })?;
        write!(f, " connect {}ms", cluster.connect_timeout_ms)?;
        match cluster.idle_timeout_ms {
            Some(ms) => write!(f, " idle {ms}ms")?,
            None => f.write_str(" idle never")?,
        }
        if cluster.max_requests_per_connection > 0 {
            write!(f, " requests-per-connection {}", cluster.max_requests_per_connection)?;
        }
        write_labels(&cluster.labels, f)
    }
}

fn write_locality(policy: &LocalityPolicy, out: &mut String) -> fmt::Result {
    match policy {
        LocalityPolicy::Flat => Ok(()),
        LocalityPolicy::Distribute { shares } => {
            let share = |share: &LocalityShare| format!(" {}={}%", share.locality, share.percent);
            writeln!(out, "  distribute{}", shares.iter().map(share).collect::<String>())
        }
        LocalityPolicy::Failover { own, region } => {
            let next = region.as_ref().map(|region| format!(" then {region}"));
            writeln!(out, "  failover from {own}{}", next.unwrap_or_default())
        }
        LocalityPolicy::FailoverByLabels { labels } => {
            let label = |(name, value): &(String, String)| format!(" {name}={value}");
            writeln!(out, "  failover by{}", labels.iter().map(label).collect::<String>())
        }
    }
}

fn write_connection(cluster: &Cluster, out: &mut String) -> fmt::Result {
    if let Some(ms) = cluster.max_connection_duration_ms {
        writeln!(out, "  connection duration {ms}ms")?;
    }
    if let Some(keepalive) = &cluster.tcp_keepalive {
        let TcpKeepalive { probes, time_secs, interval_secs } = keepalive;
        let of = |number: &Option<u32>| number.map_or("system".to_owned(), |n| n.to_string());
        let (probes, time, interval) = (of(probes), of(time_secs), of(interval_secs));
        writeln!(out, "  tcp keepalive probes {probes} time {time} interval {interval}")?;
    }
    if let Some(streams) = cluster.max_concurrent_streams {
        writeln!(out, "  concurrent streams {streams}")?;
    }
    if let Some(ping) = &cluster.http2_keepalive {
        writeln!(out, "  http2 ping {}ms timeout {}ms", ping.interval_ms, ping.timeout_ms)?;
    }
    match cluster.proxy_protocol {
        Some(ProxyVersion::V1) => writeln!(out, "  proxy protocol v1"),
        Some(ProxyVersion::V2) => writeln!(out, "  proxy protocol v2"),
        None => Ok(()),
    }
}

struct LimitsText<'s>(&'s Limits);

impl Display for LimitsText<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(limits) = self;
        for (name, limit) in [
            ("connections", limits.connections),
            ("pending", limits.pending_requests),
            ("requests", limits.requests),
            ("retries", limits.retries),
        ] {
            if let Some(limit) = limit {
                write!(f, " {name} {limit}")?;
            }
        }
        match &limits.retry_budget {
            Some(budget) => {
                let (share, least) = (budget.share_millionths, budget.retries_min);
                write!(f, " retry-budget {share}/1000000 at-least {least}")
            }
            None => Ok(()),
        }
    }
}

struct OutlierText<'s>(&'s OutlierPolicy);

impl Display for OutlierText<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(outlier) = self;
        for (name, count) in [
            ("errors", outlier.consecutive_errors),
            ("gateway-errors", outlier.consecutive_gateway_errors),
            ("local-failures", outlier.consecutive_local_failures),
        ] {
            if let Some(count) = count {
                write!(f, " {name} {count}")?;
            }
        }
        let (every, base) = (outlier.interval_ms, outlier.base_ejection_ms);
        write!(f, " every {every}ms for {base}ms at most {}%", outlier.max_ejection_pct)?;
        if !outlier.error_statuses.is_empty() {
            write!(f, " statuses {:?}", outlier.error_statuses)?;
        }
        Ok(())
    }
}

struct TlsText<'s>(&'s UpstreamTls);

impl Display for TlsText<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(tls) = self;
        if let Some(sni) = &tls.sni {
            write!(f, " sni {sni}")?;
        }
        match &tls.trust {
            TrustSource::Secret(name) => write!(f, " trust secret {name}")?,
            TrustSource::Files { authorities, revocations } => {
                write!(f, " trust file {authorities}")?;
                if !revocations.is_empty() {
                    write!(f, " revocations {revocations}")?;
                }
            }
            TrustSource::System => f.write_str(" trust system")?,
            TrustSource::Mesh => f.write_str(" trust mesh")?,
            TrustSource::Anyone => f.write_str(" trust anyone")?,
            TrustSource::Nobody => f.write_str(" trust nobody")?,
        }
        if !tls.subject_alt_names.is_empty() {
            write!(f, " names {}", tls.subject_alt_names.join(","))?;
        }
        match &tls.identity {
            Some(CertificateSource::Secret(name)) => write!(f, " identity secret {name}")?,
            Some(CertificateSource::Files { certificate, private_key }) => {
                write!(f, " identity files {certificate} {private_key}")?;
            }
            Some(CertificateSource::Mesh) => f.write_str(" identity mesh")?,
            None => {}
        }
        if !tls.extra_alpn.is_empty() {
            write!(f, " alpn {}", tls.extra_alpn.join(","))?;
        }
        Ok(())
    }
}

struct PlaceText<'s>(u32, &'s str, &'s BTreeMap<String, String>);

impl Display for PlaceText<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(weight, locality, labels) = self;
        write!(f, " weight {weight}")?;
        if !locality.is_empty() {
            write!(f, " locality {locality}")?;
        }
        write_labels(labels, f)
    }
}

fn write_labels(labels: &BTreeMap<String, String>, f: &mut Formatter<'_>) -> fmt::Result {
    for (nth, (key, value)) in labels.iter().enumerate() {
        write!(f, "{}{key}={value}", if nth == 0 { " labels " } else { "," })?;
    }
    Ok(())
}
