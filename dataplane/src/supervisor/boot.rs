//! From flags to a running supervisor: directories, ports, threads, in that order.

use std::fs::DirBuilder;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process;
use std::thread;

use crossbeam_channel::{Sender, bounded};
use fairway_shared::id::WorkerSlot;
use fairway_shared::ipc::message::{TicketSeed, WorkerSettings};
use nix::unistd::{Gid, Uid};
use ring::rand::{SecureRandom, SystemRandom};

use super::event::{EVENTS_MAX, Event};
use super::inventory::Inventory;
use super::slot::Policy;
use super::status_lines::StatusLines;
use super::termination::Times;
use super::{End, Holdings, Settings, run};
use crate::admin::{Admin, BindError, Wanted};
use crate::args::Flags;
use crate::region::Region;
use crate::sys::affinity::{allowed_cpus, placement, usable_cpus};
use crate::sys::process::{WorkerCommand, open_inherited};
use crate::sys::signal::{self, TermSignals};
use crate::sys::socket::{ListenError, has_ipv6};
use crate::worker::last_good::proven;

/// Name of the last-good file in the instance directory.
const LAST_GOOD: &str = "last-good";
/// Nobody but this user: what is in the instance directory is trusted.
const INSTANCE_DIR_MODE: u32 = 0o700;

/// Why the supervisor does not start; one line with what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No instance directory.
    #[error("--instance-dir: cannot make {}: {cause}: name a directory that can be written", path.display())]
    InstanceDir {
        /// As wanted.
        path: PathBuf,
        /// What the kernel says; part of the line.
        cause: io::Error,
    },
    /// Workers, which have no privileges, could not reach the instance directory.
    #[error("--instance-dir: workers give up root's privileges and cannot pass {}, which lets only \
             its owner in: name a directory elsewhere", path.display())]
    Closed {
        /// The directory on the way.
        path: PathBuf,
    },
    /// A port is not to be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// No port is free.
    #[error("--port-map: {0}")]
    PortMap(#[from] ListenError),
    /// Nothing to write under that number.
    #[error("--status-fd {fd}: {cause}: pass the write end of a pipe")]
    StatusFd {
        /// As given.
        fd: i32,
        /// What the kernel says; part of the line.
        cause: io::Error,
    },
    /// The kernel gives no random bytes.
    #[error("the kernel gives no random bytes, which session tickets need")]
    NoRandomness,
    /// Memory that workers share.
    #[error("cannot make memory for the workers to share: {0}")]
    Memory(io::Error),
    /// Signals or threads.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
}

/// Starts everything and runs the loop on the calling thread, which should be the only one.
///
/// # Errors
/// [`StartError`]; no worker was started.
pub fn start(flags: &Flags, command: WorkerCommand) -> Result<End, StartError> {
    let signals = TermSignals::block().map_err(StartError::Thread)?;
    make_instance_dir(&flags.instance_dir)?;
    expect_open(&flags.instance_dir)?;
    let wanted = Wanted { admin: flags.admin, status: flags.status, metrics: flags.metrics };
    let admin = Admin::bind(&wanted)?;
    let lines = flags.status_fd.map(status_lines).transpose()?;
    let mut settings = settings(flags, command, &admin);
    let mut inventory = Inventory::default();
    choose_ports(&mut settings.worker, &mut inventory)?;
    choose_ticket_secret(&mut settings.worker)?;
    let has_fallback = proven(&flags.instance_dir.join(LAST_GOOD)).exists();
    let workers = u16::try_from(settings.cpus.len()).unwrap_or(u16::MAX);
    let region = Some(Region::create(workers).map_err(StartError::Memory)?);
    let holdings = Holdings { inventory, region, has_fallback, lines };
    let (sender, events) = bounded(EVENTS_MAX);
    pass_signals_on(signals, sender.clone()).map_err(StartError::Thread)?;
    admin.start(sender.clone(), flags.node.id.clone()).map_err(StartError::Thread)?;
    Ok(run(settings, &events, sender, holdings))
}

fn make_instance_dir(path: &Path) -> Result<(), StartError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(INSTANCE_DIR_MODE);
    let failed = |cause| StartError::InstanceDir { path: path.to_owned(), cause };
    builder.create(path).map_err(failed)
}

/// Root passes every directory; what is left of root in a worker does not.
fn expect_open(path: &Path) -> Result<(), StartError> {
    let failed = |cause| StartError::InstanceDir { path: path.to_owned(), cause };
    let user = (Uid::effective().as_raw(), Gid::effective().as_raw());
    for path in path.canonicalize().map_err(failed)?.ancestors() {
        let met = path.metadata().map_err(failed)?;
        if !may_pass(user, (met.uid(), met.gid()), met.mode()) {
            return Err(StartError::Closed { path: path.to_owned() });
        }
    }
    Ok(())
}

/// Whether the mode of a directory lets a user and group without privileges through. Further groups
/// are not looked at.
fn may_pass(user: (u32, u32), owner: (u32, u32), mode: u32) -> bool {
    let bit = match (user.0 == owner.0, user.1 == owner.1) {
        (true, _) => 0o100,
        (false, true) => 0o010,
        (false, false) => 0o001,
    };
    mode & bit != 0
}

fn status_lines(fd: i32) -> Result<StatusLines, StartError> {
    let file = open_inherited(fd).map_err(|cause| StartError::StatusFd { fd, cause })?;
    StatusLines::start(file).map_err(StartError::Thread)
}

fn settings(flags: &Flags, command: WorkerCommand, admin: &Admin) -> Settings {
    let workers = if flags.workers == 0 { usable_cpus() } else { flags.workers };
    let drain_ms = millis(flags.drain);
    Settings {
        worker: worker_settings(flags, workers),
        command,
        cpus: placement(workers, &allowed_cpus()),
        policy: Policy { stall_ms: millis(flags.stall), ..Policy::default() },
        quarantine_after: flags.quarantine_after,
        times: Times { grace_ms: millis(flags.grace), drain_ms },
        addresses: admin.addresses(process::id()),
    }
}

fn worker_settings(flags: &Flags, workers: u16) -> WorkerSettings {
    WorkerSettings {
        slot: WorkerSlot(0),
        workers,
        bind: if flags.bind.is_empty() { every_address() } else { flags.bind.clone() },
        port_map: flags.port_map.clone(),
        low_port_offset: flags.low_port_offset,
        control_socket: flags.control_socket.clone(),
        control_grpc: flags.control_grpc.clone(),
        node: flags.node.clone(),
        last_good: flags.instance_dir.join(LAST_GOOD).to_string_lossy().into_owned(),
        server_header: flags.server_header.clone(),
        drain_ms: u32::try_from(millis(flags.drain)).unwrap_or(u32::MAX),
        identity_dir: flags.identity_dir.to_string_lossy().into_owned(),
        ticket_secret: TicketSeed::default(),
        log_level: flags.log_level.to_owned(),
        condemned: Vec::new(),
        access_log: flags.access_log.clone(),
        zipkin: flags.zipkin.clone(),
        dns_resolver: flags.dns_resolver,
        edge: flags.edge,
    }
}

/// Gives every listener that may have any port one of its own, the same for all workers and for
/// as long as the supervisor lives.
fn choose_ports(worker: &mut WorkerSettings, inventory: &mut Inventory) -> Result<(), ListenError> {
    for local in worker.port_map.values_mut().filter(|local| **local == 0) {
        *local = inventory.reserve(&worker.bind)?;
    }
    Ok(())
}

/// All workers, and those that replace them, can use each other's session tickets.
fn choose_ticket_secret(worker: &mut WorkerSettings) -> Result<(), StartError> {
    let failed = |_| StartError::NoRandomness;
    SystemRandom::new().fill(&mut worker.ticket_secret.0).map_err(failed)
}

/// A host without IPv6 must not get a problem reported for every listener.
fn every_address() -> Vec<IpAddr> {
    let mut all = vec![IpAddr::V4(Ipv4Addr::UNSPECIFIED)];
    all.extend(has_ipv6().then_some(IpAddr::V6(Ipv6Addr::UNSPECIFIED)));
    all
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn pass_signals_on(signals: TermSignals, events: Sender<Event>) -> io::Result<()> {
    let pass = move || {
        while let Ok(signal) = signals.wait() {
            let event = match signal {
                signal::Request::End(signal) => Event::Signal(signal),
                signal::Request::ReopenLogs => Event::ReopenLogs,
            };
            if events.send(event).is_err() {
                return;
            }
        }
    };
    thread::Builder::new().name("signals".to_owned()).spawn(pass)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_class_that_the_user_is_in_counts() {
        for (user, owner, mode, expected) in [
            ((0, 0), (0, 0), 0o700, true),
            ((0, 0), (0, 0), 0o077, false),
            ((0, 0), (1000, 1000), 0o700, false),
            ((0, 0), (1000, 1000), 0o701, true),
            ((0, 0), (1000, 0), 0o710, true),
            ((0, 0), (1000, 0), 0o707, false),
        ] {
            assert_eq!(may_pass(user, owner, mode), expected, "{user:?} {owner:?} {mode:o}");
        }
    }
}
