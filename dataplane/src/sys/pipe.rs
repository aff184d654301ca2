//! Pipes through which the kernel moves bytes from one socket to another, without a copy through
//! this process (splice(2)).

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, splice};
use nix::unistd::pipe2;

/// Wanted capacity in bytes. Where the kernel grants less (`/proc/sys/fs/pipe-user-pages-soft`)
/// the default of 64 KiB does.
pub const PIPE_BYTES: usize = 256 * 1024;

/// A pipe and how much lies in it.
#[derive(Debug)]
pub struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    held: usize,
}

impl Pipe {
    /// An empty one; neither end blocks.
    ///
    /// # Errors
    /// No descriptors or memory.
    pub fn new() -> io::Result<Self> {
        let (read, write) = pipe2(OFlag::O_NONBLOCK | OFlag::O_CLOEXEC)?;
        // Refused beyond the user's share: then the pipe stays as it is.
        let _ = fcntl(&write, FcntlArg::F_SETPIPE_SZ(PIPE_BYTES as i32));
        Ok(Self { read, write, held: 0 })
    }

    /// Bytes in it.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Moves what a socket has, as far as it fits; 0 at the end of its stream. Only for an empty
    /// pipe: a full one could not be told from a socket that has nothing.
    ///
    /// # Errors
    /// The socket's; `WouldBlock` if it has nothing.
    pub fn fill(&mut self, socket: &impl AsFd) -> io::Result<usize> {
        let count = transfer(socket, &self.write, PIPE_BYTES)?;
        self.held += count;
        Ok(count)
    }

    /// Moves what is in it into a socket, as far as that takes it.
    ///
    /// # Errors
    /// The socket's; `WouldBlock` if it takes nothing.
    pub fn drain(&mut self, socket: &impl AsFd) -> io::Result<usize> {
        let count = transfer(&self.read, socket, self.held)?;
        self.held -= count.min(self.held);
        Ok(count)
    }
}

fn transfer(from: &impl AsFd, to: &impl AsFd, bytes_max: usize) -> io::Result<usize> {
    let flags = SpliceFFlags::SPLICE_F_MOVE | SpliceFFlags::SPLICE_F_NONBLOCK;
    loop {
        match splice(from, None, to, None, bytes_max, flags) {
            Err(nix::errno::Errno::EINTR) => {}
            other => return Ok(other?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    fn connected() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (near, listener.accept().unwrap().0)
    }

    #[test]
    fn bytes_go_from_socket_to_socket_and_the_end_is_zero() {
        let ((mut client, source), (sink, mut server)) = (connected(), connected());
        let mut pipe = Pipe::new().unwrap();
        source.set_nonblocking(true).unwrap();
        assert_eq!(pipe.fill(&source).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        client.write_all(b"hello").unwrap();
        source.set_nonblocking(false).unwrap();
        assert_eq!((pipe.fill(&source).unwrap(), pipe.held()), (5, 5));
        assert_eq!((pipe.drain(&sink).unwrap(), pipe.held()), (5, 0));
        drop(client);
        assert_eq!(pipe.fill(&source).unwrap(), 0);
        drop((pipe, sink));
        let mut received = String::new();
        server.read_to_string(&mut received).unwrap();
        assert_eq!(received, "hello");
    }
}
