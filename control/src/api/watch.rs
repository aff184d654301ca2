//! Streams that repeat a list whenever it has changed. A reader that is slow misses what lies
//! between: only the newest answer is ever made for it, so that it costs no memory.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::publish::publisher::Publisher;
use crate::publish::view::View;

/// Watchers at one time; more are refused.
pub const WATCHERS_MAX: usize = 256;

/// Answers that wait for a watcher: none is made before the one before it was taken.
const ANSWERS_MAX: usize = 1;

/// What the watchers share.
#[derive(Debug, Clone)]
pub(super) struct Watchers {
    permits: Arc<Semaphore>,
}

impl Default for Watchers {
    fn default() -> Self {
        Self { permits: Arc::new(Semaphore::new(WATCHERS_MAX)) }
    }
}

/// Answers of one watcher.
pub type Answers<T> = ReceiverStream<Result<T, Status>>;

impl Watchers {
    /// Starts a watcher whose answers are what `list` makes of the view.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED` beyond [`WATCHERS_MAX`].
    pub(super) fn watch<T>(
        &self,
        publisher: Publisher,
        list: impl Fn(&View) -> T + Send + 'static,
    ) -> Result<Answers<T>, Status>
    where
        T: Clone + PartialEq + Send + 'static,
    {
        let full = |_| Status::resource_exhausted(format!("{WATCHERS_MAX} watch already"));
        let permit = Arc::clone(&self.permits).try_acquire_owned().map_err(full)?;
        let (sender, answers) = mpsc::channel(ANSWERS_MAX);
        tokio::spawn(repeat(publisher, list, sender, permit));
        Ok(ReceiverStream::new(answers))
    }
}

async fn repeat<T: Clone + PartialEq>(
    publisher: Publisher,
    list: impl Fn(&View) -> T,
    sender: mpsc::Sender<Result<T, Status>>,
    _permit: OwnedSemaphorePermit,
) {
    let mut changes = publisher.changes();
    let mut told = None;
    loop {
        // Waits for the reader first, so that what it is told is the newest.
        let Ok(place) = sender.reserve().await else { return };
        loop {
            changes.mark_unchanged();
            let Ok(view) = publisher.view().await else { return };
            let answer = list(&view);
            if told.as_ref() != Some(&answer) {
                told = Some(answer.clone());
                place.send(Ok(answer));
                break;
            }
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                () = sender.closed() => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio_stream::StreamExt;

    use super::*;
    use crate::publish::testing;

    fn hosts(view: &View) -> usize {
        view.current().map_or(0, |version| version.counts.routes)
    }

    #[actix::test]
    async fn a_watcher_is_told_the_state_and_then_each_change_once() {
        let publisher = Publisher::start();
        let mut answers = Watchers::default().watch(publisher.clone(), hosts).unwrap();
        assert_eq!(answers.next().await.unwrap().unwrap(), 0);
        testing::publish(&publisher, &["a"]).await;
        assert_eq!(answers.next().await.unwrap().unwrap(), 1);
        // The same again is no news, the next is.
        testing::publish(&publisher, &["a"]).await;
        testing::publish(&publisher, &["a", "b"]).await;
        assert_eq!(answers.next().await.unwrap().unwrap(), 2);
    }

    #[actix::test]
    async fn a_slow_watcher_skips_to_the_newest() {
        let publisher = Publisher::start();
        let mut answers = Watchers::default().watch(publisher.clone(), hosts).unwrap();
        let names = ["a", "b", "c", "d", "e", "f"];
        for count in 1..=names.len() {
            testing::publish(&publisher, &names[..count]).await;
        }
        let mut told = 0;
        let mut last = 0;
        while last < names.len() {
            last = answers.next().await.unwrap().unwrap();
            told += 1;
        }
        assert!(told <= 3, "{told} answers for a reader that slept");
    }

    #[actix::test]
    async fn watchers_are_limited_and_a_gone_one_makes_room() {
        let publisher = Publisher::start();
        let watchers = Watchers::default();
        let watch = || watchers.watch(publisher.clone(), hosts);
        let mut all: Vec<_> = (0..WATCHERS_MAX).map(|_| watch().unwrap()).collect();
        assert_eq!(watch().unwrap_err().code(), tonic::Code::ResourceExhausted);
        all.pop();
        while watch().is_err() {
            tokio::task::yield_now().await;
        }
    }
}
