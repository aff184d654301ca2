//! A snapshot in a sealed memfd: encoded once, then shared by all workers of the host. The seals
//! let a worker read it without fear that it changes or shrinks meanwhile.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;

use fairway_shared::ipc::codec::{self, FrameError, SNAPSHOT_BYTES_MAX};
use fairway_shared::snapshot::Snapshot;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::publish::version::SealedSnapshot;

/// Every seal there is: against writing, growing, shrinking, and against further seals.
const SEALS: SealFlag = SealFlag::F_SEAL_WRITE
    .union(SealFlag::F_SEAL_GROW)
    .union(SealFlag::F_SEAL_SHRINK)
    .union(SealFlag::F_SEAL_SEAL);

/// Why there is no memfd.
#[derive(Debug, thiserror::Error)]
pub enum MemfdError {
    /// The snapshot does not encode.
    #[error("snapshot does not encode")]
    Encode(#[from] FrameError),
    /// No worker would read it.
    #[error("snapshot of {bytes} bytes exceeds {SNAPSHOT_BYTES_MAX}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// The system says no.
    #[error("cannot make a memfd")]
    System(#[from] io::Error),
}

/// Encodes and seals.
///
/// # Errors
/// [`MemfdError`].
pub fn seal(snapshot: &Snapshot) -> Result<SealedSnapshot, MemfdError> {
    let content = codec::encode_whole(snapshot)?;
    if content.len() > SNAPSHOT_BYTES_MAX {
        return Err(MemfdError::TooLong { bytes: content.len() });
    }
    let descriptor = sealed(&content)?;
    Ok(SealedSnapshot { descriptor, bytes: content.len() as u64 })
}

fn sealed(content: &[u8]) -> io::Result<OwnedFd> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let mut file = File::from(memfd_create(c"fairway-snapshot", flags)?);
    file.write_all(content)?;
    fcntl(&file, FcntlArg::F_ADD_SEALS(SEALS))?;
    Ok(file.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::testing::snapshot_with;
    use std::os::unix::fs::FileExt;

    #[test]
    fn a_sealed_snapshot_reads_back_and_cannot_be_changed() {
        let snapshot = snapshot_with(&["a", "b"]);
        let sealed = seal(&snapshot).unwrap();
        let file = File::from(sealed.descriptor);
        let mut content = vec![0; usize::try_from(sealed.bytes).unwrap()];
        file.read_exact_at(&mut content, 0).unwrap();
        assert_eq!(codec::decode_whole::<Snapshot>(&content).unwrap(), snapshot);
        assert!(file.write_at(b"x", 0).is_err());
        assert!(file.set_len(0).is_err());
        assert!(file.set_len(sealed.bytes + 1).is_err());
    }
}
