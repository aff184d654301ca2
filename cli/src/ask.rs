//! Finds a running control and speaks gRPC with it. Knows no command.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use fairway_proto::UPDATE_BYTES_MAX;
use fairway_proto::wire::control_service_client::ControlServiceClient;
use fairway_shared::instance::Instance;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Code, Status};

use crate::up::instance_dir::{INSTANCE_FILE, newest};
use crate::{USAGE, say};

/// Where control listens unless told otherwise.
const DEFAULT_ADDRESS: &str = "127.0.0.1:15010";
/// Longest wait for a connection.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// A control with this machine's tools.
pub(crate) type Control = ControlServiceClient<Channel>;

/// Which control to ask.
#[derive(Debug, Clone, Default, Args)]
pub struct Target {
    /// Control to ask: host and port of its gRPC, or the path of its unix socket
    /// [default: the newest instance of this user, else 127.0.0.1:15010]
    #[arg(long, value_name = "ADDR|SOCKET", global = true)]
    pub control: Option<String>,
    /// Ask the control of the instance in this directory
    #[arg(long, value_name = "DIR", conflicts_with = "control", global = true)]
    pub instance_dir: Option<PathBuf>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    #[error("no instance in `{}`: {reason}: name the directory of a running `fairway up`", path.display())]
    NoInstance { path: PathBuf, reason: String },
    #[error("--control: `{0}` is no address: write HOST:PORT or the path of a socket")]
    BadAddress(String),
    #[error("control at {at} cannot be reached ({reason}): start it, or name it with --control")]
    Unreachable { at: String, reason: String },
    #[error("{0}")]
    Refused(String),
    #[error("{0}")]
    BadRequest(String),
    #[error("no runtime: {0}")]
    Runtime(std::io::Error),
}

impl AskError {
    /// Tells the user, and what the process ends with.
    pub(crate) fn report(&self) -> ExitCode {
        say::problem(self);
        match self {
            Self::BadAddress(_) | Self::BadRequest(_) => ExitCode::from(USAGE),
            _ => ExitCode::FAILURE,
        }
    }
}

impl From<Status> for AskError {
    fn from(status: Status) -> Self {
        let text = status.message().to_owned();
        match status.code() {
            Code::InvalidArgument => Self::BadRequest(text),
            Code::Unimplemented => Self::Refused(
                "control is of an older release and does not know this request".into(),
            ),
            _ => Self::Refused(text),
        }
    }
}

/// Runs one conversation with control to its end.
pub(crate) fn converse<T>(
    target: &Target,
    talk: impl AsyncFnOnce(Control) -> Result<T, AskError>,
) -> Result<T, AskError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(AskError::Runtime)?;
    runtime.block_on(async { talk(connect(&find(target)?).await?).await })
}

/// Where control is.
fn find(target: &Target) -> Result<String, AskError> {
    if let Some(control) = &target.control {
        return Ok(control.clone());
    }
    if let Some(dir) = &target.instance_dir {
        return grpc_of(dir).map_err(|reason| AskError::NoInstance { path: dir.clone(), reason });
    }
    let newest = newest().and_then(|dir| grpc_of(&dir).ok());
    Ok(newest.unwrap_or_else(|| DEFAULT_ADDRESS.to_owned()))
}

fn grpc_of(dir: &Path) -> Result<String, String> {
    let text = std::fs::read(dir.join(INSTANCE_FILE)).map_err(|error| error.to_string())?;
    let instance: Instance = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    match instance.control.grpc {
        grpc if grpc.is_empty() => Err("control has not started yet".to_owned()),
        grpc => Ok(grpc),
    }
}

async fn connect(at: &str) -> Result<Control, AskError> {
    let path = at.strip_prefix("unix:").or_else(|| at.contains('/').then_some(at));
    let address = if path.is_some() { "localhost" } else { at };
    let has_port =
        path.is_some() || at.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .ok()
        .filter(|_| has_port)
        .ok_or_else(|| AskError::BadAddress(at.to_owned()))?
        .connect_timeout(CONNECT_PATIENCE);
    let channel = match path {
        None => endpoint.connect().await,
        Some(path) => {
            let path = PathBuf::from(path);
            let dial = tower::service_fn(move |_: Uri| {
                let path = path.clone();
                async move { UnixStream::connect(path).await.map(TokioIo::new) }
            });
            endpoint.connect_with_connector(dial).await
        }
    };
    let channel = channel
        .map_err(|error| AskError::Unreachable { at: at.to_owned(), reason: innermost(&error) })?;
    Ok(Control::new(channel).max_decoding_message_size(UPDATE_BYTES_MAX))
}

/// The cause at the bottom, which is what the system said.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(below) = cause.source() {
        cause = below;
    }
    cause.to_string()
}
