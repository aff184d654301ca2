//! Bytes to messages and back: a `u32` little-endian body length, then the body as bincode.
//! The only file that knows bincode; sockets and descriptors stay with the caller.

use bincode::config::{self, Configuration};
use bincode::{Decode, Encode};

/// Largest frame body, in bytes. Snapshots travel beside the frames, in a memfd, with
/// [`SNAPSHOT_BYTES_MAX`] as their limit.
pub const FRAME_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Largest encoded snapshot, in bytes.
pub const SNAPSHOT_BYTES_MAX: usize = 1024 * 1024 * 1024;
/// Body length, `u32` little-endian.
const HEADER_BYTES: usize = 4;

/// Why bytes are not a message, or a message cannot become bytes. Final for the connection.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Refused before anything is allocated.
    #[error("frame body of {bytes} bytes exceeds {FRAME_BYTES_MAX}")]
    TooLong {
        /// As announced.
        bytes: usize,
    },
    /// The body decodes, but not all of it was used.
    #[error("frame has {bytes} bytes after its message")]
    Trailing {
        /// How many.
        bytes: usize,
    },
    /// The body does not decode.
    #[error("frame does not decode")]
    Malformed(#[source] bincode::error::DecodeError),
    /// The message does not encode.
    #[error("message does not encode")]
    Unencodable(#[source] bincode::error::EncodeError),
}

fn frame_limits()
-> Configuration<config::LittleEndian, config::Varint, config::Limit<FRAME_BYTES_MAX>> {
    config::standard().with_limit::<FRAME_BYTES_MAX>()
}

/// Appends one frame to `out`.
///
/// # Errors
/// [`FrameError::TooLong`] or [`FrameError::Unencodable`]; `out` is then as it was.
pub fn encode<T: Encode>(message: &T, out: &mut Vec<u8>) -> Result<(), FrameError> {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_BYTES]);
    let written = bincode::encode_into_std_write(message, out, config::standard());
    let body = out.len() - start - HEADER_BYTES;
    if let Err(cause) = written {
        out.truncate(start);
        return Err(FrameError::Unencodable(cause));
    }
    if body > FRAME_BYTES_MAX {
        out.truncate(start);
        return Err(FrameError::TooLong { bytes: body });
    }
    let length = (body as u32).to_le_bytes();
    out[start..start + HEADER_BYTES].copy_from_slice(&length);
    Ok(())
}

/// Takes one frame off the front of `input`: the message and the bytes it used, or `None` until
/// more arrive.
///
/// # Errors
/// Every error is final for the connection: the peer is broken or hostile.
pub fn decode<T: Decode<()>>(input: &[u8]) -> Result<Option<(T, usize)>, FrameError> {
    let Some((header, rest)) = input.split_first_chunk::<HEADER_BYTES>() else { return Ok(None) };
    let bytes = u32::from_le_bytes(*header) as usize;
    if bytes > FRAME_BYTES_MAX {
        return Err(FrameError::TooLong { bytes });
    }
    let Some(body) = rest.get(..bytes) else { return Ok(None) };
    let (message, used) =
        bincode::decode_from_slice(body, frame_limits()).map_err(FrameError::Malformed)?;
    if used < bytes {
        return Err(FrameError::Trailing { bytes: bytes - used });
    }
    Ok(Some((message, HEADER_BYTES + bytes)))
}

/// A value on its own, without a length: what a memfd or a last-good file holds.
///
/// # Errors
/// [`FrameError::Unencodable`].
pub fn encode_whole<T: Encode>(value: &T) -> Result<Vec<u8>, FrameError> {
    bincode::encode_to_vec(value, config::standard()).map_err(FrameError::Unencodable)
}

/// The reverse of [`encode_whole`]; all of `input` must be used.
///
/// # Errors
/// [`FrameError::Malformed`] or [`FrameError::Trailing`].
pub fn decode_whole<T: Decode<()>>(input: &[u8]) -> Result<T, FrameError> {
    let limits = config::standard().with_limit::<SNAPSHOT_BYTES_MAX>();
    let (value, used) = bincode::decode_from_slice(input, limits).map_err(FrameError::Malformed)?;
    if used < input.len() {
        return Err(FrameError::Trailing { bytes: input.len() - used });
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::message::ToWorker;
    use proptest::prelude::*;

    #[test]
    fn a_frame_comes_back_however_it_is_cut() {
        let message = ToWorker::Drain { deadline_ms: 45_000 };
        let mut bytes = Vec::new();
        encode(&message, &mut bytes).unwrap();
        for cut in 0..bytes.len() {
            assert!(decode::<ToWorker>(&bytes[..cut]).unwrap().is_none(), "cut at {cut}");
        }
        assert_eq!(decode::<ToWorker>(&bytes).unwrap(), Some((message, bytes.len())));
    }

    #[test]
    fn a_frame_that_announces_too_much_is_refused_before_it_arrives() {
        let header = (FRAME_BYTES_MAX as u32 + 1).to_le_bytes();
        assert!(matches!(decode::<ToWorker>(&header), Err(FrameError::TooLong { .. })));
    }

    #[test]
    fn bytes_after_the_message_are_an_error() {
        let mut bytes = Vec::new();
        encode(&ToWorker::Drain { deadline_ms: 1 }, &mut bytes).unwrap();
        bytes.push(0);
        bytes[0] += 1;
        assert!(matches!(decode::<ToWorker>(&bytes), Err(FrameError::Trailing { bytes: 1 })));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            let _ = decode::<ToWorker>(&bytes);
            let _ = decode_whole::<crate::snapshot::Snapshot>(&bytes);
        }
    }
}
