//! Settings of the gateway as a whole.

use fairway_shared::snapshot::settings::{
    AccessLog, ClientCertHeader, Collector, CustomTag, GatewaySettings, LabelChange, LogFormat,
    MetricChange, PathNormalization, StandardMetric, Tracing,
};

use crate::wire;
use wire::access_log::Format;
use wire::custom_tag::Value;
use wire::tracing::Collector as WireCollector;

/// All settings.
pub fn settings(from: &GatewaySettings) -> wire::GatewaySettings {
    wire::GatewaySettings {
        trusted_proxies: from.trusted_proxies,
        path_normalization: path_normalization(from.path_normalization).into(),
        client_cert_header: client_cert_header(from.client_cert_header).into(),
        access_logs: from.access_logs.iter().map(access_log).collect(),
        tracing: from.tracing.as_ref().map(tracing),
        metrics: from.metrics.iter().map(metric_change).collect(),
        fails_without_secret: from.fails_without_secret,
        dns_refresh_ms: from.dns_refresh_ms,
    }
}

fn path_normalization(from: PathNormalization) -> wire::PathNormalization {
    match from {
        PathNormalization::None => wire::PathNormalization::None,
        PathNormalization::Base => wire::PathNormalization::Base,
        PathNormalization::MergeSlashes => wire::PathNormalization::MergeSlashes,
        PathNormalization::DecodeAndMergeSlashes => wire::PathNormalization::DecodeAndMergeSlashes,
    }
}

fn client_cert_header(from: ClientCertHeader) -> wire::ClientCertHeader {
    match from {
        ClientCertHeader::SanitizeSet => wire::ClientCertHeader::SanitizeSet,
        ClientCertHeader::Sanitize => wire::ClientCertHeader::Sanitize,
        ClientCertHeader::ForwardOnly => wire::ClientCertHeader::ForwardOnly,
        ClientCertHeader::AppendForward => wire::ClientCertHeader::AppendForward,
        ClientCertHeader::AlwaysForwardOnly => wire::ClientCertHeader::AlwaysForwardOnly,
    }
}

fn access_log(from: &AccessLog) -> wire::AccessLog {
    let key = |(key, value): &(String, String)| wire::JsonLogKey {
        key: key.clone(),
        value: value.clone(),
    };
    let format = match &from.format {
        LogFormat::Text(text) => Format::Text(text.clone()),
        LogFormat::Json(keys) => {
            Format::Json(wire::JsonLogFormat { keys: keys.iter().map(key).collect() })
        }
    };
    wire::AccessLog { file: from.file.clone(), format: Some(format), filter: from.filter.clone() }
}

fn tracing(from: &Tracing) -> wire::Tracing {
    let collector = match &from.collector {
        Collector::Zipkin { address, path } => WireCollector::Zipkin(wire::ZipkinCollector {
            address: address.clone(),
            path: path.clone(),
        }),
        Collector::OpenTelemetry { address, http_path } => {
            WireCollector::Opentelemetry(wire::OpenTelemetryCollector {
                address: address.clone(),
                http_path: http_path.clone(),
            })
        }
    };
    wire::Tracing {
        collector: Some(collector),
        sampling_ppm: from.sampling.0,
        custom_tags: from.custom_tags.iter().map(custom_tag).collect(),
        uses_w3c: from.uses_w3c,
        is_reporting: from.is_reporting,
    }
}

fn custom_tag((tag, value): &(String, CustomTag)) -> wire::CustomTag {
    let named = |name: &String, default: &String| wire::NamedValue {
        name: name.clone(),
        default: default.clone(),
    };
    let value = match value {
        CustomTag::Literal(text) => Value::Literal(text.clone()),
        CustomTag::Environment { name, default } => Value::Environment(named(name, default)),
        CustomTag::Header { name, default } => Value::Header(named(name, default)),
    };
    wire::CustomTag { tag: tag.clone(), value: Some(value) }
}

fn metric_change(from: &MetricChange) -> wire::MetricChange {
    let label = |(name, change): &(String, LabelChange)| wire::LabelChange {
        name: name.clone(),
        value: match change {
            LabelChange::Remove => None,
            LabelChange::Set(text) => Some(text.clone()),
        },
    };
    wire::MetricChange {
        metric: metric(from.metric).into(),
        is_disabled: from.is_disabled,
        labels: from.labels.iter().map(label).collect(),
    }
}

fn metric(from: StandardMetric) -> wire::StandardMetric {
    match from {
        StandardMetric::RequestCount => wire::StandardMetric::RequestCount,
        StandardMetric::RequestDuration => wire::StandardMetric::RequestDuration,
        StandardMetric::RequestSize => wire::StandardMetric::RequestSize,
        StandardMetric::ResponseSize => wire::StandardMetric::ResponseSize,
        StandardMetric::GrpcRequestMessages => wire::StandardMetric::GrpcRequestMessages,
        StandardMetric::GrpcResponseMessages => wire::StandardMetric::GrpcResponseMessages,
        StandardMetric::TcpOpenedConnections => wire::StandardMetric::TcpOpenedConnections,
        StandardMetric::TcpClosedConnections => wire::StandardMetric::TcpClosedConnections,
        StandardMetric::TcpSentBytes => wire::StandardMetric::TcpSentBytes,
        StandardMetric::TcpReceivedBytes => wire::StandardMetric::TcpReceivedBytes,
    }
}
