//! `fairway status`: whether every worker serves what control published.

use std::process::ExitCode;

use clap::Args;
use fairway_proto::json::json;
use fairway_proto::wire::{ListDataplanesRequest, ListDataplanesResponse};

use crate::ask::{self, Target};
use crate::print::{Format, columns, print};
use crate::say;

const EXAMPLES: &str = "\
Examples:
  Is everything in sync?
    fairway status
  Wait until it is:
    until fairway status >/dev/null; do sleep 1; done

SENT, ACKED and NACKED are versions: what control sent last, what the worker serves, and what it
refused since. Exit code: 0 all in sync, 1 otherwise or control cannot be reached, 2 the command
line is wrong.";

/// `fairway status`.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub struct StatusArgs {
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub target: Target,
}

/// Runs the command.
pub(crate) fn run(args: &StatusArgs) -> ExitCode {
    let asked = ask::converse(&args.target, async |mut control| {
        Ok(control.list_dataplanes(ListDataplanesRequest::default()).await?.into_inner())
    });
    let list = match asked {
        Ok(list) => list,
        Err(error) => return error.report(),
    };
    print(args.output, || json(&list), || columns::status(&list));
    if list.dataplanes.is_empty() {
        say::problem(&"no worker is connected to control");
    }
    if is_in_sync(&list) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Nobody is in sync if nobody is there.
fn is_in_sync(list: &ListDataplanesResponse) -> bool {
    !list.dataplanes.is_empty() && list.dataplanes.iter().all(|worker| worker.in_sync)
}

#[cfg(test)]
mod tests {
    use fairway_proto::wire::Dataplane;

    use super::*;

    #[test]
    fn all_must_be_in_sync_and_there_must_be_some() {
        let list = |workers: &[bool]| {
            let worker = |in_sync: &bool| Dataplane { in_sync: *in_sync, ..Default::default() };
            ListDataplanesResponse { version: 1, dataplanes: workers.iter().map(worker).collect() }
        };
        for (workers, expected) in
            [(&[][..], false), (&[true], true), (&[true, false], false), (&[true, true], true)]
        {
            assert_eq!(is_in_sync(&list(workers)), expected, "{workers:?}");
        }
    }
}
