//! `fairway completions`: what a shell needs to complete the command line.

use std::process::ExitCode;

use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use crate::args::Fairway;

const EXAMPLES: &str = "\
Examples:
  bash:  fairway completions bash > ~/.local/share/bash-completion/completions/fairway
  zsh:   fairway completions zsh > \"${fpath[1]}/_fairway\"
  fish:  fairway completions fish > ~/.config/fish/completions/fairway.fish";

/// `fairway completions`.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Runs the command.
pub(crate) fn run(args: &CompletionsArgs) -> ExitCode {
    let mut script = Vec::new();
    generate(args.shell, &mut Fairway::command(), "fairway", &mut script);
    crate::say::line(&String::from_utf8_lossy(&script).trim_end());
    ExitCode::SUCCESS
}
