use std::sync::Arc;

use tokio::sync::{Notify, mpsc};

use super::*;
use crate::source::SourceView;

const DEADLINE: Duration = Duration::from_secs(20);

/// Takes configurations, each only when the gate lets it.
struct Taker {
    taken: mpsc::UnboundedSender<Vec<String>>,
    gate: Arc<Notify>,
}

impl Actor for Taker {
    type Context = Context<Self>;
}

impl Handler<ConfigChanged> for Taker {
    type Result = ResponseFuture<()>;

    fn handle(
        &mut self,
        ConfigChanged(united): ConfigChanged,
        _: &mut Self::Context,
    ) -> Self::Result {
        let findings = united.diagnostics.into_iter().map(|finding| finding.message);
        self.taken.send(findings.collect()).unwrap();
        let gate = Arc::clone(&self.gate);
        Box::pin(async move { gate.notified().await })
    }
}

struct World {
    store: Addr<StoreActor>,
    taken: mpsc::UnboundedReceiver<Vec<String>>,
    gate: Arc<Notify>,
}

impl World {
    fn start(policy: DebouncePolicy) -> Self {
        let (sender, taken) = mpsc::unbounded_channel();
        let gate = Arc::new(Notify::new());
        let taker = Taker { taken: sender, gate: Arc::clone(&gate) }.start();
        let store = StoreActor::new(policy, taker.recipient()).start();
        Self { store, taken, gate }
    }

    /// Tells the store one finding for each name, the shortest thing that a view can hold.
    async fn tell(&self, names: &[&str], is_synced: bool) {
        let view = |name: &&str| {
            let parsed = crate::source::parse::parse_file(name, b"[]");
            let mut diagnostics = parsed.diagnostics;
            diagnostics.iter_mut().for_each(|finding| finding.message = (*name).to_owned());
            let origin = (*name).to_owned();
            SourceEvent::Updated(SourceView { origin, objects: vec![], diagnostics })
        };
        let mut events: Vec<_> = names.iter().map(view).collect();
        events.extend(is_synced.then_some(SourceEvent::Synced));
        self.store.send(SourceChanged(events)).await.unwrap();
    }

    async fn next(&mut self) -> Vec<String> {
        tokio::time::timeout(DEADLINE, self.taken.recv()).await.unwrap().unwrap()
    }
}

#[actix::test]
async fn nothing_is_handed_on_before_the_source_is_synced() {
    let mut world = World::start(DebouncePolicy { quiet_ms: 0, longest_ms: 0 });
    world.tell(&["a"], false).await;
    world.tell(&["b"], true).await;
    assert_eq!(world.next().await, ["a", "b"]);
}

#[actix::test]
async fn the_first_configuration_does_not_wait_for_quiet() {
    let mut world = World::start(DebouncePolicy { quiet_ms: 3_600_000, longest_ms: 3_600_000 });
    world.tell(&[], true).await;
    assert_eq!(world.next().await, [""; 0]);
}

#[actix::test]
async fn what_changes_together_is_handed_on_together() {
    let mut world = World::start(DebouncePolicy { quiet_ms: 300, longest_ms: 60_000 });
    world.gate.notify_one();
    world.tell(&["a"], true).await;
    assert_eq!(world.next().await, ["a"]);
    let started = Instant::now();
    world.tell(&["b"], false).await;
    world.tell(&["c"], false).await;
    assert_eq!(world.next().await, ["a", "b", "c"]);
    assert!(started.elapsed() >= Duration::from_millis(300));
}

#[actix::test]
async fn a_slow_recipient_gets_the_newest_only() {
    let mut world = World::start(DebouncePolicy { quiet_ms: 0, longest_ms: 0 });
    world.tell(&["a"], true).await;
    assert_eq!(world.next().await, ["a"]);
    for name in ["b", "c", "d"] {
        world.tell(&[name], false).await;
    }
    assert!(world.taken.try_recv().is_err());
    world.gate.notify_one();
    assert_eq!(world.next().await, ["a", "b", "c", "d"]);
    world.gate.notify_one();
    world.tell(&["e"], false).await;
    assert_eq!(world.next().await, ["a", "b", "c", "d", "e"]);
}
