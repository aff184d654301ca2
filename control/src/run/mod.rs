//! The control process: binds everything, starts the actors and servers, and ends on a signal.
//!
//! Order: sockets first, so that a port in use is told before anything else happens; then the
//! publisher and its servers; the source last. Two runtimes: the actors share one thread, the
//! servers and the compiler have their own, so that neither a large compile nor a slow reader
//! holds up the actors.

pub mod actor;
mod servers;
mod sockets;
mod status;

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use actix::prelude::*;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{Settings, one_line};
use crate::object::GatewayPod;
use crate::publish::publisher::Publisher;
use crate::source::directory::{DirectoryError, DirectorySource, POLL_DEFAULT};
use crate::source::kube::{ClusterAccess, ConnectError, KubeSource};
use crate::source::mesh_file::{MeshFile, MeshFileError};
use crate::store::actor::{SourceChanged, StoreActor};
use crate::store::debounce::DebouncePolicy;
use actor::CompileActor;
use sockets::{SocketError, Sockets};
use status::StatusError;

/// Threads that serve gRPC, pages and the control socket.
const SERVER_THREADS: usize = 2;
/// Exit code of a command line that cannot be.
const EXIT_USAGE: u8 = 2;
/// Exit code of everything else.
const EXIT_FAILURE: u8 = 1;

/// Why control does not run. Each prints as one line with its cause.
#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error("--config-dir: {0}")]
    Directory(#[from] DirectoryError),
    #[error("--mesh-config: {0}")]
    MeshFile(#[from] MeshFileError),
    #[error(transparent)]
    Cluster(#[from] ConnectError),
    #[error(transparent)]
    Socket(#[from] SocketError),
    #[error(transparent)]
    Status(#[from] StatusError),
    #[error("cannot start a runtime")]
    Runtime(#[source] io::Error),
}

impl RunError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Directory(DirectoryError::NoThread(_)) => EXIT_FAILURE,
            Self::Directory(_) | Self::MeshFile(_) | Self::Cluster(_) => EXIT_USAGE,
            Self::Socket(_) | Self::Status(_) | Self::Runtime(_) => EXIT_FAILURE,
        }
    }
}

/// The whole program: reads the command line, runs control until SIGTERM or SIGINT, and says how
/// it went. The first of `args` is the program. Sets the process's panic hook and logger.
pub fn main_with(args: impl Iterator<Item = OsString>) -> ExitCode {
    let settings = match Settings::read(args) {
        Ok(settings) => settings,
        Err(error) if !error.use_stderr() => {
            // Help or version was asked for; a reader that is gone has read enough.
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        Err(error) => return fail(&one_line(&error), EXIT_USAGE),
    };
    start_logging(&settings);
    abort_on_panic();
    match run(&settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&with_causes(&error), error.exit_code()),
    }
}

fn fail(line: &str, code: u8) -> ExitCode {
    eprintln!("fairway-control: {line}");
    ExitCode::from(code)
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        // A transparent error repeats its cause.
        if !line.ends_with(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        cause = error.source();
    }
    line
}

fn start_logging(settings: &Settings) {
    let logger = tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(false)
        .with_target(false)
        .without_time()
        .compact()
        .with_max_level(settings.log_filter());
    // Fails if the program has a logger already, which then serves as well.
    let _ = logger.try_init();
}

/// An actor that panics would vanish in silence and leave the rest waiting for it: the process
/// goes instead, and whoever started it starts another.
fn abort_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        eprintln!("fairway-control: {panic}");
        std::process::abort();
    }));
}

fn run(settings: &Settings) -> Result<(), RunError> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(SERVER_THREADS)
        .thread_name("control-server")
        .enable_all()
        .build()
        .map_err(RunError::Runtime)?;
    let outcome = System::new().block_on(run_until_signal(settings, runtime.handle().clone()));
    stop(runtime);
    outcome
}

/// Ends without waiting for connections or a compile: workers keep what they have.
fn stop(runtime: Runtime) {
    runtime.shutdown_background();
}

async fn run_until_signal(settings: &Settings, servers: Handle) -> Result<(), RunError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Runtime)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Runtime)?;
    let sockets = Sockets::bind(settings)?;
    let status = sockets.status();
    let publisher = Publisher::start();
    // Held to the end: dropping it removes the socket's path.
    let _path = servers::start(&servers, sockets, &publisher).map_err(SocketError::from)?;
    let source = start_pipeline(settings, &servers, publisher.clone()).await?;
    if let Some(descriptor) = settings.status_fd {
        status::write(descriptor, &status)?;
        servers.spawn(status::follow(descriptor, status.clone(), publisher));
    }
    tracing::info!("{}", status::listening(&status));
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping");
    // Its thread may be in the middle of a large directory; nothing it could still find matters.
    std::mem::forget(source);
    Ok(())
}

/// Where the objects come from.
#[derive(Debug)]
enum Source {
    Directory(#[expect(dead_code, reason = "held for its end")] DirectorySource),
    Cluster(#[expect(dead_code, reason = "held for its end")] KubeSource),
}

/// Source to store to compile to publisher.
async fn start_pipeline(
    settings: &Settings,
    servers: &Handle,
    publisher: Publisher,
) -> Result<Source, RunError> {
    let pod = GatewayPod {
        labels: settings.gateway_labels.clone(),
        namespace: settings.namespace.clone(),
        domain: settings.domain.clone(),
        node: settings.node_name.clone(),
        locality: settings.locality.clone(),
        takes_own_namespace_only: settings.scopes_gateways(),
    };
    let compiler =
        CompileActor::new(Arc::new(pod), settings.on_secret_deleted, publisher, servers.clone())
            .start();
    let whole_ms = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let policy = DebouncePolicy {
        quiet_ms: whole_ms(settings.debounce_after),
        longest_ms: whole_ms(settings.debounce_max),
    };
    let store = StoreActor::new(policy, compiler.recipient()).start();
    if let Some(path) = &settings.mesh_config {
        // First, so that nothing is compiled without it.
        let (file, event) = MeshFile::open(path)?;
        store.do_send(SourceChanged(vec![event]));
        actix::spawn(follow(file, store.clone(), servers.clone()));
    }
    let sink = move |events| store.do_send(SourceChanged(events));
    if let Some(directory) = &settings.config_dir {
        return Ok(Source::Directory(DirectorySource::start(directory, POLL_DEFAULT, sink)?));
    }
    let access = match &settings.kube_context {
        Some(context) => ClusterAccess::Context(context.clone()),
        None => ClusterAccess::Inferred,
    };
    let namespaces = &settings.watch_namespaces;
    let namespace = &settings.namespace;
    Ok(Source::Cluster(KubeSource::start(&access, namespaces, namespace, servers, sink).await?))
}

/// Tells the store of each new version of the file, for as long as the process runs.
async fn follow(mut file: MeshFile, store: Addr<StoreActor>, threads: Handle) {
    loop {
        actix::clock::sleep(POLL_DEFAULT).await;
        let looked = threads.spawn_blocking(move || {
            let event = file.look();
            (file, event)
        });
        // Fails only while the process goes down.
        let Ok((same, event)) = looked.await else { return };
        file = same;
        if let Some(event) = event {
            store.do_send(SourceChanged(vec![event]));
        }
    }
}
