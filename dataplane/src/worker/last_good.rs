//! Snapshots on disk: what a worker serves when control is not there to ask, or when what control
//! has to say crashed its predecessors.
//!
//! Two files per data plane, shared by its workers: the newest snapshot that any of them accepted,
//! and beside it the newest that one of them served long enough to trust. Layout: magic, schema
//! fingerprint, SHA-256 of the rest, version, the snapshot as bincode. Written beside and renamed;
//! a file that is torn, foreign or from another build is reported and ignored.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use fairway_shared::id::SnapshotVersion;
use fairway_shared::ipc::codec::{self, FrameError};
use fairway_shared::ipc::message::schema_fingerprint;
use fairway_shared::snapshot::Snapshot;
use sha2::{Digest, Sha256};

use crate::black_box::ContentHash;

/// Format 2.
const MAGIC: &[u8; 16] = b"fairway-snap-02\n";
const HASH_BYTES: usize = 32;
const HEADER_BYTES: usize = MAGIC.len() + 2 * HASH_BYTES;
/// Secrets are in it.
const MODE: u32 = 0o600;

/// Why the file is not used.
#[derive(Debug, thiserror::Error)]
pub enum LastGoodError {
    /// The file system's word.
    #[error("cannot be read or written: {0}")]
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

/// The first bytes of a file, which tell snapshots apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal([u8; HEADER_BYTES]);

/// A snapshot as it is written.
#[derive(Debug)]
pub struct Encoded {
    seal: Seal,
    version: [u8; 8],
    content: Vec<u8>,
    hash: ContentHash,
}

impl Encoded {
    /// Takes a while for a large one.
    ///
    /// # Errors
    /// The snapshot does not encode.
    pub fn new(snapshot: &Snapshot) -> Result<Self, FrameError> {
        let nameless = Snapshot { version: SnapshotVersion(0), ..snapshot.clone() };
        let content = codec::encode_whole(&nameless)?;
        let version = snapshot.version.0.to_le_bytes();
        let checksum = Sha256::new().chain_update(version).chain_update(&content).finalize();
        let mut seal = [0; HEADER_BYTES];
        let schema = schema_fingerprint();
        let parts = MAGIC.iter().chain(&schema).chain(&checksum).copied();
        seal.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
        let hash = Sha256::digest(&content).into();
        Ok(Self { seal: Seal(seal), version, content, hash })
    }

    /// Of the file that it becomes.
    pub fn seal(&self) -> Seal {
        self.seal.clone()
    }

    /// Of all but the version: the same configuration has the same, whatever control numbers it.
    pub fn hash(&self) -> ContentHash {
        self.hash
    }
}

/// Where the snapshot is that was served long enough to trust.
pub fn proven(path: &Path) -> PathBuf {
    path.with_extension("proven")
}

/// Reads a file; `None` if there is none.
///
/// # Errors
/// Why the file that is there cannot be used.
pub fn read(path: &Path) -> Result<Option<Snapshot>, LastGoodError> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?.read_to_end(&mut bytes)?,
    };
    let (version, content) = checked(&bytes)?;
    let snapshot: Snapshot = codec::decode_whole(content)?;
    Ok(Some(Snapshot { version, ..snapshot }))
}

fn checked(bytes: &[u8]) -> Result<(SnapshotVersion, &[u8]), LastGoodError> {
    let (header, rest) = bytes.split_at_checked(HEADER_BYTES).ok_or(LastGoodError::Foreign)?;
    let (magic, hashes) = header.split_at(MAGIC.len());
    let (schema, checksum) = hashes.split_at(HASH_BYTES);
    if magic != MAGIC {
        return Err(LastGoodError::Foreign);
    }
    if schema != schema_fingerprint() {
        return Err(LastGoodError::OtherBuild);
    }
    if checksum != Sha256::digest(rest).as_slice() {
        return Err(LastGoodError::Damaged);
    }
    let (version, content) = rest.split_first_chunk().ok_or(LastGoodError::Foreign)?;
    Ok((SnapshotVersion(u64::from_le_bytes(*version)), content))
}

/// Writes the file, atomically and only if it would differ. `who` keeps writers apart.
///
/// # Errors
/// The file system's; the old file stays.
pub fn write(path: &Path, encoded: &Encoded, who: &str) -> Result<(), LastGoodError> {
    if has_seal(path, &encoded.seal) {
        return Ok(());
    }
    let draft = path.with_extension(format!("tmp-{who}"));
    let written = write_draft(&draft, encoded).and_then(|()| fs::rename(&draft, path));
    if written.is_err() {
        // What is left of it would only fill a full disk further.
        let _ = fs::remove_file(&draft);
    }
    Ok(written?)
}

fn write_draft(draft: &Path, encoded: &Encoded) -> io::Result<()> {
    let mut file =
        File::options().write(true).create(true).truncate(true).mode(MODE).open(draft)?;
    file.write_all(&encoded.seal.0)?;
    file.write_all(&encoded.version)?;
    file.write_all(&encoded.content)?;
    file.sync_all()
}

/// The snapshot in the file was served long enough to trust: it gets its second name. Nothing is
/// done if the file holds another one by now.
///
/// # Errors
/// The file system's; the old trusted one stays.
pub fn prove(path: &Path, seal: &Seal, who: &str) -> Result<(), LastGoodError> {
    let proven = proven(path);
    if !has_seal(path, seal) || has_seal(&proven, seal) {
        return Ok(());
    }
    let draft = path.with_extension(format!("proven-{who}"));
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    fs::hard_link(path, &draft)?;
    Ok(fs::rename(&draft, &proven)?)
}

/// Another worker was faster.
fn has_seal(path: &Path, seal: &Seal) -> bool {
    let mut found = [0; HEADER_BYTES];
    let has_read = |mut file: File| file.read_exact(&mut found).is_ok();
    File::open(path).is_ok_and(has_read) && found == seal.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn snapshot(version: u64) -> Snapshot {
        Snapshot { version: SnapshotVersion(version), ..Snapshot::default() }
    }

    fn encoded(version: u64) -> Encoded {
        Encoded::new(&snapshot(version)).unwrap()
    }

    #[test]
    fn a_snapshot_comes_back_and_damage_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("last-good");
        assert!(read(&path).unwrap().is_none());
        write(&path, &encoded(7), "0").unwrap();
        assert_eq!(read(&path).unwrap(), Some(snapshot(7)));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
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

    #[test]
    fn the_content_hash_does_not_know_the_version() {
        assert_eq!(encoded(1).hash(), encoded(2).hash());
        assert_ne!(encoded(1).seal(), encoded(2).seal());
    }

    #[test]
    fn only_the_snapshot_that_is_there_is_proven_and_it_outlives_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("last-good");
        write(&path, &encoded(1), "0").unwrap();
        prove(&path, &encoded(9).seal(), "0").unwrap();
        assert!(read(&proven(&path)).unwrap().is_none());
        for who in ["0", "1"] {
            prove(&path, &encoded(1).seal(), who).unwrap();
        }
        write(&path, &encoded(2), "1").unwrap();
        assert_eq!(read(&path).unwrap(), Some(snapshot(2)));
        assert_eq!(read(&proven(&path)).unwrap(), Some(snapshot(1)));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "no drafts are left");
    }

    #[test]
    fn a_file_that_cannot_be_written_leaves_the_old_one_and_no_draft() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nowhere").join("last-good");
        assert!(write(&path, &encoded(1), "0").is_err());
        let taken = folder.path().join("taken");
        fs::create_dir(&taken).unwrap();
        assert!(write(&taken, &encoded(1), "0").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
