//! Certificates that lie in files: read anew when the mount changes, without a new snapshot.
//!
//! Looked at rather than watched: a mounted Secret changes by a swap of symbolic links some
//! directories up, and a few small files are cheap to read. Runs on the helper thread.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch::Receiver;

use super::prepare::{Means, Prepared};

/// Between two looks.
const INTERVAL: Duration = Duration::from_millis(500);

/// Looks at the files of the snapshot served, until the worker ends.
pub async fn follow(current: Receiver<Option<Arc<Prepared>>>, means: Arc<Means>) {
    while current.has_changed().is_ok() {
        tokio::time::sleep(INTERVAL).await;
        let prepared = current.borrow().clone();
        if let Some(prepared) = prepared {
            look(&prepared, &means);
        }
    }
}

fn look(prepared: &Prepared, means: &Means) {
    for originating in prepared.originating.values().filter(|one| one.has_files()) {
        originating.refresh(prepared.materials(means));
    }
    for table in prepared.tls.values().filter(|table| table.has_files()) {
        for (chain, fault) in table.refresh(prepared.materials(means), &means.tickets) {
            match fault {
                None => tracing::info!("TLS of {chain}: certificates read anew"),
                Some(error) => tracing::error!("TLS of {chain}: {error}; unchanged"),
            }
        }
    }
}
