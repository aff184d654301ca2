//! Everything that control listens on, bound before anything runs.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;

use fairway_shared::instance::ControlStatus;

use crate::args::Settings;
use crate::publish::unix::bind::{self, BindError, SocketPath};

/// Why something cannot be bound: the flag, what stands in the way, and what to do.
#[derive(Debug, thiserror::Error)]
pub(super) enum SocketError {
    #[error(
        "{flag}: {address} is in use: stop what listens there, or choose another port (0 = any free)"
    )]
    PortTaken { flag: &'static str, address: SocketAddr },
    #[error(
        "{flag}: cannot listen on {address}: {source}: choose another port or --listen-address"
    )]
    Port { flag: &'static str, address: SocketAddr, source: io::Error },
    #[error("--unix-socket: {0}: stop it, or choose another path")]
    PathTaken(BindError),
    #[error("--unix-socket")]
    Path(#[source] BindError),
    #[error("a bound socket cannot be used")]
    Unusable(#[from] io::Error),
}

/// All listening sockets, non-blocking.
#[derive(Debug)]
pub(super) struct Sockets {
    pub(super) grpc: TcpListener,
    pub(super) debug: TcpListener,
    pub(super) monitoring: TcpListener,
    pub(super) unix: Option<(UnixListener, SocketPath)>,
    status: ControlStatus,
}

impl Sockets {
    /// Binds what the settings say.
    pub(super) fn bind(settings: &Settings) -> Result<Self, SocketError> {
        let at = |flag, port| bind_port(flag, SocketAddr::new(settings.listen_address, port));
        let grpc = at("--grpc-port", settings.grpc_port)?;
        let debug = at("--debug-port", settings.debug_port)?;
        let monitoring = at("--monitoring-port", settings.monitoring_port)?;
        let unix = settings.unix_socket.as_deref().map(bind::bind).transpose();
        let unix = unix.map_err(|error| match error {
            BindError::Taken { .. } => SocketError::PathTaken(error),
            other => SocketError::Path(other),
        })?;
        let path = settings.unix_socket.as_ref().filter(|_| unix.is_some());
        let status = ControlStatus {
            pid: Some(std::process::id()),
            grpc: grpc.local_addr()?.to_string(),
            unix: path.map(|path| path.display().to_string()).unwrap_or_default(),
            debug: debug.local_addr()?.to_string(),
            monitoring: monitoring.local_addr()?.to_string(),
            pinned: false,
        };
        Ok(Self { grpc, debug, monitoring, unix, status })
    }

    /// Where control can be reached.
    pub(super) fn status(&self) -> ControlStatus {
        self.status.clone()
    }
}

fn bind_port(flag: &'static str, address: SocketAddr) -> Result<TcpListener, SocketError> {
    let listener = TcpListener::bind(address).map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => SocketError::PortTaken { flag, address },
        _ => SocketError::Port { flag, address, source },
    })?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_named_with_its_flag_and_the_remedy() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let line = bind_port("--debug-port", address).unwrap_err().to_string();
        for part in ["--debug-port", &address.to_string(), "in use", "another port (0 = any free)"]
        {
            assert!(line.contains(part), "{line}");
        }
    }
}
