//! The settings of the gateway as a whole as text. What is Istio's default is left out.

use std::fmt::{self, Write};

use fairway_shared::snapshot::settings::{GatewaySettings, LogFormat, Tracing};

pub(super) fn write_settings(settings: &GatewaySettings, out: &mut String) -> fmt::Result {
    let default = GatewaySettings::default();
    if settings.trusted_proxies != default.trusted_proxies {
        writeln!(out, "settings trusted-proxies {}", settings.trusted_proxies)?;
    }
    if settings.path_normalization != default.path_normalization {
        writeln!(out, "settings path-normalization {:?}", settings.path_normalization)?;
    }
    if settings.client_cert_header != default.client_cert_header {
        writeln!(out, "settings client-cert-header {:?}", settings.client_cert_header)?;
    }
    if settings.fails_without_secret {
        writeln!(out, "settings fails-without-secret")?;
    }
    if let Some(ms) = settings.dns_refresh_ms {
        writeln!(out, "settings dns-refresh {ms}ms")?;
    }
    for log in &settings.access_logs {
        match &log.format {
            LogFormat::Text(line) => {
                writeln!(out, "settings access-log {} text {line:?}", log.file)?;
            }
            LogFormat::Json(keys) => {
                writeln!(out, "settings access-log {} json", log.file)?;
                for (key, value) in keys {
                    writeln!(out, "  {key}: {value}")?;
                }
            }
        }
    }
    settings.tracing.iter().try_for_each(|tracing| write_tracing(tracing, out))
}

fn write_tracing(tracing: &Tracing, out: &mut String) -> fmt::Result {
    writeln!(out, "settings tracing {:?} sampling {}ppm", tracing.collector, tracing.sampling.0)?;
    for (tag, value) in &tracing.custom_tags {
        writeln!(out, "  tag {tag}: {value:?}")?;
    }
    Ok(())
}
