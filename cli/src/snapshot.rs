//! `fairway snapshot`: the versions that control holds, what differs between them, and holding
//! workers at one.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use fairway_proto::json::json;
use fairway_proto::wire::{
    DiffSnapshotsRequest, GetSnapshotRequest, ListSnapshotsRequest, PinSnapshotRequest,
    UnpinSnapshotRequest,
};

use crate::ask::{self, AskError, Control, Target};
use crate::print::{Format, columns, print};

const EXAMPLES: &str = "\
Examples:
  What changed in version 12?
    fairway snapshot diff 11 12
  Roll back, and hold while the configuration is mended:
    fairway snapshot pin 11
  Go on with the newest:
    fairway snapshot unpin

Control holds the last 32 versions, and forgets them and a pin when it ends.
Exit code: 0 done, 1 it does not hold the version or cannot be reached, 2 the command line is
wrong.";

/// `fairway snapshot`.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub struct SnapshotArgs {
    /// What to do.
    #[command(subcommand)]
    pub action: Action,
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t, global = true)]
    pub output: Format,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub target: Target,
}

/// What to do with versions.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum Action {
    /// The versions that control holds, newest first
    List,
    /// One version, whole, without private keys
    Show {
        /// The version [default: the current one]
        #[arg(value_name = "V", default_value_t = 0, hide_default_value = true)]
        version: u64,
    },
    /// What differs between two versions
    Diff {
        /// The older one
        #[arg(value_name = "A")]
        from: u64,
        /// The newer one
        #[arg(value_name = "B")]
        to: u64,
    },
    /// Send this version to every worker, and no other until `unpin`
    Pin {
        /// The version
        #[arg(value_name = "V")]
        version: u64,
    },
    /// Send the newest version again
    Unpin,
}

/// Runs the command.
pub(crate) fn run(args: &SnapshotArgs) -> ExitCode {
    match ask::converse(&args.target, async |control| act(args, control).await) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.report(),
    }
}

async fn act(args: &SnapshotArgs, mut control: Control) -> Result<(), AskError> {
    let form = args.output;
    match args.action {
        Action::List => {
            let request = ListSnapshotsRequest::default();
            let list = control.list_snapshots(request).await?.into_inner();
            print(form, || json(&list), || columns::snapshots(&list));
        }
        Action::Show { version } => {
            let shown = control.get_snapshot(GetSnapshotRequest { version }).await?.into_inner();
            // A whole snapshot has no columns.
            let form = if form == Format::Json { form } else { Format::Yaml };
            print(form, || json(&shown), String::new);
        }
        Action::Diff { from, to } => {
            let request = DiffSnapshotsRequest { from, to };
            let diff = control.diff_snapshots(request).await?.into_inner();
            print(form, || json(&diff), || columns::diff(&diff));
        }
        Action::Pin { version } => {
            let pinned = control.pin_snapshot(PinSnapshotRequest { version }).await?.into_inner();
            let text = format!("workers are held at version {}", pinned.version);
            print(form, || json(&pinned), || text);
        }
        Action::Unpin => {
            let now = control.unpin_snapshot(UnpinSnapshotRequest {}).await?.into_inner();
            let text = format!("workers are sent version {} and what follows", now.version);
            print(form, || json(&now), || text);
        }
    }
    Ok(())
}
