//! `fairway analyze`: what is wrong with manifests, without a cluster and without a gateway.

mod report;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use fairway_control::offline;
use fairway_shared::diagnostic::Severity;

use crate::pod::PodArgs;
use crate::{USAGE, say};

const EXAMPLES: &str = "\
Examples:
  A directory, as CI would check it:
    fairway analyze deploy/examples/dk-shop
  What a cluster holds:
    kubectl get gw,vs,dr,svc,endpointslices,pods -A -o yaml | fairway analyze -
  Findings as annotations of a pull request:
    fairway analyze -o sarif manifests/ > fairway.sarif

Each finding is one line:
  Error [IST0101] (VirtualService dk-shop/user dk-shop.yaml:23) message: remedy

Exit code: 0 nothing at or above the threshold, 1 otherwise, 2 the command line is wrong.";

/// `fairway analyze`.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub struct AnalyzeArgs {
    /// Files and directories; `-` is standard input
    #[arg(value_name = "PATH", required_unless_present = "kube")]
    pub paths: Vec<PathBuf>,
    /// Look at the objects of the current Kubernetes cluster as well
    #[arg(long)]
    pub kube: bool,
    /// Least severe finding that makes the exit code 1
    #[arg(long, value_name = "LEVEL", value_enum, default_value_t)]
    pub failure_threshold: Threshold,
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Form,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub pod: PodArgs,
}

/// Least severe finding that counts as a failure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Threshold {
    /// Every finding.
    Info,
    /// Warnings and errors.
    Warning,
    /// Errors.
    #[default]
    Error,
}

/// How findings are printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// One line a finding.
    #[default]
    Text,
    /// An array of objects.
    Json,
    /// SARIF 2.1.0, which code hosts show beside the lines.
    Sarif,
}

/// Runs the command.
pub(crate) fn run(args: &AnalyzeArgs) -> ExitCode {
    if args.kube {
        say::problem(
            &"--kube: this build reads no cluster: pipe `kubectl get … -o yaml` into `fairway analyze -`",
        );
        return ExitCode::from(USAGE);
    }
    let found = match offline::read(&args.paths, args.pod.pod()) {
        Ok(read) => read.diagnostics,
        Err(error) => {
            say::problem(&say::with_causes(&error));
            return ExitCode::from(USAGE);
        }
    };
    match args.output {
        Form::Text => found.iter().for_each(|finding| say::line(finding)),
        Form::Json => say::line(&format_args!("{:#}", report::json(&found))),
        Form::Sarif => say::line(&format_args!("{:#}", report::sarif(&found))),
    }
    let is_failure = found.iter().any(|finding| finding.severity >= least(args.failure_threshold));
    if is_failure { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn least(threshold: Threshold) -> Severity {
    match threshold {
        Threshold::Info => Severity::Info,
        Threshold::Warning => Severity::Warning,
        Threshold::Error => Severity::Error,
    }
}
