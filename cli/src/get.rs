//! `fairway get`: what a running control has compiled, and who runs it.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use fairway_proto::json::json;
use fairway_proto::wire::{
    ListClustersRequest, ListDataplanesRequest, ListDiagnosticsRequest, ListEndpointsRequest,
    ListListenersRequest, ListRoutesRequest, ListSecretsRequest,
};

use crate::ask::{self, AskError, Control, Target};
use crate::print::{Format, columns, print};

const EXAMPLES: &str = "\
Examples:
  Routes of one VirtualService, in the order in which they are tried:
    fairway get routes dk-shop/user
  Ready endpoints of one subset:
    fairway get endpoints '|v1|user'
  All errors, for a program:
    fairway get diagnostics Error -o json

NAME keeps what contains it in one of its names, as the lists of the control API do.
Exit code: 0 done, 1 control cannot be reached, 2 the command line is wrong.";

/// `fairway get`.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub struct GetArgs {
    /// What to list
    #[arg(value_enum, value_name = "KIND")]
    pub kind: Kind,
    /// Keep what contains this in one of its names
    #[arg(value_name = "NAME", default_value = "", hide_default_value = true)]
    pub name: String,
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub target: Target,
}

/// What can be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// What is listened on
    #[value(alias = "listener")]
    Listeners,
    /// Virtual hosts' routes in the order tried
    #[value(alias = "route")]
    Routes,
    /// Upstream clusters
    #[value(alias = "cluster")]
    Clusters,
    /// Ready endpoints of every cluster
    #[value(alias = "endpoint")]
    Endpoints,
    /// Secrets in use, without their keys
    #[value(alias = "secret")]
    Secrets,
    /// Connected workers
    #[value(alias = "worker")]
    Workers,
    /// Findings in the configuration
    #[value(alias = "diagnostic")]
    Diagnostics,
}

/// Runs the command.
pub(crate) fn run(args: &GetArgs) -> ExitCode {
    match ask::converse(&args.target, async |control| get(args, control).await) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.report(),
    }
}

async fn get(args: &GetArgs, mut control: Control) -> Result<(), AskError> {
    let (form, filter) = (args.output, args.name.clone());
    let is_wide = form == Format::Wide;
    match args.kind {
        Kind::Listeners => {
            let list = control.list_listeners(ListListenersRequest { filter }).await?.into_inner();
            print(form, || json(&list), || columns::listeners(&list, is_wide));
        }
        Kind::Routes => {
            let list = control.list_routes(ListRoutesRequest { filter }).await?.into_inner();
            print(form, || json(&list), || columns::routes(&list, is_wide));
        }
        Kind::Clusters => {
            let list = control.list_clusters(ListClustersRequest { filter }).await?.into_inner();
            print(form, || json(&list), || columns::clusters(&list, is_wide));
        }
        Kind::Endpoints => {
            let list = control.list_endpoints(ListEndpointsRequest { filter }).await?.into_inner();
            print(form, || json(&list), || columns::endpoints(&list, is_wide));
        }
        Kind::Secrets => {
            let list = control.list_secrets(ListSecretsRequest { filter }).await?.into_inner();
            print(form, || json(&list), || columns::secrets(&list));
        }
        Kind::Workers => {
            let list =
                control.list_dataplanes(ListDataplanesRequest { filter }).await?.into_inner();
            print(form, || json(&list), || columns::workers(&list, is_wide));
        }
        Kind::Diagnostics => {
            let list =
                control.list_diagnostics(ListDiagnosticsRequest { filter }).await?.into_inner();
            print(form, || json(&list), || columns::diagnostics(&list));
        }
    }
    Ok(())
}
