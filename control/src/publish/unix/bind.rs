//! The socket's path. Bound under a name beside it and then renamed onto it, so that a stale
//! socket is replaced in one step; never taken from a control that is alive.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind as bind_socket, listen, socket,
};
use nix::sys::stat::{Mode, fchmod};

/// Who may connect: the owner (and root).
const MODE: Mode = Mode::S_IRUSR.union(Mode::S_IWUSR);
/// Connections that wait for accept.
const BACKLOG: i32 = 128;

/// Why the path cannot be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// A control is listening there.
    #[error("another process listens on {}", path.display())]
    Taken {
        /// The path.
        path: PathBuf,
    },
    /// There is a file of another kind.
    #[error("{} exists and is not a socket", path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// The system says no.
    #[error("cannot bind {}", path.display())]
    System {
        /// The path.
        path: PathBuf,
        /// What it says.
        source: io::Error,
    },
}

/// A bound socket's name in the file system, removed on drop unless another has taken it over.
#[derive(Debug)]
pub struct SocketPath {
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
}

impl Drop for SocketPath {
    fn drop(&mut self) {
        let is_ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|found| (found.dev(), found.ino()) == self.identity);
        if is_ours {
            // A socket left behind is replaced by the next control.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Binds and listens, mode 0600, non-blocking.
///
/// # Errors
/// [`BindError`], each to be shown to the user with its source.
pub fn bind(path: &Path) -> Result<(UnixListener, SocketPath), BindError> {
    refuse_if_in_use(path)?;
    let system = |source| BindError::System { path: path.to_owned(), source };
    let staging = beside(path);
    match fs::remove_file(&staging) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(system(error)),
        _ => {}
    }
    let listener = listen_on(&staging).map_err(system)?;
    let found = fs::symlink_metadata(&staging).map_err(system)?;
    fs::rename(&staging, path).map_err(system)?;
    let identity = (found.dev(), found.ino());
    Ok((listener, SocketPath { path: path.to_owned(), identity }))
}

fn refuse_if_in_use(path: &Path) -> Result<(), BindError> {
    let system = |source| BindError::System { path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(system(error)),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(BindError::NotASocket { path: path.to_owned() });
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(BindError::Taken { path: path.to_owned() }),
        Err(error) => match error.kind() {
            io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => Ok(()),
            // A full accept queue: somebody listens.
            io::ErrorKind::WouldBlock => Err(BindError::Taken { path: path.to_owned() }),
            _ => Err(system(error)),
        },
    }
}

/// One byte longer than `path`, since the system allows 107 in all.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("~");
    name.into()
}

fn listen_on(path: &Path) -> io::Result<UnixListener> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let descriptor = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    // Before bind, so that the name never stands there with a wider mode.
    fchmod(&descriptor, MODE)?;
    bind_socket(descriptor.as_raw_fd(), &UnixAddr::new(path)?)?;
    listen(&descriptor, Backlog::new(BACKLOG)?)?;
    Ok(descriptor.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_is_for_its_owner_alone_and_goes_with_its_guard() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        let (_listener, guard) = bind(&path).unwrap();
        assert_eq!(fs::symlink_metadata(&path).unwrap().mode() & 0o777, 0o600);
        drop(guard);
        assert!(!path.exists());
    }

    #[test]
    fn a_stale_socket_is_replaced_and_a_living_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        let (stale, old_guard) = bind(&path).unwrap();
        assert!(matches!(bind(&path), Err(BindError::Taken { .. })));
        drop(stale);
        let (_living, _guard) = bind(&path).unwrap();
        drop(old_guard);
        assert!(UnixStream::connect(&path).is_ok(), "the old guard took the new socket away");
    }

    #[test]
    fn a_file_of_another_kind_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        fs::write(&path, "precious").unwrap();
        assert!(matches!(bind(&path), Err(BindError::NotASocket { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    fn a_path_that_cannot_be_says_so() {
        let long = Path::new("/tmp").join("x".repeat(120));
        for path in [Path::new("/nowhere/at/all.sock"), &long] {
            assert!(matches!(bind(path), Err(BindError::System { .. })), "{}", path.display());
        }
    }
}
