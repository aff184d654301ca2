//! Bytes and descriptors over a unix stream socket, and the worker's end of its own.
//!
//! A descriptor rides with the first byte of the frame it belongs to. The kernel may hand it over
//! together with bytes of frames before that one, never later: a receiver keeps descriptors in
//! the order of arrival and gives the oldest to each frame that brings one.

use std::env;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::cmsg_space;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockType, getsockopt, recvmsg, sendmsg, sockopt,
};

/// Names the descriptor on which a worker finds the supervisor.
pub const WORKER_FD_ENV: &str = "FAIRWAY_WORKER_FD";
/// Descriptors below are the standard ones, never the supervisor's socket.
const FIRST_FD: RawFd = 3;
/// Most descriptors that one message can carry (`SCM_MAX_FD` of Linux), so that the control
/// buffer is never the reason for a truncation.
const DESCRIPTORS_MAX: usize = 253;

/// Sends the front of `bytes`, and `fd` with its first byte. Returns how many bytes were taken;
/// the rest is sent without the descriptor.
///
/// # Errors
/// `WouldBlock` on a non-blocking socket that is full: then nothing was sent, the descriptor
/// neither. Anything else is final for the connection. Never raises `SIGPIPE`.
pub fn send_with_fd(
    socket: &impl AsFd,
    bytes: &[u8],
    fd: Option<BorrowedFd<'_>>,
) -> io::Result<usize> {
    let raw = fd.map(|fd| [fd.as_raw_fd()]);
    let rights = raw.as_ref().map(|raw| ControlMessage::ScmRights(raw));
    let out = [IoSlice::new(bytes)];
    loop {
        let sent = sendmsg::<()>(
            socket.as_fd().as_raw_fd(),
            &out,
            rights.as_slice(),
            MsgFlags::MSG_NOSIGNAL,
            None,
        );
        match sent {
            Err(Errno::EINTR) => {}
            other => return Ok(other?),
        }
    }
}

/// Receives bytes into `buf` and the descriptors that came with them, in order and
/// close-on-exec. 0 bytes mean that the peer has closed (`buf` must not be empty).
///
/// # Errors
/// `WouldBlock` on an empty non-blocking socket. A truncated message is `InvalidData` and, like
/// anything else, final for the connection: a descriptor is missing.
pub fn recv_with_fds(socket: &impl AsFd, buf: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut control = cmsg_space!([RawFd; DESCRIPTORS_MAX]);
    let mut into = [IoSliceMut::new(buf)];
    let raw = socket.as_fd().as_raw_fd();
    let message = loop {
        match recvmsg::<()>(raw, &mut into, Some(&mut control), MsgFlags::MSG_CMSG_CLOEXEC) {
            Err(Errno::EINTR) => {}
            other => break other?,
        }
    };
    // A control buffer of full size is cut only when this process is out of descriptors.
    if message.flags.intersects(MsgFlags::MSG_TRUNC | MsgFlags::MSG_CTRUNC) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "message truncated on receipt"));
    }
    let mut fds = Vec::new();
    for part in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(raw) = part {
            // SAFETY: the kernel has just installed these descriptors for this message, nobody
            // else knows their numbers, and each is taken exactly once.
            fds.extend(raw.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
        }
    }
    Ok((message.bytes, fds))
}

/// Why a process has no supervisor to talk to.
#[derive(Debug, thiserror::Error)]
pub enum WorkerSocketError {
    /// Not started by a supervisor.
    #[error("{WORKER_FD_ENV} is not set: the worker role is started by the supervisor only")]
    Unset,
    /// Not the descriptor that a supervisor passes.
    #[error("{WORKER_FD_ENV} is `{value}`, expected the number of a descriptor from {FIRST_FD} up")]
    Malformed {
        /// As found.
        value: String,
    },
    /// Asked for a second time; a descriptor has one owner.
    #[error("the supervisor's socket is taken already")]
    Taken,
    /// Nothing usable is behind the descriptor.
    #[error("descriptor {fd} of {WORKER_FD_ENV} is not a stream socket")]
    NotASocket {
        /// As named.
        fd: RawFd,
        /// What the kernel says.
        #[source]
        cause: io::Error,
    },
}

/// The worker's end of the socket that its supervisor passed it: blocking, close-on-exec. The
/// first caller becomes its owner.
///
/// # Errors
/// [`WorkerSocketError`]; the process was not started by a supervisor.
pub fn worker_socket_from_env() -> Result<UnixStream, WorkerSocketError> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let value = env::var(WORKER_FD_ENV).map_err(|_| WorkerSocketError::Unset)?;
    let Some(fd) = value.parse().ok().filter(|fd| *fd >= FIRST_FD) else {
        return Err(WorkerSocketError::Malformed { value });
    };
    if TAKEN.swap(true, Ordering::Relaxed) {
        return Err(WorkerSocketError::Taken);
    }
    // SAFETY: the supervisor left the descriptor open over exec and named it in the environment;
    // it is borrowed only for the checks, so a wrong name does no harm.
    let inherited = unsafe { BorrowedFd::borrow_raw(fd) };
    let not_a_socket =
        |errno: Errno| WorkerSocketError::NotASocket { fd, cause: io::Error::from(errno) };
    fcntl(inherited, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).map_err(not_a_socket)?;
    match getsockopt(&inherited, sockopt::SockType).map_err(not_a_socket)? {
        SockType::Stream => {}
        _ => return Err(not_a_socket(Errno::EPROTOTYPE)),
    }
    // SAFETY: it is open, it is a stream socket, the supervisor made it for this process alone,
    // and `TAKEN` lets only one caller get here.
    Ok(unsafe { UnixStream::from(OwnedFd::from_raw_fd(fd)) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::{Read, Seek, Write};

    fn file_with(text: &str) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file.rewind().unwrap();
        file
    }

    fn content(fd: OwnedFd) -> String {
        let mut text = String::new();
        File::from(fd).read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn descriptors_arrive_in_order_and_no_later_than_their_bytes() {
        let (here, there) = UnixStream::pair().unwrap();
        let (one, two) = (file_with("one"), file_with("two"));
        assert_eq!(send_with_fd(&here, b"plain", None).unwrap(), 5);
        assert_eq!(send_with_fd(&here, b"1st", Some(one.as_fd())).unwrap(), 3);
        assert_eq!(send_with_fd(&here, b"2nd", Some(two.as_fd())).unwrap(), 3);
        drop(here);
        let (mut bytes, mut fds, mut buf) = (Vec::new(), Vec::new(), [0; 64]);
        loop {
            let (count, more) = recv_with_fds(&there, &mut buf).unwrap();
            if count == 0 {
                break;
            }
            bytes.extend_from_slice(&buf[..count]);
            fds.extend(more);
        }
        assert_eq!(bytes, b"plain1st2nd");
        assert_eq!(fds.into_iter().map(content).collect::<Vec<_>>(), ["one", "two"]);
    }

    #[test]
    fn received_descriptors_do_not_survive_an_exec() {
        let (here, there) = UnixStream::pair().unwrap();
        send_with_fd(&here, b"x", Some(file_with("").as_fd())).unwrap();
        let (_, fds) = recv_with_fds(&there, &mut [0; 8]).unwrap();
        let flags = fcntl(&fds[0], FcntlArg::F_GETFD).unwrap();
        assert!(FdFlag::from_bits_retain(flags).contains(FdFlag::FD_CLOEXEC));
    }

    #[test]
    fn a_full_socket_says_so_and_a_closed_one_raises_no_signal() {
        let (here, there) = UnixStream::pair().unwrap();
        here.set_nonblocking(true).unwrap();
        let full = loop {
            if let Err(error) = send_with_fd(&here, &[0; 4096], None) {
                break error;
            }
        };
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
        drop(there);
        let closed = send_with_fd(&here, b"x", None).unwrap_err();
        assert_eq!(closed.kind(), io::ErrorKind::BrokenPipe);
    }
}
