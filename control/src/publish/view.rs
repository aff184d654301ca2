//! The publisher's state at one moment: what pages, lists and metrics are made of. Plain data;
//! taking one costs a few reference counts.

use std::sync::Arc;

use fairway_shared::diagnostic::Diagnostic;
use fairway_shared::id::{SnapshotVersion, WorkerSlot};
use fairway_shared::ipc::message::NodeIdentity;

use super::session::Session;
use super::version::Version;
use crate::object::ConfigSet;

/// How a subscriber is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// The unix socket.
    Unix,
    /// A gRPC stream.
    Grpc,
}

impl Carrier {
    /// `unix` or `grpc`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unix => "unix",
            Self::Grpc => "grpc",
        }
    }
}

/// Who a subscriber is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscriber {
    /// Whose worker.
    pub node: NodeIdentity,
    /// Which one.
    pub slot: WorkerSlot,
    /// How it is reached.
    pub carrier: Carrier,
}

/// A subscriber and how it is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriberStatus {
    /// Who it is.
    pub subscriber: Subscriber,
    /// What it was sent and said.
    pub session: Session,
    /// When it connected, in milliseconds since the Unix epoch.
    pub connected_at_unix_ms: i64,
    /// When it was last sent to or heard of, in milliseconds since the Unix epoch.
    pub changed_at_unix_ms: i64,
}

/// What has happened since control started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Updates sent.
    pub sent: u64,
    /// Updates nacked.
    pub nacked: u64,
    /// Secrets found missing, broken or out of date.
    pub certificate_errors: u64,
}

/// The publisher's state at one moment.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// The versions held, newest first.
    pub versions: Vec<Arc<Version>>,
    /// The version that workers are held at.
    pub pinned: Option<SnapshotVersion>,
    /// In order of node id, slot and arrival.
    pub subscribers: Vec<SubscriberStatus>,
    /// Worst first, then in order of code and object.
    pub diagnostics: Arc<[Diagnostic]>,
    /// What the current version was compiled from.
    pub config: Option<Arc<ConfigSet>>,
    /// What has happened.
    pub tally: Tally,
}

impl View {
    /// The version that every worker should have: the pinned one, else the newest.
    pub fn current(&self) -> Option<&Arc<Version>> {
        match self.pinned {
            Some(pinned) => self.versions.iter().find(|version| version.number() == pinned),
            None => self.versions.first(),
        }
    }

    /// Number of the current version; 0 = none yet.
    pub fn current_number(&self) -> SnapshotVersion {
        self.current().map(|version| version.number()).unwrap_or_default()
    }

    /// A version by its number; 0 = the current one.
    pub fn version(&self, number: SnapshotVersion) -> Option<&Arc<Version>> {
        if number.0 == 0 {
            return self.current();
        }
        self.versions.iter().find(|version| version.number() == number)
    }

    /// The subscriber serves the current version.
    pub fn is_in_sync(&self, status: &SubscriberStatus) -> bool {
        self.current().is_some_and(|current| status.session.acked() == current.number())
    }
}
