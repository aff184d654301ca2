//! Arbitrary settings.

use fairway_shared::snapshot::route::Share;
use fairway_shared::snapshot::settings::{
    AccessLog, ClientCertHeader, Collector, CustomTag, GatewaySettings, LabelChange, LogFormat,
    MetricChange, PathNormalization, StandardMetric, Tracing,
};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

use super::{name, text};

pub(super) fn settings() -> impl Strategy<Value = GatewaySettings> {
    let path = select(vec![
        PathNormalization::None,
        PathNormalization::Base,
        PathNormalization::MergeSlashes,
        PathNormalization::DecodeAndMergeSlashes,
    ]);
    let certificate = select(vec![
        ClientCertHeader::SanitizeSet,
        ClientCertHeader::Sanitize,
        ClientCertHeader::ForwardOnly,
        ClientCertHeader::AppendForward,
        ClientCertHeader::AlwaysForwardOnly,
    ]);
    let metrics = vec(metric_change(), 0..3);
    let logs = vec(access_log(), 0..3);
    let flags = (any::<bool>(), of(any::<u64>()));
    (any::<u32>(), path, certificate, logs, of(tracing()), metrics, flags).prop_map(
        |(
            trusted_proxies,
            path_normalization,
            client_cert_header,
            access_logs,
            tracing,
            metrics,
            (fails_without_secret, dns_refresh_ms),
        )| {
            GatewaySettings {
                trusted_proxies,
                path_normalization,
                client_cert_header,
                access_logs,
                tracing,
                metrics,
                fails_without_secret,
                dns_refresh_ms,
            }
        },
    )
}

fn access_log() -> impl Strategy<Value = AccessLog> {
    let format = prop_oneof![
        text().prop_map(LogFormat::Text),
        vec((text(), text()), 0..3).prop_map(LogFormat::Json)
    ];
    (name(), format, of(text())).prop_map(|(file, format, filter)| AccessLog {
        file,
        format,
        filter,
    })
}

fn tracing() -> impl Strategy<Value = Tracing> {
    let collector = prop_oneof![
        (name(), text()).prop_map(|(address, path)| Collector::Zipkin { address, path }),
        (name(), of(text()))
            .prop_map(|(address, http_path)| Collector::OpenTelemetry { address, http_path })
    ];
    let tag = prop_oneof![
        text().prop_map(CustomTag::Literal),
        (name(), text()).prop_map(|(name, default)| CustomTag::Environment { name, default }),
        (name(), text()).prop_map(|(name, default)| CustomTag::Header { name, default })
    ];
    let switches = (any::<bool>(), any::<bool>());
    (collector, 0..=Share::ALL.0, vec((text(), tag), 0..3), switches).prop_map(
        |(collector, share, custom_tags, (uses_w3c, is_reporting))| Tracing {
            collector,
            sampling: Share(share),
            custom_tags,
            uses_w3c,
            is_reporting,
        },
    )
}

fn metric_change() -> impl Strategy<Value = MetricChange> {
    let change = prop_oneof![Just(LabelChange::Remove), text().prop_map(LabelChange::Set)];
    let labels = vec((name(), change), 0..3);
    (select(StandardMetric::ALL.to_vec()), any::<bool>(), labels)
        .prop_map(|(metric, is_disabled, labels)| MetricChange { metric, is_disabled, labels })
}
