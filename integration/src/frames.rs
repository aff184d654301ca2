//! HTTP/2 frame by frame, for clients that no library would be (RFC 9113 4.1).

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::wait::PATIENCE;

/// What a client says first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Types of frames.
pub mod kind {
    #![allow(missing_docs)]
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// The flags `END_STREAM` and `ACK`.
pub const END_STREAM: u8 = 1;
/// The flag of the last frame of a header block.
pub const END_HEADERS: u8 = 4;

/// A frame as received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// One of [`kind`].
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// 0 = the connection.
    pub stream: u32,
    /// What it carries.
    pub payload: Vec<u8>,
}

/// A frame as bytes.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame is short").to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Fields as a header block without compression (RFC 7541 6.2.2).
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        for text in [name, value] {
            let mut length = text.len();
            if length < 127 {
                bytes.push(u8::try_from(length).expect("short"));
            } else {
                bytes.push(127);
                length -= 127;
                while length >= 128 {
                    bytes.push(u8::try_from(length % 128 + 128).expect("a byte"));
                    length /= 128;
                }
                bytes.push(u8::try_from(length).expect("a byte"));
            }
            bytes.extend(text.as_bytes());
        }
    }
    bytes
}

/// The head of a GET, as a header block.
pub fn get(host: &str, path: &str) -> Vec<u8> {
    block(&[(":method", "GET"), (":scheme", "http"), (":authority", host), (":path", path)])
}

/// A connection whose frames are the test's own.
#[derive(Debug)]
pub struct Frames(TcpStream);

impl Frames {
    /// Connects with these settings (RFC 9113 6.5.2).
    ///
    /// # Panics
    /// If that is refused.
    pub async fn connect(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let stream = TcpStream::connect(address).await.expect("it listens");
        let pairs = settings.iter();
        let payload: Vec<u8> =
            pairs.flat_map(|(id, n)| [&id.to_be_bytes()[..], &n.to_be_bytes()].concat()).collect();
        let mut frames = Self(stream);
        let opening = [PREFACE, &frame(kind::SETTINGS, 0, 0, &payload)].concat();
        frames.say(&opening).await.expect("a fresh connection takes bytes");
        frames
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// The other side has closed.
    pub async fn say(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.write_all(bytes).await
    }

    /// The next frame; `None` when the other side has closed.
    ///
    /// # Panics
    /// If nothing comes for too long.
    pub async fn next(&mut self) -> Option<Frame> {
        timeout(PATIENCE, self.read()).await.expect("a frame or the end").ok()
    }

    /// The next frame of that kind; `None` when the other side closes before it comes.
    pub async fn next_of(&mut self, wanted: u8) -> Option<Frame> {
        loop {
            match self.next().await {
                Some(frame) if frame.kind == wanted => return Some(frame),
                Some(_) => {}
                None => return None,
            }
        }
    }

    /// Does nothing of that kind come for that long?
    pub async fn is_silent(&mut self, wanted: u8, time: Duration) -> bool {
        timeout(time, self.next_of(wanted)).await.is_err()
    }

    async fn read(&mut self) -> std::io::Result<Frame> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let mut payload = vec![0; length as usize];
        self.0.read_exact(&mut payload).await?;
        Ok(Frame { kind: head[3], flags: head[4], stream, payload })
    }
}
