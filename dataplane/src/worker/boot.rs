//! A worker process from its first line to its last.

use std::cell::OnceCell;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;

use actix::{Actor, Addr, System};
use fairway_shared::ipc::message::{FromWorker, WorkerSettings};
use tokio::sync::Notify;

use super::actor::{AnswerTo, FromSupervisor, WorkerActor};
use super::link::{Link, Opening, Outbox};
use super::subscribe::Subscriber;
use crate::black_box::writer as black_box;
use crate::clock;
use crate::cluster::handle::Around;
use crate::names::actor::{Ask, NamesActor};
use crate::names::resolver::Resolver;
use crate::region::Region;
use crate::sys::fd_pass::worker_socket_from_env;
use crate::sys::privileges;
use crate::telemetry::recording::Outputs;

/// Snapshots on their way from the helper thread: one is offered at a time.
const OFFERS_MAX: usize = 1;

/// Serves until the supervisor says to stop, or is gone.
///
/// `prepare` is called with the settings, before any thread is started: it sets up logging.
pub fn run(prepare: impl FnOnce(&WorkerSettings)) -> ExitCode {
    let socket = match worker_socket_from_env() {
        Ok(socket) => socket,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    let (link, opening) = match Link::open(socket) {
        Ok(opened) => opened,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    let Opening { settings, black_box: memory, region } = opening;
    prepare(&settings);
    if let Err(error) = privileges::shed() {
        tracing::error!(%error, "the worker keeps the privileges of its supervisor");
    }
    if let Some(Err(error)) = memory.map(|memory| black_box::open(&memory)) {
        tracing::warn!(%error, "no black box: a crash would be told without its requests");
    }
    // A failed runtime is a failed start: the supervisor tries again.
    let runner = System::with_tokio_rt(|| {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .on_thread_unpark(clock::refresh)
            .build()
            .expect("a process that just started can have an event loop")
    });
    runner.block_on(serve(link, Arc::new(settings), region));
    ExitCode::SUCCESS
}

async fn serve(link: Link, settings: Arc<WorkerSettings>, region: Option<OwnedFd>) {
    let outbox = Outbox::default();
    let (offers, offered) = crossbeam_channel::bounded(OFFERS_MAX);
    let stop = Rc::new(Notify::new());
    let region = region.and_then(|fd| open_region(fd, &settings));
    let outputs = Outputs::default();
    let names = NamesActor::new(asking(settings.dns_resolver));
    let worker = WorkerActor::new(
        Arc::clone(&settings),
        outbox.clone(),
        offered,
        Around { region, names: names.start() },
        outputs.clone(),
        Rc::clone(&stop),
    );
    let worker = worker.start();
    let (subscriber, verdicts) = Subscriber::new(settings, offers, worker.clone().recipient());
    worker.do_send(AnswerTo(verdicts));
    if let Err(error) = start_helper(subscriber) {
        tracing::error!(%error, "the helper thread cannot start");
        return;
    }
    outbox.send(&FromWorker::ControlConnected(false));
    tokio::select! {
        error = carry(link, outbox, worker) => tracing::error!("{error}: ending"),
        () = stop.notified() => {}
    }
    outputs.logs.close();
}

/// Asks that server, or the system's.
fn asking(server: Option<SocketAddr>) -> Ask {
    let resolver = OnceCell::new();
    Box::new(move |name| {
        let resolver = resolver.get_or_init(|| Resolver::new(server)).clone();
        Box::pin(async move { resolver.ask(&name).await })
    })
}

/// Without what workers share each counts for itself, which is better than not to serve.
fn open_region(fd: OwnedFd, settings: &WorkerSettings) -> Option<Rc<Region>> {
    let region = Region::open(fd, settings.workers, settings.slot);
    region.inspect_err(|error| tracing::warn!("limits and ejections hold per worker: {error}")).ok()
}

async fn carry(link: Link, outbox: Outbox, worker: Addr<WorkerActor>) -> super::link::LinkError {
    // Bounded by what the supervisor sends: a frame for each of ours, and drains.
    link.run(outbox, |frame, fd| worker.do_send(FromSupervisor(frame, fd))).await
}

fn start_helper(subscriber: Subscriber) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::Builder::new()
        .name("subscribe".into())
        .spawn(move || runtime.block_on(subscriber.run()))
        .map(drop)
}
