//! Listening TCP sockets, and in one line why one cannot be had.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, getsockname, listen,
    setsockopt, socket, sockopt,
};

/// Connections that the kernel completes and keeps until somebody accepts them, per socket. The
/// kernel lowers it to `net.core.somaxconn`.
pub const BACKLOG: i32 = 4096;

/// Why an address is not listened on. Displays on one line with the remedy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cannot listen on {address}: {}", explain(*.errno))]
pub struct ListenError {
    /// The address asked for.
    pub address: SocketAddr,
    errno: Errno,
}

fn explain(errno: Errno) -> &'static str {
    match errno {
        Errno::EADDRINUSE => "address in use: stop the process that holds it or take another port",
        Errno::EACCES | Errno::EPERM => {
            "permission denied: run with CAP_NET_BIND_SERVICE or take a port from 1024 up"
        }
        Errno::EADDRNOTAVAIL => "no such address on this host: take one that `ip addr` shows",
        Errno::EAFNOSUPPORT => "address family not supported by this host: take an IPv4 address",
        Errno::EMFILE | Errno::ENFILE => "too many open descriptors: raise the limit (ulimit -n)",
        other => other.desc(),
    }
}

/// Whether other sockets may listen on the same address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Alone.
    Exclusive,
    /// The kernel spreads connections over all sockets of this user there (`SO_REUSEPORT`).
    Shared,
    /// As [`Sharing::Shared`], and `SO_REUSEADDR` does not let anybody else in: that would work
    /// against a socket that does not listen.
    Reserved,
}

/// A listening socket, non-blocking and close-on-exec, and the address it got: port 0 becomes
/// the one that the kernel chose. An IPv6 socket takes no IPv4 connections.
///
/// # Errors
/// [`ListenError`] with what to do.
pub fn listen_on(
    address: SocketAddr,
    sharing: Sharing,
) -> Result<(TcpListener, SocketAddr), ListenError> {
    let fail = |errno| ListenError { address, errno };
    let listener = bound(address, sharing).map_err(fail)?;
    listen(&listener, Backlog::new(BACKLOG).map_err(fail)?).map_err(fail)?;
    let listener = TcpListener::from(listener);
    let got = listener.local_addr().map_err(|error| fail(errno_of(&error)))?;
    Ok((listener, got))
}

/// Holds an address without listening on it: nobody else gets it, [`listen_on`] with
/// [`Sharing::Shared`] still does, and no connection comes here.
///
/// # Errors
/// [`ListenError`] with what to do.
pub fn reserve(address: SocketAddr) -> Result<(OwnedFd, SocketAddr), ListenError> {
    let fail = |errno| ListenError { address, errno };
    let held = bound(address, Sharing::Reserved).map_err(fail)?;
    let got: SockaddrStorage = getsockname(held.as_raw_fd()).map_err(fail)?;
    let port = got
        .as_sockaddr_in()
        .map(|v4| v4.port())
        .or_else(|| got.as_sockaddr_in6().map(|v6| v6.port()))
        .ok_or_else(|| fail(Errno::EAFNOSUPPORT))?;
    Ok((held, SocketAddr::new(address.ip(), port)))
}

/// Whether nobody listens on an address yet, not even with `SO_REUSEPORT`, with which a second
/// gateway would otherwise take half of the first one's connections in silence.
///
/// # Errors
/// [`ListenError`] as [`listen_on`] would give it.
pub fn probe(address: SocketAddr) -> Result<(), ListenError> {
    match bound(address, Sharing::Exclusive) {
        Ok(_) => Ok(()),
        Err(errno) => Err(ListenError { address, errno }),
    }
}

/// Whether the host can open IPv6 sockets at all.
pub fn has_ipv6() -> bool {
    socket(AddressFamily::Inet6, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).is_ok()
}

fn bound(address: SocketAddr, sharing: Sharing) -> nix::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(family, SockType::Stream, flags, None)?;
    if sharing != Sharing::Reserved {
        setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    }
    if sharing != Sharing::Exclusive {
        setsockopt(&fd, sockopt::ReusePort, &true)?;
    }
    if address.is_ipv6() {
        setsockopt(&fd, sockopt::Ipv6V6Only, &true)?;
    }
    bind(fd.as_raw_fd(), &SockaddrStorage::from(address))?;
    Ok(fd)
}

fn errno_of(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::UnknownErrno, Errno::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;

    fn any() -> SocketAddr {
        "127.0.0.1:0".parse().unwrap()
    }

    #[test]
    fn shared_sockets_listen_side_by_side_and_the_probe_still_sees_them() {
        let (one, address) = listen_on(any(), Sharing::Shared).unwrap();
        let (two, again) = listen_on(address, Sharing::Shared).unwrap();
        assert_eq!(address, again);
        let taken = probe(address).unwrap_err().to_string();
        assert_eq!(
            taken,
            format!(
                "cannot listen on {address}: address in use: \
                 stop the process that holds it or take another port"
            )
        );
        drop((one, two));
        assert_eq!(probe(address), Ok(()));
    }

    #[test]
    fn an_exclusive_socket_keeps_others_away() {
        let (_held, address) = listen_on(any(), Sharing::Exclusive).unwrap();
        for sharing in [Sharing::Exclusive, Sharing::Shared] {
            assert!(listen_on(address, sharing).is_err(), "{sharing:?}");
        }
    }

    #[test]
    fn connections_complete_before_anybody_accepts() {
        let (listener, address) = listen_on(any(), Sharing::Shared).unwrap();
        let _client = TcpStream::connect(address).unwrap();
        assert!(listener.accept().is_ok());
        assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn an_address_of_another_host_is_named_as_such() {
        let error = probe("192.0.2.1:0".parse().unwrap()).unwrap_err().to_string();
        assert!(error.contains("192.0.2.1:0: no such address on this host"), "{error}");
    }
}
