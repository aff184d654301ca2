//! The header of a connection that was just accepted. Takes exactly its bytes off the socket.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::decode::{HEADER_BYTES_MAX, Malformed, decode};

/// How long a client may take to send it (Istio contract 1.6).
const PATIENCE: Duration = Duration::from_secs(15);

/// Why a connection has no header.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// What came is none.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The socket's word; `UnexpectedEof` if the client said too little.
    #[error("reading the PROXY header failed")]
    Io(#[from] io::Error),
    /// The client took too long.
    #[error("no whole PROXY header within {PATIENCE:?}")]
    TimedOut,
}

/// Reads the header and returns who opened the connection; `None` if the sender speaks for
/// itself.
///
/// # Errors
/// [`ReceiveError`]; the connection is to be closed.
pub async fn receive(stream: &mut TcpStream) -> Result<Option<SocketAddr>, ReceiveError> {
    let receiving = tokio::time::timeout(PATIENCE, read_header(stream));
    receiving.await.map_err(|_| ReceiveError::TimedOut)?
}

async fn read_header(stream: &mut TcpStream) -> Result<Option<SocketAddr>, ReceiveError> {
    let (mut head, mut seen) = (Vec::new(), vec![0; HEADER_BYTES_MAX]);
    loop {
        // An idle connection must not be looked at again and again: what was seen of a header
        // that is not whole is taken off the socket, and only more of it wakes this task.
        let count = stream.peek(&mut seen).await?;
        if count == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let taken = head.len();
        head.extend_from_slice(&seen[..count]);
        let header = decode(&head)?;
        let length = header.map_or(head.len(), |header| header.length);
        // Of a header that is not whole everything was its own.
        stream.read_exact(&mut seen[..length.saturating_sub(taken)]).await?;
        if let Some(header) = header {
            return Ok(header.source);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    async fn connected() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (client, listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn a_header_in_pieces_is_taken_and_what_follows_is_left() {
        let (mut client, mut server) = connected().await;
        let sending = async {
            for piece in ["PROXY TC", "P4 192.0.2.1 198.51.100.1 4", "0000 80\r", "\nhello"] {
                client.write_all(piece.as_bytes()).await.unwrap();
                // The other end gets its turn between the pieces.
                for _ in 0..10 {
                    tokio::task::yield_now().await;
                }
            }
            client.shutdown().await.unwrap();
        };
        let (received, ()) = tokio::join!(receive(&mut server), sending);
        assert_eq!(received.unwrap(), Some("192.0.2.1:40000".parse().unwrap()));
        let mut rest = String::new();
        server.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "hello");
    }

    #[tokio::test]
    async fn a_connection_without_a_header_is_refused() {
        for (said, is_malformed) in
            [("GET / HTTP/1.1\r\n\r\n", true), ("PROXY TCP4 1", false), ("", false)]
        {
            let (mut client, mut server) = connected().await;
            client.write_all(said.as_bytes()).await.unwrap();
            client.shutdown().await.unwrap();
            let error = receive(&mut server).await.unwrap_err();
            assert_eq!(matches!(error, ReceiveError::Malformed(_)), is_malformed, "{said:?}");
        }
    }
}
