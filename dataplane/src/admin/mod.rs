//! The supervisor's HTTP: admin (15000), health (15020) and metrics (15090), on a thread of its
//! own with a small runtime. It owns nothing but sockets: what it shows it asks the loop for, and
//! the loop never waits for it. If serving fails, the thread starts over on the same sockets.

mod clusters;
pub mod exposition;
pub mod page;
pub mod reply;
mod server;

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use fairway_shared::instance::SupervisorAddresses;

use crate::supervisor::event::Event;
use crate::sys::socket::{ListenError, Sharing, listen_on};
use page::Door;

/// Pause before serving starts over.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// Where the three ports are wanted; port 0 takes a free one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// `--admin-address` and `--admin-port`.
    pub admin: (IpAddr, u16),
    /// `--status-address` and `--status-port`.
    pub status: (IpAddr, u16),
    /// `--status-address` and `--metrics-port`.
    pub metrics: (IpAddr, u16),
}

/// Why the supervisor cannot answer HTTP.
#[derive(Debug, thiserror::Error)]
#[error("{flag}: {cause} (0 = a free one)")]
pub struct BindError {
    flag: &'static str,
    cause: ListenError,
}

/// The three ports, bound.
#[derive(Debug)]
pub struct Admin {
    doors: Vec<(Door, TcpListener, SocketAddr)>,
}

impl Admin {
    /// Binds all three.
    ///
    /// # Errors
    /// The first that cannot be had, with the flag that moves it.
    pub fn bind(wanted: &Wanted) -> Result<Self, BindError> {
        let doors = [
            (Door::Admin, wanted.admin, "--admin-port"),
            (Door::Status, wanted.status, "--status-port"),
            (Door::Metrics, wanted.metrics, "--metrics-port"),
        ];
        let open = |(door, (address, port), flag): (Door, (IpAddr, u16), &'static str)| {
            let address = SocketAddr::new(address, port);
            match listen_on(address, Sharing::Exclusive) {
                Ok((listener, bound)) => Ok((door, listener, bound)),
                Err(cause) => Err(BindError { flag, cause }),
            }
        };
        Ok(Self { doors: doors.into_iter().map(open).collect::<Result<_, _>>()? })
    }

    /// Where it answers, for the status line.
    pub fn addresses(&self, pid: u32) -> SupervisorAddresses {
        let at = |wanted: Door| {
            let found = self.doors.iter().find(|(door, ..)| *door == wanted);
            found.map(|(_, _, bound)| bound.to_string()).unwrap_or_default()
        };
        SupervisorAddresses {
            pid: Some(pid),
            admin: at(Door::Admin),
            status: at(Door::Status),
            metrics: at(Door::Metrics),
            epoch: 0,
        }
    }

    /// Starts answering, asking the loop through `events`. `node` is the node id shown.
    ///
    /// # Errors
    /// The kernel's, when no thread can be had.
    pub fn start(self, events: Sender<Event>, node: String) -> io::Result<()> {
        let server = server::Server { events, node, started: Instant::now() };
        let serve = move || {
            loop {
                if let Err(error) = server::serve(&self.doors, &server) {
                    tracing::error!("admin HTTP starts over: {error}");
                }
                thread::sleep(RESTART_PAUSE);
            }
        };
        thread::Builder::new().name("admin".to_owned()).spawn(serve)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_taken_names_its_flag_and_the_way_out() {
        let local = IpAddr::from([127, 0, 0, 1]);
        let any = (local, 0);
        let (_held, taken) = listen_on(SocketAddr::new(local, 0), Sharing::Exclusive).unwrap();
        let wanted = Wanted { admin: any, status: (local, taken.port()), metrics: any };
        let error = Admin::bind(&wanted).unwrap_err().to_string();
        assert_eq!(
            error,
            format!(
                "--status-port: cannot listen on {taken}: address in use: \
                 stop the process that holds it or take another port (0 = a free one)"
            )
        );
    }
}
