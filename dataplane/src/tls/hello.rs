//! The client hello: read before anything is decided, and kept, since a connection that is passed
//! through must be forwarded with every byte of it.

use std::io;
use std::rc::Rc;

use rustls::server::{Accepted, Acceptor};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Bytes of the first read: a usual hello in one go, post-quantum key share and all.
const FIRST_READ_BYTES: usize = 2048;
/// Largest hello, with whatever the client sends right behind it, in bytes.
const HELLO_BYTES_MAX: usize = 64 * 1024;

/// What a client says first.
pub struct Hello {
    /// Lower case; `None` if the client names no server.
    pub server_name: Option<Rc<str>>,
    accepted: Accepted,
    /// All that was read.
    pub bytes: Vec<u8>,
}

impl Hello {
    /// Reads until the hello is whole. A client that sends something else is sent an alert.
    ///
    /// # Errors
    /// The stream's; `InvalidData` if it is no client hello; `UnexpectedEof` if it is cut short.
    pub async fn read(stream: &mut TcpStream) -> io::Result<Self> {
        // An idle connection holds no buffer.
        stream.readable().await?;
        let mut acceptor = Acceptor::default();
        let mut bytes = Vec::with_capacity(FIRST_READ_BYTES);
        loop {
            let begin = bytes.len();
            if begin >= HELLO_BYTES_MAX || stream.read_buf(&mut bytes).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let mut fresh = &bytes[begin..];
            while !fresh.is_empty() && acceptor.read_tls(&mut fresh)? > 0 {}
            match acceptor.accept() {
                Ok(None) => {}
                Ok(Some(accepted)) => return Ok(Self::new(accepted, bytes)),
                Err((error, mut alert)) => {
                    let mut told = Vec::new();
                    alert.write_all(&mut told)?;
                    stream.write_all(&told).await?;
                    return Err(io::Error::new(io::ErrorKind::InvalidData, error));
                }
            }
        }
    }

    fn new(accepted: Accepted, bytes: Vec<u8>) -> Self {
        let server_name = accepted.client_hello().server_name().map(Rc::from);
        Self { server_name, accepted, bytes }
    }

    /// The client offers protocols, but none of these.
    pub fn shuns(&self, protocols: &[Vec<u8>]) -> bool {
        let Some(mut offered) = self.accepted.client_hello().alpn() else { return false };
        !offered.any(|name| protocols.iter().any(|one| one == name))
    }

    /// What the handshake goes on with.
    pub fn into_accepted(self) -> Accepted {
        self.accepted
    }
}
