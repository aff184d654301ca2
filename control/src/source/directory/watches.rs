//! Wakes the reader of a directory when the kernel sees a change in it. What changed is of no
//! interest here: the reader lists the directory again.
//!
//! Directories are watched one by one, and only those that were listed: hidden ones may be large.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use notify::{
    EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode},
};

use super::listing::Identity;

/// The directories under watch.
pub(super) struct Watches {
    /// `None` if the kernel gives none; the reader then depends on its slow round.
    watcher: Option<RecommendedWatcher>,
    watched: BTreeMap<PathBuf, Identity>,
    has_complained: bool,
}

impl Watches {
    /// Calls `wake` from another thread, at least once for any number of changes.
    pub(super) fn new(wake: impl Fn() + Send + 'static) -> Self {
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Events may have been lost where there is an error.
            if event.is_ok_and(|event| !is_change(event.kind)) {
                return;
            }
            wake();
        });
        let mut watches = Self { watcher: None, watched: BTreeMap::new(), has_complained: false };
        match watcher {
            Ok(watcher) => watches.watcher = Some(watcher),
            Err(error) => watches.complain(Path::new("."), &error),
        }
        watches
    }

    /// Watches exactly `directories`. True if some of them are new: what changed in them before
    /// this call went unseen, so that they have to be listed again.
    pub(super) fn follow(&mut self, directories: BTreeMap<PathBuf, Identity>) -> bool {
        let Some(watcher) = &mut self.watcher else { return false };
        let old = std::mem::take(&mut self.watched);
        for (path, identity) in &old {
            if directories.get(path) != Some(identity) {
                // Fails if the directory is gone, and then nothing is left to be undone.
                let _ = watcher.unwatch(path);
            }
        }
        let (mut is_new, mut failed) = (false, None);
        for (path, identity) in directories {
            if old.get(&path) != Some(&identity) {
                if let Err(error) = watcher.watch(&path, RecursiveMode::NonRecursive) {
                    failed = Some((path, error));
                    continue;
                }
                is_new = true;
            }
            self.watched.insert(path, identity);
        }
        if let Some((path, error)) = failed {
            self.complain(&path, &error);
        }
        is_new
    }

    fn complain(&mut self, path: &Path, error: &notify::Error) {
        if !self.has_complained {
            tracing::warn!(
                path = %path.display(), %error,
                "changes are not reported by the kernel, looking for them every few seconds"
            );
            self.has_complained = true;
        }
    }
}

/// Our own reading makes events too, which must not wake us again.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        _ => true,
    }
}
