//! The instance directory: made for this user alone, locked while it is in use, removed at the end
//! if it was made here. `newest` beside the fresh ones points to the instance started last.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use fairway_shared::instance::Instance;
use nix::unistd::getuid;

/// Name of the file that tells what runs and where it answers.
pub(crate) const INSTANCE_FILE: &str = "instance.json";
/// Name of control's socket.
pub(crate) const CONTROL_SOCKET: &str = "control.sock";
/// Longest path of a unix socket in bytes, without its closing zero (unix(7)).
const SOCKET_PATH_BYTES_MAX: usize = 107;
/// Longest name of a socket made in the directory, with the slash before it.
const SOCKET_NAME_BYTES_MAX: usize = 32;
/// Names tried for a fresh directory.
const NAMES_MAX: u32 = 100;

/// Why there is no instance directory.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DirError {
    #[error("cannot make instance directory `{}`: {source}", path.display())]
    Make { path: PathBuf, source: io::Error },
    #[error(
        "`{}` belongs to another user or is open to others: set XDG_RUNTIME_DIR or --instance-dir to a directory of your own",
        path.display()
    )]
    NotPrivate { path: PathBuf },
    #[error("instance directory `{}` is in use by another `fairway up`: name another one", path.display())]
    InUse { path: PathBuf },
    #[error(
        "instance directory `{}` is too long for a unix socket in it: name one of at most {max} bytes",
        path.display()
    )]
    TooLong { path: PathBuf, max: usize },
}

/// The directory of this instance. Dropping it removes what was made here.
#[derive(Debug)]
pub(crate) struct InstanceDir {
    path: PathBuf,
    is_fresh: bool,
    /// Where `newest` stands.
    base: PathBuf,
    _lock: File,
}

impl InstanceDir {
    /// Opens `wanted`, making it if it is missing, or makes a fresh one.
    pub(crate) fn open(wanted: Option<&Path>) -> Result<Self, DirError> {
        let base = base_dir(|name| std::env::var_os(name).map(PathBuf::from));
        Self::open_at(wanted, base)
    }

    fn open_at(wanted: Option<&Path>, base: PathBuf) -> Result<Self, DirError> {
        let made_base = make_private(&base);
        let path = match wanted {
            Some(path) => make_wanted(path)?,
            None => {
                made_base?;
                make_fresh(&base)?
            }
        };
        let max = SOCKET_PATH_BYTES_MAX - SOCKET_NAME_BYTES_MAX;
        if path.as_os_str().len() > max {
            return Err(DirError::TooLong { path, max });
        }
        let lock = lock(&path)?;
        let dir = Self { path, is_fresh: wanted.is_none(), base, _lock: lock };
        // Only a convenience for other commands, and not every user has a place for it.
        drop(dir.point_newest());
        Ok(dir)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces `instance.json` in one step: a reader sees the old text or the new.
    pub(crate) fn write(&self, instance: &Instance) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(instance)?;
        let temporary = self.path.join(".instance.json.new");
        fs::write(&temporary, text)?;
        fs::rename(temporary, self.path.join(INSTANCE_FILE))
    }

    fn point_newest(&self) -> io::Result<()> {
        let temporary = self.base.join(format!(".newest.{}", std::process::id()));
        drop(fs::remove_file(&temporary));
        symlink(fs::canonicalize(&self.path)?, &temporary)?;
        fs::rename(temporary, self.base.join("newest"))
    }
}

impl Drop for InstanceDir {
    fn drop(&mut self) {
        let newest = self.base.join("newest");
        if fs::read_link(&newest).ok() == fs::canonicalize(&self.path).ok() {
            drop(fs::remove_file(newest));
        }
        if self.is_fresh {
            drop(fs::remove_dir_all(&self.path));
        } else {
            drop(fs::remove_file(self.path.join(INSTANCE_FILE)));
        }
    }
}

/// The directory of the instance that this user started last, if it still runs.
pub(crate) fn newest() -> Option<PathBuf> {
    let base = base_dir(|name| std::env::var_os(name).map(PathBuf::from));
    fs::canonicalize(base.join("newest")).ok()
}

/// `$XDG_RUNTIME_DIR/fairway`, else `$TMPDIR/fairway-<uid>`.
fn base_dir(variable: impl Fn(&str) -> Option<PathBuf>) -> PathBuf {
    let directory = |name| variable(name).filter(|path| path.is_absolute());
    match directory("XDG_RUNTIME_DIR") {
        Some(runtime) => runtime.join("fairway"),
        None => directory("TMPDIR")
            .unwrap_or_else(|| PathBuf::from("/tmp"))
            .join(format!("fairway-{}", getuid())),
    }
}

/// A directory that others can enter or have made is refused: sockets in it could be theirs.
fn make_private(path: &Path) -> Result<(), DirError> {
    let failed = |source| DirError::Make { path: path.to_owned(), source };
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        other => return other.map_err(failed),
    }
    let meta = fs::symlink_metadata(path).map_err(failed)?;
    let is_private =
        meta.is_dir() && meta.uid() == getuid().as_raw() && meta.permissions().mode() & 0o077 == 0;
    if is_private { Ok(()) } else { Err(DirError::NotPrivate { path: path.to_owned() }) }
}

fn make_wanted(path: &Path) -> Result<PathBuf, DirError> {
    let failed = |source| DirError::Make { path: path.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
    fs::canonicalize(path).map_err(failed)
}

fn make_fresh(base: &Path) -> Result<PathBuf, DirError> {
    let mut failure = None;
    for number in 0..NAMES_MAX {
        let path = base.join(format!("up-{}-{number}", std::process::id()));
        match DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => return Ok(path),
            Err(source) => {
                let is_taken = source.kind() == io::ErrorKind::AlreadyExists;
                failure = Some(DirError::Make { path, source });
                if !is_taken {
                    break;
                }
            }
        }
    }
    Err(failure.expect("at least one name was tried"))
}

fn lock(path: &Path) -> Result<File, DirError> {
    let failed = |source| DirError::Make { path: path.to_owned(), source };
    let file = File::create(path.join("lock")).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(DirError::InUse { path: path.to_owned() }),
        Err(fs::TryLockError::Error(source)) => Err(failed(source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> (tempfile::TempDir, PathBuf) {
        let root = tempfile::tempdir().unwrap();
        let base = root.path().join("fairway");
        (root, base)
    }

    #[test]
    fn the_base_follows_the_environment() {
        for (xdg, tmp, expected) in [
            (Some("/run/user/1"), Some("/var/tmp"), "/run/user/1/fairway".to_owned()),
            (None, Some("/var/tmp"), format!("/var/tmp/fairway-{}", getuid())),
            (Some("relative"), None, format!("/tmp/fairway-{}", getuid())),
        ] {
            let base = base_dir(|name| {
                if name == "TMPDIR" { tmp.map(PathBuf::from) } else { xdg.map(PathBuf::from) }
            });
            assert_eq!(base, PathBuf::from(expected));
        }
    }

    #[test]
    fn a_fresh_directory_is_private_and_goes_away() {
        let (_root, base) = base();
        let one = InstanceDir::open_at(None, base.clone()).unwrap();
        let two = InstanceDir::open_at(None, base.clone()).unwrap();
        assert_ne!(one.path(), two.path());
        assert_eq!(fs::metadata(one.path()).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::read_link(base.join("newest")).unwrap(), two.path());
        two.write(&Instance::default()).unwrap();
        let path = two.path().to_owned();
        drop(two);
        assert!(!path.exists());
        assert!(fs::symlink_metadata(base.join("newest")).is_err());
    }

    #[test]
    fn a_named_directory_stays_but_can_be_used_once_at_a_time() {
        let (root, base) = base();
        let wanted = root.path().join("deep/instance");
        let dir = InstanceDir::open_at(Some(&wanted), base.clone()).unwrap();
        let again = InstanceDir::open_at(Some(&wanted), base.clone()).unwrap_err();
        assert!(matches!(again, DirError::InUse { .. }), "{again}");
        dir.write(&Instance::default()).unwrap();
        drop(dir);
        assert!(wanted.exists() && !wanted.join(INSTANCE_FILE).exists());
        InstanceDir::open_at(Some(&wanted), base).unwrap();
    }

    #[test]
    fn a_directory_open_to_others_or_too_long_is_refused() {
        let (root, base) = base();
        fs::create_dir(&base).unwrap();
        fs::set_permissions(&base, fs::Permissions::from_mode(0o755)).unwrap();
        let open = InstanceDir::open_at(None, base.clone()).unwrap_err();
        assert!(matches!(open, DirError::NotPrivate { .. }), "{open}");
        let long = root.path().join("x".repeat(100));
        let long = InstanceDir::open_at(Some(&long), base).unwrap_err();
        assert!(matches!(long, DirError::TooLong { .. }), "{long}");
    }
}
