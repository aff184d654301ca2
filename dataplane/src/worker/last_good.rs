//! The snapshot on disk: what a worker serves when control is not there to ask.
//!
//! One file per data plane, written by whichever worker accepts a snapshot first. Layout: magic,
//! schema fingerprint, SHA-256 of the rest, the snapshot as bincode. A file that is torn,
//! foreign or from another build is reported and ignored.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use fairway_shared::ipc::codec::{self, FrameError};
use fairway_shared::ipc::message::schema_fingerprint;
use fairway_shared::snapshot::Snapshot;
use sha2::{Digest, Sha256};

/// Format 1.
const MAGIC: &[u8; 16] = b"fairway-snap-01\n";
const HASH_BYTES: usize = 32;
const HEADER_BYTES: usize = MAGIC.len() + 2 * HASH_BYTES;

/// Why the file is not used.
#[derive(Debug, thiserror::Error)]
pub enum LastGoodError {
    /// The file system's word.
    #[error("cannot be read or written")]
    Io(#[from] io::Error),
    /// Shorter than its header, or other first bytes.
    #[error("is not a snapshot file")]
    Foreign,
    /// Written by a build with other definitions.
    #[error("was written by another build")]
    OtherBuild,
    /// The content is not what was written.
    #[error("is damaged: its checksum does not match")]
    Damaged,
    /// The checksum matches, the content does not decode.
    #[error("does not decode")]
    Malformed(#[from] FrameError),
}

/// Reads the file; `None` if there is none.
///
/// # Errors
/// Why the file that is there cannot be used.
pub fn read(path: &Path) -> Result<Option<Snapshot>, LastGoodError> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?.read_to_end(&mut bytes)?,
    };
    let content = checked(&bytes)?;
    Ok(Some(codec::decode_whole(content)?))
}

fn checked(bytes: &[u8]) -> Result<&[u8], LastGoodError> {
    let (header, content) = bytes.split_at_checked(HEADER_BYTES).ok_or(LastGoodError::Foreign)?;
    let (magic, hashes) = header.split_at(MAGIC.len());
    let (schema, checksum) = hashes.split_at(HASH_BYTES);
    if magic != MAGIC {
        Err(LastGoodError::Foreign)
    } else if schema != schema_fingerprint() {
        Err(LastGoodError::OtherBuild)
    } else if checksum != Sha256::digest(content).as_slice() {
        Err(LastGoodError::Damaged)
    } else {
        Ok(content)
    }
}

/// Writes the file, atomically and only if it would differ. `who` keeps writers apart.
///
/// # Errors
/// The file system's, or the snapshot does not encode; the old file stays.
pub fn write(path: &Path, snapshot: &Snapshot, who: &str) -> Result<(), LastGoodError> {
    let content = codec::encode_whole(snapshot)?;
    let mut header = Vec::with_capacity(HEADER_BYTES);
    header.extend_from_slice(MAGIC);
    header.extend_from_slice(&schema_fingerprint());
    header.extend_from_slice(&Sha256::digest(&content));
    if has_header(path, &header) {
        return Ok(());
    }
    let draft = path.with_extension(format!("tmp-{who}"));
    let mut file =
        File::options().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(&header)?;
    file.write_all(&content)?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    Ok(())
}

/// Another worker was faster: the checksum in the header tells.
fn has_header(path: &Path, header: &[u8]) -> bool {
    let mut found = vec![0; header.len()];
    File::open(path).is_ok_and(|mut file| file.read_exact(&mut found).is_ok() && found == header)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fairway_shared::id::SnapshotVersion;

    #[test]
    fn a_snapshot_comes_back_and_damage_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("last-good");
        assert!(read(&path).unwrap().is_none());
        let snapshot = Snapshot { version: SnapshotVersion(7), ..Snapshot::default() };
        write(&path, &snapshot, "0").unwrap();
        assert_eq!(read(&path).unwrap(), Some(snapshot));
        let good = fs::read(&path).unwrap();
        for cut in 0..good.len() {
            fs::write(&path, &good[..cut]).unwrap();
            assert!(read(&path).is_err(), "torn at {cut}");
        }
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(&path, &bad).unwrap();
            assert!(read(&path).is_err(), "flipped at {at}");
        }
    }
}
