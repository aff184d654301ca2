//! `fairway explain`: what becomes of a request, and why. Asks a running control, or compiles a
//! directory by itself.

mod request;
mod text;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use fairway_control::explain::{Evidence, Question, explain};
use fairway_control::offline;
use fairway_proto::json::json;
use fairway_proto::wire;

use crate::ask::{self, AskError, Target};
use crate::pod::PodArgs;
use crate::print::{Format, print};
use crate::{USAGE, say};

const EXAMPLES: &str = "\
Examples:
  Why does this request get 404?
    fairway explain http://user.thanhoo.com/cart
  The same for a directory that nothing serves yet:
    fairway explain --config deploy/examples/dk-shop http://user.thanhoo.com/cart
  A POST with a header, to an address of its own:
    fairway explain -X POST -H 'Host: user.thanhoo.com' -H 'x-beta: 1' http://127.0.0.1:8080/cart

Exit code: 0 a route takes the request, 1 none does, 2 the command line is wrong.";

/// `fairway explain`.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub struct ExplainArgs {
    /// What the client requests: `http://host[:port]/path?query`, perhaps with a method in front
    #[arg(value_name = "URL")]
    pub url: String,
    /// Method [default: GET]
    #[arg(short = 'X', long = "request", value_name = "METHOD")]
    pub method: Option<String>,
    /// A header of the request; repeatable
    #[arg(short = 'H', long = "header", value_name = "Name: value", value_parser = request::header)]
    pub headers: Vec<(String, String)>,
    /// Server name of the TLS handshake [default: the host]
    #[arg(long, value_name = "NAME")]
    pub sni: Option<String>,
    /// Port that the client connects to [default: the URL's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,
    /// Explain by the configuration in this directory, without a running control
    #[arg(long, value_name = "DIR", conflicts_with_all = ["control", "instance_dir"])]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub pod: PodArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub target: Target,
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

/// Runs the command.
pub(crate) fn run(args: &ExplainArgs) -> ExitCode {
    let request = match request::read(args) {
        Ok(request) => request,
        Err(error) => {
            say::problem(&error);
            return ExitCode::from(USAGE);
        }
    };
    let answer = match &args.config {
        Some(directory) => match offline_answer(directory, args, request) {
            Ok(answer) => answer,
            Err(error) => {
                say::problem(&error);
                return ExitCode::from(USAGE);
            }
        },
        None => match online_answer(&args.target, request) {
            Ok(answer) => answer,
            Err(error) => return error.report(),
        },
    };
    let is_wide = args.output == Format::Wide;
    print(args.output, || json(&answer), || text::text(&answer, is_wide));
    if answer.found { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn online_answer(
    target: &Target,
    request: wire::ExplainRequest,
) -> Result<wire::ExplainResponse, AskError> {
    ask::converse(target, async |mut control| Ok(control.explain(request).await?.into_inner()))
}

fn offline_answer(
    directory: &std::path::Path,
    args: &ExplainArgs,
    request: wire::ExplainRequest,
) -> Result<wire::ExplainResponse, String> {
    let question = Question::new(request).map_err(|error| error.to_string())?;
    let read = offline::read(&[directory.to_owned()], args.pod.pod())
        .map_err(|error| format!("--config: {}", say::with_causes(&error)))?;
    let evidence = Evidence {
        snapshot: &read.compiled.snapshot,
        config: &read.config,
        diagnostics: &read.diagnostics,
    };
    Ok(explain(evidence, &question))
}
