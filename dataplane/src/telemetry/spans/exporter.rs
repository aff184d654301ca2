//! The helper thread that sends spans, in batches, over a bounded queue. What does not fit, or
//! what the collector does not take, is lost and counted.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, bounded};
use fairway_shared::snapshot::settings::Collector;
use http::header::{CONTENT_TYPE, HOST};
use http::{Request, StatusCode};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::encode;
use super::span::Span;

/// Spans that wait for the thread.
const QUEUE_SPANS_MAX: usize = 4096;
/// Spans sent at once.
const BATCH_SPANS_MAX: usize = 100;
/// How long a span waits for others.
const LINGER: Duration = Duration::from_millis(200);
/// For a collector to take a batch.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two complaints.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(10);

/// All exporters of one worker: the one in use, and what the ones before lost.
#[derive(Debug, Clone, Default)]
pub struct SpanOutput(Rc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    current: RefCell<Option<Rc<Exporter>>>,
    dropped: Rc<Cell<u64>>,
    failed: Arc<AtomicU64>,
}

/// The thread of one collector, as the worker knows it. It ends with this.
#[derive(Debug)]
pub struct Exporter {
    target: Target,
    queue: Sender<Span>,
    dropped: Rc<Cell<u64>>,
}

/// Where spans go, and in which form.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Target {
    address: String,
    path: String,
    service: String,
    is_zipkin: bool,
}

/// Why a batch is lost.
#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error("cannot connect: {0}")]
    Connect(#[from] std::io::Error),
    #[error("{0}")]
    Http(#[from] hyper::Error),
    #[error("not a request: {0}")]
    Request(#[from] http::Error),
    #[error("answered {0}")]
    Status(StatusCode),
    #[error("no answer within {SEND_TIMEOUT:?}")]
    TimedOut,
}

impl SpanOutput {
    /// The exporter of a collector; the one in use if it is the same.
    pub fn exporter(&self, collector: &Collector, service: &str) -> Rc<Exporter> {
        let target = Target::new(collector, service);
        let mut current = self.0.current.borrow_mut();
        if let Some(same) = current.as_ref().filter(|exporter| exporter.target == target) {
            return Rc::clone(same);
        }
        let queue = start(target.clone(), Arc::clone(&self.0.failed));
        let exporter = Rc::new(Exporter { target, queue, dropped: Rc::clone(&self.0.dropped) });
        current.insert(exporter).clone()
    }

    /// Spans lost since the worker started.
    pub fn dropped(&self) -> u64 {
        self.0.dropped.get().saturating_add(self.0.failed.load(Ordering::Relaxed))
    }
}

impl Exporter {
    /// Hands a span over, or counts it as lost.
    pub fn send(&self, span: Span) {
        if self.queue.try_send(span).is_err() {
            self.dropped.set(self.dropped.get() + 1);
        }
    }
}

impl Target {
    fn new(collector: &Collector, service: &str) -> Self {
        let (address, path, is_zipkin) = match collector {
            Collector::Zipkin { address, path } => (address, path.as_str(), true),
            Collector::OpenTelemetry { address, http_path } => {
                (address, http_path.as_deref().unwrap_or("/v1/traces"), false)
            }
        };
        let (address, path, service) = (address.clone(), path.to_owned(), service.to_owned());
        Self { address, path, service, is_zipkin }
    }
}

/// Without a thread the queue has no other end, and every span counts as lost.
fn start(target: Target, failed: Arc<AtomicU64>) -> Sender<Span> {
    let (queue, spans) = bounded(QUEUE_SPANS_MAX);
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        match runtime {
            Ok(runtime) => carry(&target, &spans, &failed, &runtime),
            Err(error) => tracing::error!("spans cannot be sent: {error}"),
        }
    };
    if let Err(error) = thread::Builder::new().name("spans".to_owned()).spawn(run) {
        tracing::error!("spans cannot be sent: {error}");
    }
    queue
}

/// Ends with the exporter.
fn carry(
    target: &Target,
    spans: &Receiver<Span>,
    failed: &AtomicU64,
    runtime: &tokio::runtime::Runtime,
) {
    let mut complained: Option<Instant> = None;
    while let Ok(first) = spans.recv() {
        let (mut batch, deadline) = (vec![first], Instant::now() + LINGER);
        while batch.len() < BATCH_SPANS_MAX
            && let Ok(span) = spans.recv_deadline(deadline)
        {
            batch.push(span);
        }
        let body = match target.is_zipkin {
            true => encode::zipkin(&batch, &target.service),
            false => encode::otlp(&batch, &target.service),
        };
        let sent = runtime.block_on(async {
            let sending = tokio::time::timeout(SEND_TIMEOUT, post(target, body));
            sending.await.unwrap_or(Err(SendError::TimedOut))
        });
        if let Err(error) = sent {
            failed.fetch_add(batch.len() as u64, Ordering::Relaxed);
            if complained.is_none_or(|at| at.elapsed() >= COMPLAINT_INTERVAL) {
                complained = Some(Instant::now());
                tracing::warn!("collector {}: {error}, spans are lost", target.address);
            }
        }
    }
}

/// One connection per batch: at a few per second that is simpler than keeping one alive.
async fn post(target: &Target, body: Vec<u8>) -> Result<(), SendError> {
    let stream = TcpStream::connect(&target.address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::post(&target.path)
        .header(HOST, &target.address)
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))?;
    let (sent, _) = tokio::join!(
        async {
            let response = sender.send_request(request).await?;
            // Without a sender the connection ends as soon as the answer is in.
            drop(sender);
            Ok::<_, SendError>(response.status())
        },
        connection
    );
    match sent? {
        status if status.is_success() => Ok(()),
        status => Err(SendError::Status(status)),
    }
}
