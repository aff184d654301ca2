//! A backend that says given bytes to whoever asks, and closes: for answers that no HTTP library
//! would give.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;

/// A running one; stops when dropped.
#[derive(Debug)]
pub struct Scripted {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Scripted {
    /// Answers each request's head with `answer`, on a free port of loopback.
    ///
    /// # Panics
    /// If there is no free port.
    pub async fn start(answer: &'static [u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(speak(stream, answer));
            }
        });
        Self { address, accepting }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn speak(mut stream: TcpStream, answer: &[u8]) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    stream.write_all(answer).await?;
    stream.shutdown().await?;
    // What was not read would turn the close into a reset and swallow the answer.
    while stream.read(&mut [0; 4096]).await? > 0 {}
    Ok(())
}

/// A port where connections are refused for as long as this lives.
#[derive(Debug)]
pub struct Refusing {
    address: SocketAddr,
    _bound: TcpSocket,
}

impl Refusing {
    /// Takes a free port of loopback and does not listen on it.
    ///
    /// # Panics
    /// If there is no free port.
    pub fn new() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(([127, 0, 0, 1], 0).into()).expect("a free port");
        let address = socket.local_addr().expect("a bound socket has an address");
        Self { address, _bound: socket }
    }

    /// Where nobody listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Default for Refusing {
    fn default() -> Self {
        Self::new()
    }
}
