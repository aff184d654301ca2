//! What a directory holds at one moment: which files are to be read, which directories to be
//! watched, and what could not be looked at. It reads no content.
//!
//! Hidden entries and editors' leftovers are left out. Symbolic links are followed, so that a
//! mounted ConfigMap, whose files are links into a hidden directory, is seen as its visible names.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// Directories within each other.
const DEPTH_MAX: usize = 32;
/// Files of one listing; a directory with more is taken for a mistake.
pub(super) const FILES_MAX: usize = 100_000;

/// A directory at one moment. Keys are paths relative to it, separated by `/`.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Files to read.
    pub(super) files: BTreeMap<String, File>,
    /// Files and directories that exist but cannot be looked at; a directory ends in `/`.
    pub(super) unreadable: BTreeMap<String, io::Error>,
    /// The directory itself and all below it.
    pub(super) directories: BTreeMap<PathBuf, Identity>,
    /// There were more than [`FILES_MAX`].
    pub(super) is_cut: bool,
}

#[derive(Debug)]
pub(super) struct File {
    pub(super) path: PathBuf,
    pub(super) stamp: Stamp,
}

/// Tells one directory from another that took its path; an inode number alone may be used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    created: Option<SystemTime>,
}

/// Changes whenever the content of a file does, but for changes within one tick of the file
/// system's clock; see [`Stamp::is_fresh`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    /// Also moves when the modification time is set back, and when permissions change.
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether the file changed so recently that it may change again under the same stamp.
    pub(super) fn is_fresh(&self, now: SystemTime) -> bool {
        /// Longer than a tick of any kernel's clock.
        const TICK: Duration = Duration::from_millis(100);
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let seconds = u64::try_from(self.changed.0).unwrap_or(0);
        let nanoseconds = u32::try_from(self.changed.1).unwrap_or(0);
        now < Duration::new(seconds, nanoseconds).saturating_add(TICK)
    }
}

/// Lists `root`, or the one file that it is.
///
/// # Errors
/// `root` itself cannot be looked at. Trouble below it is part of the listing.
pub(super) fn list(root: &Path) -> io::Result<Listing> {
    let mut listing = Listing::default();
    let metadata = fs::metadata(root)?;
    if metadata.is_dir() {
        let entries = fs::read_dir(root)?;
        let mut ancestors = BTreeSet::new();
        listing.directory(root, "", &metadata, entries, &mut ancestors)?;
    } else {
        let name = root.file_name().map(|name| name.to_string_lossy().into_owned());
        let file = File { path: root.to_owned(), stamp: Stamp::of(&metadata) };
        listing.files.insert(name.unwrap_or_default(), file);
    }
    Ok(listing)
}

impl Listing {
    /// Lists a directory whose key is `prefix`, without entering one that holds it.
    fn directory(
        &mut self,
        path: &Path,
        prefix: &str,
        metadata: &Metadata,
        entries: fs::ReadDir,
        ancestors: &mut BTreeSet<(u64, u64)>,
    ) -> io::Result<()> {
        let inode = (metadata.dev(), metadata.ino());
        if ancestors.len() >= DEPTH_MAX || !ancestors.insert(inode) {
            return Ok(());
        }
        let created = metadata.created().ok();
        let identity = Identity { device: inode.0, inode: inode.1, created };
        self.directories.insert(path.to_owned(), identity);
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !is_leftover(&name) {
                self.entry(&entry.path(), &format!("{prefix}{name}"), ancestors);
            }
        }
        ancestors.remove(&inode);
        Ok(())
    }

    fn entry(&mut self, path: &Path, key: &str, ancestors: &mut BTreeSet<(u64, u64)>) {
        let metadata = match fs::metadata(path) {
            Ok(metadata) => metadata,
            // Gone since the directory was read. A link that leads nowhere is still there.
            Err(_) if fs::symlink_metadata(path).is_err() => return,
            Err(error) if is_wanted(key) => {
                self.unreadable.insert(key.to_owned(), error);
                return;
            }
            Err(_) => return,
        };
        if metadata.is_dir() {
            let prefix = format!("{key}/");
            let listed = fs::read_dir(path)
                .and_then(|entries| self.directory(path, &prefix, &metadata, entries, ancestors));
            match listed {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    self.unreadable.insert(prefix, error);
                }
                _ => {}
            }
        } else if metadata.is_file() && is_wanted(key) {
            if self.files.len() >= FILES_MAX {
                self.is_cut = true;
                return;
            }
            let file = File { path: path.to_owned(), stamp: Stamp::of(&metadata) };
            self.files.insert(key.to_owned(), file);
        }
    }
}

fn is_wanted(key: &str) -> bool {
    [".yaml", ".yml", ".json"].iter().any(|ending| key.ends_with(ending))
}

/// Hidden, or what editors leave behind while and after they save.
fn is_leftover(name: &str) -> bool {
    name.starts_with('.')
        || name.ends_with('~')
        || name.starts_with('#') && name.ends_with('#')
        || [".swp", ".swx", ".tmp", ".bak"].iter().any(|ending| name.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn keys(root: &Path) -> Vec<String> {
        list(root).unwrap().files.into_keys().collect()
    }

    #[test]
    fn only_visible_yaml_and_json_is_listed_in_order() {
        let root = tempfile::tempdir().unwrap();
        for directory in ["b", "b/c", ".git", "z.yaml"] {
            fs::create_dir(root.path().join(directory)).unwrap();
        }
        for file in [
            "a.yaml",
            "b.yml",
            "c.json",
            "b/a.yaml",
            "b/c/x.yaml",
            "z.yaml/in.yml",
            "a.txt",
            ".a.yaml",
            ".git/a.yaml",
            "a.yaml~",
            ".a.yaml.swp",
            "#a.yaml#",
            "a.yaml.tmp",
            "4913",
        ] {
            fs::write(root.path().join(file), "").unwrap();
        }
        let expected = ["a.yaml", "b.yml", "b/a.yaml", "b/c/x.yaml", "c.json", "z.yaml/in.yml"];
        assert_eq!(keys(root.path()), expected);
        assert_eq!(keys(&root.path().join("b.yml")), ["b.yml"]);
        assert!(list(&root.path().join("none")).is_err());
    }

    #[test]
    fn links_are_followed_but_not_in_circles() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        fs::create_dir_all(at("..2026/")).unwrap();
        fs::write(at("..2026/a.yaml"), "").unwrap();
        symlink("..2026", at("..data")).unwrap();
        symlink("..data/a.yaml", at("a.yaml")).unwrap();
        symlink(".", at("self")).unwrap();
        symlink("nowhere.yaml", at("lost.yaml")).unwrap();
        symlink("nowhere.txt", at("lost.txt")).unwrap();
        let listing = list(root.path()).unwrap();
        assert_eq!(listing.files.keys().collect::<Vec<_>>(), ["a.yaml"]);
        assert_eq!(listing.unreadable.keys().collect::<Vec<_>>(), ["lost.yaml"]);
    }
}
