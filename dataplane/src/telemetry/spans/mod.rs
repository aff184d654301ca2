//! Spans: context is passed on for every request while tracing is on, and sampled requests become
//! spans that a helper thread sends. A collector that is down costs spans, which are counted.

mod context;
mod encode;
mod exporter;
mod span;

pub use context::Context;
pub use exporter::SpanOutput;

use std::rc::Rc;
use std::time::SystemTime;

use fairway_shared::ipc::message::NodeIdentity;
use fairway_shared::snapshot::route::Share;
use fairway_shared::snapshot::settings::{Collector, CustomTag, Tracing};
use http::header::{HeaderMap, HeaderName};

use super::record::{Capture, Record, Side, Slot};
use context::Family;
use exporter::Exporter;

/// Path of Zipkin's collector (Istio contract 6.4).
const ZIPKIN_PATH: &str = "/api/v2/spans";
/// Share of requests sampled unless the mesh says otherwise.
const DEFAULT_SHARE: Share = Share(10_000);

/// Tracing as a snapshot wants it.
#[derive(Debug)]
pub struct Tracer {
    exporter: Option<Rc<Exporter>>,
    share: Share,
    reads_w3c: bool,
    fresh: Family,
    user_agent: Slot,
    request_id: Slot,
    /// Tags that are the same for every span.
    fixed: Vec<(String, String)>,
    /// Tags from request headers, and what stands in for those that are absent.
    from_headers: Vec<(String, Slot, String)>,
}

impl Tracer {
    /// Compiles the settings; what it wants of headers is added to `capture`. `flag` is the
    /// command line's collector, in place of the settings'.
    pub fn new(
        settings: Option<&Tracing>,
        flag: Option<&str>,
        node: &NodeIdentity,
        output: &SpanOutput,
        capture: &mut Capture,
    ) -> Option<Self> {
        let zipkin = flag.map(|address| Collector::Zipkin {
            address: address.to_owned(),
            path: ZIPKIN_PATH.to_owned(),
        });
        let collector = zipkin.or_else(|| settings.map(|settings| settings.collector.clone()))?;
        let fresh = match collector {
            Collector::Zipkin { .. } => Family::B3,
            Collector::OpenTelemetry { .. } => Family::W3c,
        };
        let is_reporting = settings.is_none_or(|settings| settings.is_reporting);
        let mut tracer = Self {
            exporter: is_reporting.then(|| output.exporter(&collector, &service_name(node))),
            share: settings.map_or(DEFAULT_SHARE, |settings| settings.sampling),
            reads_w3c: fresh == Family::W3c || settings.is_some_and(|settings| settings.uses_w3c),
            fresh,
            user_agent: capture.slot(Side::Request, &http::header::USER_AGENT),
            request_id: capture.slot(Side::Request, &crate::http::request::REQUEST_ID),
            fixed: span::fixed_tags(node),
            from_headers: Vec::new(),
        };
        for (name, tag) in settings.into_iter().flat_map(|settings| &settings.custom_tags) {
            tracer.custom(name, tag, capture);
        }
        Some(tracer)
    }

    fn custom(&mut self, name: &str, tag: &CustomTag, capture: &mut Capture) {
        let name = name.to_owned();
        match tag {
            CustomTag::Literal(text) => self.fixed.push((name, text.clone())),
            CustomTag::Environment { name: variable, default } => {
                let value = std::env::var(variable).unwrap_or_else(|_| default.clone());
                self.fixed.push((name, value));
            }
            CustomTag::Header { name: header, default } => {
                if let Ok(header) = header.parse::<HeaderName>() {
                    let slot = capture.slot(Side::Request, &header);
                    self.from_headers.push((name, slot, default.clone()));
                }
            }
        }
    }

    /// The gateway's span for a request with these headers.
    pub fn begin(&self, headers: &HeaderMap) -> Context {
        Context::begin(headers, self.reads_w3c, self.fresh, self.share)
    }

    /// Is a span of this context sent at all?
    pub fn is_wanted(&self, context: &Context) -> bool {
        context.is_sampled && self.exporter.is_some()
    }

    /// Sends the span of a request that ended at `now`.
    pub fn finish(&self, context: &Context, record: &Record, now: SystemTime) {
        if let Some(exporter) = self.exporter.as_ref().filter(|_| context.is_sampled) {
            exporter.send(self.span(context, record, now));
        }
    }
}

/// `--serviceCluster` of the reference is the app and its namespace by default.
fn service_name(node: &NodeIdentity) -> String {
    let app = node.labels.get("app").map_or("istio-ingressgateway", String::as_str);
    format!("{app}.{}", node.namespace)
}
