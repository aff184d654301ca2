//! `fairway up`: control, supervisor and workers as processes of this machine, in the foreground.
//!
//! `driver` is the loop: events in, orders out. What the orders are is decided in `lifecycle`; what
//! `instance.json` says, in `board`; what a person reads, in `banner`; how a process is started,
//! in `commands` (the words) and `process` (the deed).

mod banner;
mod board;
mod commands;
mod driver;
mod hint;
pub(crate) mod instance_dir;
mod lifecycle;
pub(crate) mod process;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tokio::runtime::{Builder, Runtime};

use crate::args::{UpArgs, UpOptions};
use crate::{USAGE, say};
use instance_dir::InstanceDir;

/// Why nothing was started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SetupError {
    #[error("directory `{}` does not exist: create it, or name the one that holds your manifests", path.display())]
    Missing { path: PathBuf },
    #[error("`{}` is not a directory: name the directory that holds your manifests", path.display())]
    NotADirectory { path: PathBuf },
    #[error("cannot read directory `{}`: {source}", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    InstanceDir(#[from] instance_dir::DirError),
    #[error("cannot start the event loop: {0}")]
    Runtime(std::io::Error),
}

impl SetupError {
    /// 2 if another command line would have worked.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Missing { .. } | Self::NotADirectory { .. } | Self::InstanceDir(_) => USAGE,
            Self::Unreadable { .. } | Self::Runtime(_) => 1,
        }
    }
}

/// What is served, with what, and where it is kept.
#[derive(Debug)]
pub(crate) struct Setup {
    pub config: PathBuf,
    pub options: UpOptions,
    pub dir: InstanceDir,
    /// One more line for the person, at first readiness.
    pub tip: Option<String>,
}

/// Runs until it is told to stop; see [`crate::main_with`] for the exit codes.
pub(crate) fn run(args: &UpArgs) -> ExitCode {
    match prepare(args) {
        Ok((setup, runtime)) => runtime.block_on(driver::drive(&setup)),
        Err(error) => refuse(&error),
    }
}

/// The same for a directory that was made a moment ago, within a runtime.
pub(crate) async fn serve(setup: &Setup) -> ExitCode {
    driver::drive(setup).await
}

/// Prints the error and gives its exit code.
pub(crate) fn refuse(error: &SetupError) -> ExitCode {
    say::problem(error);
    ExitCode::from(error.exit_code())
}

fn prepare(args: &UpArgs) -> Result<(Setup, Runtime), SetupError> {
    let config = readable_directory(&args.dir)?;
    let dir = InstanceDir::open(args.options.instance_dir.as_deref())?;
    Ok((Setup { config, options: args.options.clone(), dir, tip: None }, runtime()?))
}

/// One thread, and it must be the main one: a child is told when the thread that started it ends.
pub(crate) fn runtime() -> Result<Runtime, SetupError> {
    Builder::new_current_thread().enable_all().build().map_err(SetupError::Runtime)
}

fn readable_directory(path: &Path) -> Result<PathBuf, SetupError> {
    let path = path.to_owned();
    match std::fs::read_dir(&path) {
        Ok(_) => Ok(path),
        Err(error) => Err(match error.kind() {
            std::io::ErrorKind::NotFound => SetupError::Missing { path },
            std::io::ErrorKind::NotADirectory => SetupError::NotADirectory { path },
            _ => SetupError::Unreadable { path, source: error },
        }),
    }
}
