//! What the settings of a snapshot want recorded of each request beyond figures. Compiled once
//! per snapshot; a request loads it once.

use std::time::SystemTime;

use fairway_shared::ipc::message::{AccessLogFlag, WorkerSettings};
use fairway_shared::snapshot::settings::{AccessLog, GatewaySettings, LogFormat};
use http::header::HeaderMap;

use super::access_log::{Log, LogOutput};
use super::evaluate::Operand;
use super::labels::Shapes;
use super::record::{Capture, Record};
use super::spans::{Context, SpanOutput, Tracer};

/// See the module. The default records nothing.
#[derive(Debug, Default)]
pub struct Recording {
    logs: Box<[Log]>,
    /// Labels of metrics that are taken from the request.
    labels: Box<[Operand]>,
    tracer: Option<Tracer>,
    /// What is wanted of headers.
    pub capture: Capture,
}

/// Where what is recorded goes, beyond the life of one recording.
#[derive(Debug, Clone, Default)]
pub struct Outputs {
    /// Lines.
    pub logs: LogOutput,
    /// Spans.
    pub spans: SpanOutput,
}

impl Recording {
    /// Compiles the settings; the worker's flags stand in for them. A log whose format cannot be
    /// written is left out: control lets none through.
    pub fn new(
        settings: &GatewaySettings,
        worker: &WorkerSettings,
        hostname: &str,
        outputs: &Outputs,
        shapes: &Shapes,
    ) -> Self {
        let mut capture = Capture::default();
        let labels = shapes.wanted().iter().map(|value| Operand::new(value, &mut capture));
        let labels = labels.collect();
        let logs = wanted(&settings.access_logs, &worker.access_log);
        let logs = logs.iter().filter_map(|log| {
            let compiled = Log::new(log, hostname, &outputs.logs, &mut capture);
            compiled.inspect_err(|error| tracing::error!("access log {}: {error}", log.file)).ok()
        });
        let logs = logs.collect();
        let (tracing, flag) = (settings.tracing.as_ref(), worker.zipkin.as_deref());
        let tracer = Tracer::new(tracing, flag, &worker.node, &outputs.spans, &mut capture);
        Self { logs, labels, tracer, capture }
    }

    /// The gateway's span for a request with these headers, if tracing is on.
    pub fn context(&self, headers: &HeaderMap) -> Option<Context> {
        self.tracer.as_ref().map(|tracer| tracer.begin(headers))
    }

    /// Does anybody want a record of a request with this context?
    pub fn wants_record(&self, context: Option<&Context>) -> bool {
        let is_traced = || {
            let (Some(tracer), Some(context)) = (&self.tracer, context) else { return false };
            tracer.is_wanted(context)
        };
        !self.logs.is_empty() || !self.labels.is_empty() || is_traced()
    }

    /// Values of the labels that are taken from the request.
    pub fn labels(&self, record: &Record) -> Vec<String> {
        self.labels.iter().map(|label| label.text(record)).collect()
    }

    /// Hands a finished record to all who want it.
    pub fn finish(&self, record: &Record, context: Option<&Context>) {
        let now = SystemTime::now();
        self.logs.iter().for_each(|log| log.write(record, now));
        if let (Some(tracer), Some(context)) = (&self.tracer, context) {
            tracer.finish(context, record, now);
        }
    }
}

/// The flag's file stands in for the settings' files; the first one's format stays.
fn wanted(configured: &[AccessLog], flag: &AccessLogFlag) -> Vec<AccessLog> {
    match flag {
        AccessLogFlag::Unset => configured.to_vec(),
        AccessLogFlag::Off => Vec::new(),
        AccessLogFlag::File(file) => {
            let format = configured.first().map(|log| log.format.clone());
            let format = format.unwrap_or_else(LogFormat::default_text);
            vec![AccessLog { file: file.clone(), format, filter: None }]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_wins_over_the_settings() {
        let log =
            |file: &str, format: LogFormat| AccessLog { file: file.into(), format, filter: None };
        let configured = [log("/a", LogFormat::default_json())];
        let file = |name: &str| AccessLogFlag::File(name.into());
        for (configured, flag, expected) in [
            (&configured[..], AccessLogFlag::Unset, vec![configured[0].clone()]),
            (&configured[..], AccessLogFlag::Off, vec![]),
            (&configured[..], file("/b"), vec![log("/b", LogFormat::default_json())]),
            (&[], file("/b"), vec![log("/b", LogFormat::default_text())]),
            (&[], AccessLogFlag::Unset, vec![]),
        ] {
            assert_eq!(wanted(configured, &flag), expected, "{flag:?}");
        }
    }
}
