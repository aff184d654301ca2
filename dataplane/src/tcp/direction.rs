//! One direction of a connection of opaque bytes: what was read and could not be written yet, and
//! whether the end has been reached and passed on.
//!
//! Nothing is read while something is held: a slow reader slows its writer down, and memory is
//! bounded by one buffer or pipe. Small reads are copied; a read that fills the buffer makes the
//! rest go through a pipe, from socket to socket inside the kernel.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::{client, server};

use super::buffers::{Buffers, SCRATCH_BYTES};
use crate::sys::pipe::Pipe;

/// Most bytes moved in one turn of the loop, so that other connections get theirs.
const TURN_BYTES_MAX: usize = 1024 * 1024;
/// A pipe that brings less than this in one go is not worth it.
const BULK_BYTES_MIN: usize = 16 * 1024;

/// One side of a connection of opaque bytes.
pub trait Wire: AsyncRead + AsyncWrite + Unpin {
    /// The socket, if the bytes on it are the very bytes to forward.
    fn socket(&self) -> Option<&TcpStream>;
}

impl Wire for TcpStream {
    fn socket(&self) -> Option<&TcpStream> {
        Some(self)
    }
}

/// What ends at the gateway has other bytes on its socket.
impl Wire for server::TlsStream<TcpStream> {
    fn socket(&self) -> Option<&TcpStream> {
        None
    }
}

/// So has what begins here.
impl Wire for client::TlsStream<TcpStream> {
    fn socket(&self) -> Option<&TcpStream> {
        None
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Direction {
    held: Held,
    phase: Phase,
    is_bulk: bool,
    moved: u64,
}

/// What was read and is not written.
#[derive(Debug, Default)]
enum Held {
    #[default]
    Nothing,
    /// Bytes, and how many of them are written.
    Bytes(Vec<u8>, usize),
    Piped(Pipe),
}

/// Which end of a direction broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// Where bytes come from.
    Source,
    /// Where they go.
    Sink,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Phase {
    #[default]
    Flowing,
    /// The end was read; what is held is written first.
    Ending,
    /// The end was passed on.
    Ended,
}

impl Direction {
    /// Bytes read ahead go first. They count as moved once they are written.
    pub fn with_ahead(ahead: Vec<u8>) -> Self {
        let held = if ahead.is_empty() { Held::Nothing } else { Held::Bytes(ahead, 0) };
        Self { held, ..Self::default() }
    }

    /// Bytes written so far.
    pub fn moved(&self) -> u64 {
        self.moved
    }

    /// Moves bytes until there are none, or no room for them. Ready when the end was passed on,
    /// and ever after.
    ///
    /// # Errors
    /// The end that broke.
    pub fn poll<F: Wire, T: Wire>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut F,
        to: &mut T,
        buffers: &Buffers,
    ) -> Poll<Result<(), Broken>> {
        let stop_at = self.moved.saturating_add(TURN_BYTES_MAX as u64);
        while self.phase != Phase::Ended {
            ready!(self.poll_write_held(cx, to, buffers)).map_err(|_| Broken::Sink)?;
            if self.phase == Phase::Ending {
                ready!(Pin::new(&mut *to).poll_shutdown(cx)).map_err(|_| Broken::Sink)?;
                self.phase = Phase::Ended;
                break;
            }
            if to.socket().is_none() {
                ready!(Pin::new(&mut *to).poll_flush(cx)).map_err(|_| Broken::Sink)?;
            }
            if self.moved >= stop_at {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let is_over = match (self.is_bulk, from.socket(), to.socket()) {
                (true, Some(source), Some(_)) => {
                    ready!(self.poll_fill(cx, source, buffers)).map_err(|_| Broken::Source)?
                }
                _ => ready!(self.poll_copy(cx, from, to, buffers))?,
            };
            if is_over {
                self.phase = Phase::Ending;
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write_held<T: Wire>(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut T,
        buffers: &Buffers,
    ) -> Poll<io::Result<()>> {
        match &mut self.held {
            Held::Nothing => return Poll::Ready(Ok(())),
            Held::Bytes(bytes, written) => {
                while let Some(rest) = bytes.get(*written..).filter(|rest| !rest.is_empty()) {
                    let count = ready!(Pin::new(&mut *to).poll_write(cx, rest))?;
                    if count == 0 {
                        return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                    }
                    *written += count;
                    self.moved += count as u64;
                }
            }
            Held::Piped(pipe) => {
                // Only a side that is a socket gets a pipe.
                let Some(socket) = to.socket() else {
                    return Poll::Ready(Err(io::ErrorKind::Unsupported.into()));
                };
                while pipe.held() > 0 {
                    ready!(socket.poll_write_ready(cx))?;
                    match socket.try_io(Interest::WRITABLE, || pipe.drain(socket)) {
                        Ok(count) => self.moved += count as u64,
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Err(error) => return Poll::Ready(Err(error)),
                    }
                }
            }
        }
        if let Held::Piped(pipe) = std::mem::take(&mut self.held) {
            buffers.give_back(pipe);
        }
        Poll::Ready(Ok(()))
    }

    /// Socket to pipe. Returns whether the stream is over.
    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        source: &TcpStream,
        buffers: &Buffers,
    ) -> Poll<io::Result<bool>> {
        let Ok(mut pipe) = buffers.pipe() else {
            // Out of descriptors: copying needs none.
            self.is_bulk = false;
            return Poll::Ready(Ok(false));
        };
        loop {
            let Poll::Ready(ready) = source.poll_read_ready(cx) else {
                buffers.give_back(pipe);
                return Poll::Pending;
            };
            ready?;
            match source.try_io(Interest::READABLE, || pipe.fill(source)) {
                Ok(count) => {
                    self.is_bulk = count >= BULK_BYTES_MIN;
                    self.held = Held::Piped(pipe);
                    return Poll::Ready(Ok(count == 0));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Side to side through the scratch buffer; what cannot be written is kept. Returns whether
    /// the stream is over.
    fn poll_copy<F: Wire, T: Wire>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut F,
        to: &mut T,
        buffers: &Buffers,
    ) -> Poll<Result<bool, Broken>> {
        let mut scratch = buffers.scratch();
        let mut read = ReadBuf::new(&mut scratch);
        ready!(Pin::new(from).poll_read(cx, &mut read)).map_err(|_| Broken::Source)?;
        let filled = read.filled();
        self.is_bulk = filled.len() == SCRATCH_BYTES;
        let mut written = 0;
        while let Some(rest) = filled.get(written..).filter(|rest| !rest.is_empty()) {
            match Pin::new(&mut *to).poll_write(cx, rest).map_err(|_| Broken::Sink)? {
                Poll::Ready(0) => return Poll::Ready(Err(Broken::Sink)),
                Poll::Ready(count) => written += count,
                Poll::Pending => {
                    self.held = Held::Bytes(rest.to_vec(), 0);
                    break;
                }
            }
        }
        self.moved += written as u64;
        Poll::Ready(Ok(filled.is_empty()))
    }
}
