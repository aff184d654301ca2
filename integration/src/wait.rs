//! Conditions with deadlines.

use std::time::{Duration, Instant};

/// Between two looks at a condition.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Long enough for anything on a busy machine; a test that is right never waits for it.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Looks until there is something to see, at most [`PATIENCE`].
///
/// # Panics
/// At the deadline, saying what was waited for.
pub async fn until<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    within(PATIENCE, what, look).await
}

/// Looks until there is something to see.
///
/// # Panics
/// At the deadline, saying what was waited for.
pub async fn within<T>(
    deadline: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> T {
    let started = Instant::now();
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(started.elapsed() < deadline, "waited {deadline:?} in vain: {what}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
