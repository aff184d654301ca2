//! Settings of the gateway as a whole.

use fairway_shared::snapshot::route::Share;
use fairway_shared::snapshot::settings::{
    AccessLog, ClientCertHeader, Collector, CustomTag, GatewaySettings, LabelChange, LogFormat,
    MetricChange, PathNormalization, StandardMetric, Tracing,
};

use super::check::{At, FieldError, Problem, each, known, named, required, within};
use crate::wire;
use wire::access_log::Format;
use wire::custom_tag::Value;
use wire::tracing::Collector as WireCollector;

pub(super) fn settings(from: wire::GatewaySettings) -> Result<GatewaySettings, FieldError> {
    Ok(GatewaySettings {
        trusted_proxies: from.trusted_proxies,
        path_normalization: path_normalization(from.path_normalization).at("path_normalization")?,
        client_cert_header: client_cert_header(from.client_cert_header).at("client_cert_header")?,
        access_logs: each("access_logs", from.access_logs, access_log)?,
        tracing: from.tracing.map(tracing).transpose().at("tracing")?,
        metrics: each("metrics", from.metrics, metric_change)?,
        fails_without_secret: from.fails_without_secret,
        dns_refresh_ms: from.dns_refresh_ms,
    })
}

fn path_normalization(from: i32) -> Result<PathNormalization, FieldError> {
    match known(from)? {
        wire::PathNormalization::Unspecified => Err(Problem::Missing.into()),
        wire::PathNormalization::None => Ok(PathNormalization::None),
        wire::PathNormalization::Base => Ok(PathNormalization::Base),
        wire::PathNormalization::MergeSlashes => Ok(PathNormalization::MergeSlashes),
        wire::PathNormalization::DecodeAndMergeSlashes => {
            Ok(PathNormalization::DecodeAndMergeSlashes)
        }
    }
}

fn client_cert_header(from: i32) -> Result<ClientCertHeader, FieldError> {
    match known(from)? {
        wire::ClientCertHeader::Unspecified => Err(Problem::Missing.into()),
        wire::ClientCertHeader::SanitizeSet => Ok(ClientCertHeader::SanitizeSet),
        wire::ClientCertHeader::Sanitize => Ok(ClientCertHeader::Sanitize),
        wire::ClientCertHeader::ForwardOnly => Ok(ClientCertHeader::ForwardOnly),
        wire::ClientCertHeader::AppendForward => Ok(ClientCertHeader::AppendForward),
        wire::ClientCertHeader::AlwaysForwardOnly => Ok(ClientCertHeader::AlwaysForwardOnly),
    }
}

fn access_log(from: wire::AccessLog) -> Result<AccessLog, FieldError> {
    let format = match required(from.format).at("format")? {
        Format::Text(text) => LogFormat::Text(text),
        Format::Json(json) => {
            LogFormat::Json(json.keys.into_iter().map(|key| (key.key, key.value)).collect())
        }
    };
    Ok(AccessLog { file: named(from.file).at("file")?, format, filter: from.filter })
}

fn tracing(from: wire::Tracing) -> Result<Tracing, FieldError> {
    let collector = match required(from.collector).at("collector")? {
        WireCollector::Zipkin(zipkin) => {
            let address = named(zipkin.address).at("address").at("zipkin")?;
            Collector::Zipkin { address, path: zipkin.path }
        }
        WireCollector::Opentelemetry(collector) => {
            let address = named(collector.address).at("address").at("opentelemetry")?;
            Collector::OpenTelemetry { address, http_path: collector.http_path }
        }
    };
    let sampling = within(from.sampling_ppm, 0, Share::ALL.0.into()).at("sampling_ppm")?;
    let custom_tags = each("custom_tags", from.custom_tags, custom_tag)?;
    Ok(Tracing {
        collector,
        sampling: Share(sampling),
        custom_tags,
        uses_w3c: from.uses_w3c,
        is_reporting: from.is_reporting,
    })
}

fn custom_tag(from: wire::CustomTag) -> Result<(String, CustomTag), FieldError> {
    let value = match required(from.value).at("value")? {
        Value::Literal(text) => CustomTag::Literal(text),
        Value::Environment(value) => {
            let name = named(value.name).at("name").at("environment")?;
            CustomTag::Environment { name, default: value.default }
        }
        Value::Header(value) => {
            let name = named(value.name).at("name").at("header")?;
            CustomTag::Header { name, default: value.default }
        }
    };
    Ok((from.tag, value))
}

fn metric_change(from: wire::MetricChange) -> Result<MetricChange, FieldError> {
    let label = |from: wire::LabelChange| {
        let change = from.value.map_or(LabelChange::Remove, LabelChange::Set);
        Ok((named(from.name).at("name")?, change))
    };
    Ok(MetricChange {
        metric: metric(from.metric).at("metric")?,
        is_disabled: from.is_disabled,
        labels: each("labels", from.labels, label)?,
    })
}

fn metric(from: i32) -> Result<StandardMetric, FieldError> {
    match known(from)? {
        wire::StandardMetric::Unspecified => Err(Problem::Missing.into()),
        wire::StandardMetric::RequestCount => Ok(StandardMetric::RequestCount),
        wire::StandardMetric::RequestDuration => Ok(StandardMetric::RequestDuration),
        wire::StandardMetric::RequestSize => Ok(StandardMetric::RequestSize),
        wire::StandardMetric::ResponseSize => Ok(StandardMetric::ResponseSize),
        wire::StandardMetric::GrpcRequestMessages => Ok(StandardMetric::GrpcRequestMessages),
        wire::StandardMetric::GrpcResponseMessages => Ok(StandardMetric::GrpcResponseMessages),
        wire::StandardMetric::TcpOpenedConnections => Ok(StandardMetric::TcpOpenedConnections),
        wire::StandardMetric::TcpClosedConnections => Ok(StandardMetric::TcpClosedConnections),
        wire::StandardMetric::TcpSentBytes => Ok(StandardMetric::TcpSentBytes),
        wire::StandardMetric::TcpReceivedBytes => Ok(StandardMetric::TcpReceivedBytes),
    }
}
