//! One published version: the snapshot, its figures, and its encoded forms. Each form is made
//! once, when the first subscriber needs it, and shared by all others.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use fairway_proto::encoded::EncodedBody;
use fairway_shared::id::SnapshotVersion;
use fairway_shared::snapshot::Snapshot;

use super::unix::memfd::{self, MemfdError};

/// Deltas kept per version; a subscriber on yet another base has its own made.
const DELTAS_MAX: usize = 32;

/// What a version holds, in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Listeners.
    pub listeners: usize,
    /// Routes over all virtual hosts.
    pub routes: usize,
    /// Clusters.
    pub clusters: usize,
    /// Endpoints over all service ports.
    pub endpoints: usize,
}

/// One published version, as the history keeps it.
#[derive(Debug)]
pub struct Version {
    /// Its number is in it.
    pub snapshot: Snapshot,
    /// What it holds.
    pub counts: Counts,
    /// Milliseconds since the Unix epoch.
    pub published_at_unix_ms: i64,
    /// How long the compile took, in milliseconds.
    pub compile_ms: u64,
}

impl Version {
    /// The version's number.
    pub fn number(&self) -> SnapshotVersion {
        self.snapshot.version
    }
}

/// Counts what a snapshot holds.
pub fn count(snapshot: &Snapshot) -> Counts {
    let hosts = snapshot.route_tables.values().flat_map(|table| &table.virtual_hosts);
    Counts {
        listeners: snapshot.listeners.len(),
        routes: hosts.map(|host| host.routes.len()).sum(),
        clusters: snapshot.clusters.len(),
        endpoints: snapshot.endpoints.values().map(|set| set.endpoints.len()).sum(),
    }
}

/// A snapshot in a sealed memfd.
#[derive(Debug)]
pub struct SealedSnapshot {
    /// Cannot be written, grown or shrunk any more.
    pub descriptor: OwnedFd,
    /// Length of its content.
    pub bytes: u64,
}

/// A version on its way to subscribers. The encoded forms die with the last of them that is
/// still to be sent it, so that the history is not kept in three copies.
#[derive(Debug)]
pub struct Outgoing {
    /// What is sent.
    pub version: Arc<Version>,
    forms: Mutex<Forms>,
}

#[derive(Debug, Default)]
struct Forms {
    sealed: Option<Arc<SealedSnapshot>>,
    whole: Option<EncodedBody>,
    deltas: BTreeMap<SnapshotVersion, EncodedBody>,
}

impl Outgoing {
    /// Nothing is encoded yet.
    pub fn new(version: Arc<Version>) -> Self {
        Self { version, forms: Mutex::default() }
    }

    /// The sealed memfd. Takes as long as encoding takes for the first caller; call it where
    /// blocking is allowed.
    ///
    /// # Errors
    /// The snapshot is too large, or the kernel gives no memfd.
    pub fn sealed(&self) -> Result<Arc<SealedSnapshot>, MemfdError> {
        let mut forms = self.lock();
        if let Some(sealed) = &forms.sealed {
            return Ok(Arc::clone(sealed));
        }
        let sealed = Arc::new(memfd::seal(&self.version.snapshot)?);
        forms.sealed = Some(Arc::clone(&sealed));
        Ok(sealed)
    }

    /// The message without its nonce, relative to `base` if there is one. Takes as long as
    /// encoding takes for the first caller; call it where blocking is allowed.
    pub fn message(&self, base: Option<&Version>) -> EncodedBody {
        let mut forms = self.lock();
        let Some(base) = base else {
            let whole = || EncodedBody::whole(&self.version.snapshot);
            return forms.whole.get_or_insert_with(whole).clone();
        };
        if let Some(delta) = forms.deltas.get(&base.number()) {
            return delta.clone();
        }
        let delta = EncodedBody::delta(&base.snapshot, &self.version.snapshot);
        if forms.deltas.len() < DELTAS_MAX {
            forms.deltas.insert(base.number(), delta.clone());
        }
        delta
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Forms> {
        // A form is stored only when it is complete, so a panic elsewhere leaves no half of one.
        self.forms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
