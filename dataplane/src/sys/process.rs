//! Worker processes: started with their end of the link, killed, and waited for.
//!
//! A process stays a zombie, and its id its own, until [`reap`]: whoever kills by id cannot hit
//! a stranger as long as the same thread kills and reaps.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal, kill as send_signal};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::{Pid as NixPid, getpid, getppid};

use super::affinity;
use super::fd_pass::WORKER_FD_ENV;

/// A child process of this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pid(pub u32);

impl Pid {
    fn raw(self) -> NixPid {
        NixPid::from_raw(self.0 as i32)
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// By itself.
    Code(i32),
    /// By a signal, by name: `SIGKILL`.
    Signal(&'static str),
    /// The kernel does not say.
    Unknown,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(name) => f.write_str(name),
            Self::Unknown => f.write_str("unknown cause"),
        }
    }
}

/// What is executed for a worker.
#[derive(Debug, Clone)]
pub struct WorkerCommand {
    /// The executable.
    pub program: PathBuf,
    /// `argv[0]`: what `ps` shows.
    pub name: OsString,
    /// The arguments after it.
    pub args: Vec<OsString>,
    /// Added to this process's environment.
    pub env: Vec<(OsString, OsString)>,
}

/// Starts a worker that finds `socket` by [`WORKER_FD_ENV`], in a process group of its own, so
/// that a terminal's Ctrl-C reaches the supervisor alone. It gets `SIGTERM` when the calling
/// thread ends, which must therefore be the one that runs the supervisor's loop.
///
/// # Errors
/// The kernel's; nothing runs then.
pub fn spawn(command: &WorkerCommand, socket: UnixStream, cpu: Option<u16>) -> io::Result<Pid> {
    let parent = getpid();
    let fd = socket.as_fd().as_raw_fd();
    let mut child = Command::new(&command.program);
    child.arg0(&command.name).args(&command.args).envs(command.env.iter().cloned());
    child.env(WORKER_FD_ENV, fd.to_string()).stdin(Stdio::null()).process_group(0);
    let prepare = move || {
        prctl::set_pdeathsig(Signal::SIGTERM)?;
        if getppid() != parent {
            return Err(Errno::ECHILD.into()); // orphaned before the line above took effect
        }
        SigSet::empty().thread_set_mask()?;
        set_close_on_exec(&socket, false)?;
        match cpu {
            Some(cpu) => affinity::pin_self(cpu),
            None => Ok(()),
        }
    };
    // SAFETY: `prepare` runs between fork and exec and makes only plain syscalls, without
    // allocating or locking; it owns `socket`, so the descriptor is open when it runs.
    unsafe { child.pre_exec(prepare) };
    Ok(Pid(child.spawn()?.id()))
}

/// Ends a process at once. Harmless if it has ended and is not reaped.
pub fn kill(pid: Pid) {
    // The only failure is that the process is gone, which is what was wanted.
    let _ = send_signal(pid.raw(), Signal::SIGKILL);
}

/// Blocks until a process has ended; it stays a zombie.
pub fn await_exit(pid: Pid) -> Exit {
    loop {
        match waitid(Id::Pid(pid.raw()), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) {
            Ok(WaitStatus::Exited(_, code)) => return Exit::Code(code),
            Ok(WaitStatus::Signaled(_, signal, _)) => return Exit::Signal(signal.as_str()),
            Err(Errno::EINTR) => {}
            Ok(_) | Err(_) => return Exit::Unknown,
        }
    }
}

/// Gives the process id of an ended process back to the kernel.
pub fn reap(pid: Pid) {
    // The only failure is that somebody else has done it.
    let _ = waitpid(pid.raw(), Some(WaitPidFlag::WNOHANG));
}

/// Opens the write end of a pipe or file that this process inherited, and keeps the original
/// from its children, so that the reader sees the end when this process ends.
///
/// # Errors
/// The kernel's, as when nothing is open under that number, or it is a socket.
pub fn open_inherited(fd: RawFd) -> io::Result<File> {
    let file = File::options().write(true).open(format!("/proc/self/fd/{fd}"))?;
    // SAFETY: opening it has just shown that it is open, and it is borrowed for one call.
    set_close_on_exec(&unsafe { BorrowedFd::borrow_raw(fd) }, true)?;
    Ok(file)
}

fn set_close_on_exec(fd: &impl AsFd, is_set: bool) -> io::Result<()> {
    let flags = if is_set { FdFlag::FD_CLOEXEC } else { FdFlag::empty() };
    fcntl(fd, FcntlArg::F_SETFD(flags))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    fn shell(script: &str) -> WorkerCommand {
        WorkerCommand {
            program: "/bin/sh".into(),
            name: "sh".into(),
            args: vec!["-c".into(), script.into()],
            env: vec![("GREETING".into(), "hello".into())],
        }
    }

    fn exit_of(script: &str) -> Exit {
        let (_ours, theirs) = UnixStream::pair().unwrap();
        let pid = spawn(&shell(script), theirs, None).unwrap();
        let exit = await_exit(pid);
        reap(pid);
        exit
    }

    #[test]
    fn an_end_tells_its_code_or_its_signal() {
        for (script, expected) in [
            ("exit 0", "exit code 0"),
            ("exit 7", "exit code 7"),
            ("kill -SEGV $$", "SIGSEGV"),
            ("kill -KILL $$", "SIGKILL"),
        ] {
            assert_eq!(exit_of(script).to_string(), expected, "{script}");
        }
    }

    #[test]
    fn a_worker_finds_its_socket_by_the_environment_and_nobody_else_holds_it() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        // A shell could not write to a descriptor of two digits.
        let own_test = "sys::process::tests::speaks_to_its_supervisor_when_run_as_a_worker";
        let command = WorkerCommand {
            program: std::env::current_exe().unwrap(),
            args: vec!["--exact".into(), own_test.into()],
            ..shell("")
        };
        let pid = spawn(&command, theirs, None).unwrap();
        let mut said = String::new();
        ours.read_to_string(&mut said).unwrap(); // ends only when every copy is closed
        assert_eq!(said, "hello sh");
        await_exit(pid);
        reap(pid);
    }

    /// The other half of the test before: does nothing in a test run of its own.
    #[test]
    fn speaks_to_its_supervisor_when_run_as_a_worker() {
        let Ok(greeting) = std::env::var("GREETING") else { return };
        let mut socket = super::super::fd_pass::worker_socket_from_env().unwrap();
        let name = std::env::args().next().unwrap();
        write!(socket, "{greeting} {name}").unwrap();
    }

    #[test]
    fn a_process_is_waited_for_twice_but_reaped_once() {
        let (_ours, theirs) = UnixStream::pair().unwrap();
        let pid = spawn(&shell("sleep 100"), theirs, None).unwrap();
        kill(pid);
        assert_eq!(await_exit(pid), Exit::Signal("SIGKILL"));
        kill(pid);
        assert_eq!(await_exit(pid), Exit::Signal("SIGKILL"));
        reap(pid);
        assert_eq!(await_exit(pid), Exit::Unknown);
    }

    #[test]
    fn an_inherited_pipe_is_written_to_and_a_number_that_is_not_open_is_refused() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let mut file = open_inherited(writer.as_raw_fd()).unwrap();
        file.write_all(b"line").unwrap();
        drop((file, writer));
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "line");
        assert!(open_inherited(1_000_000).is_err());
    }
}
