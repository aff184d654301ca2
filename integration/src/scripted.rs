//! A backend that says given bytes to whoever asks, and closes: for answers that no HTTP library
//! would give.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

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

    /// Answers each connection at once, before it was asked anything, and reads on to its end.
    ///
    /// # Panics
    /// If there is no free port.
    pub async fn unasked(answer: &'static [u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let accepting = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    stream.write_all(answer).await?;
                    while stream.read(&mut [0; 4096]).await? > 0 {}
                    Ok::<_, std::io::Error>(())
                });
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

/// A backend that answers every request with 200 and hangs up on connections that idle.
#[derive(Debug)]
pub struct HangingUp {
    address: SocketAddr,
    hung_up: Arc<AtomicU64>,
    accepting: JoinHandle<()>,
}

impl HangingUp {
    /// Closes a connection `after` its last answer, on a free port of loopback.
    ///
    /// # Panics
    /// If there is no free port.
    pub async fn start(after: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let hung_up = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&hung_up);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer_until_idle(stream, after, Arc::clone(&count)));
            }
        });
        Self { address, hung_up, accepting }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections closed because they idled.
    pub fn hung_up(&self) -> u64 {
        self.hung_up.load(Ordering::Relaxed)
    }
}

impl Drop for HangingUp {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn answer_until_idle(
    mut stream: TcpStream,
    after: Duration,
    hung_up: Arc<AtomicU64>,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    loop {
        match timeout(after, stream.read_u8()).await {
            Err(_) if head.is_empty() => {
                hung_up.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
            Err(_) => {}
            Ok(byte) => head.push(byte?),
        }
        if head.ends_with(b"\r\n\r\n") {
            head.clear();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await?;
        }
    }
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
