//! One watch: one resource, in one namespace or in all. Runs for ever.

use std::pin::pin;
use std::time::Duration;

use kube::api::{Api, DynamicObject, ListParams};
use kube::core::Status;
use kube::runtime::WatchStreamExt;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, ResourceExt};
use tokio::sync::mpsc::Sender;
use tokio_stream::StreamExt;

use super::pauses::Pauses;
use super::resource::Resource;
use super::tidings::{Tidings, Trouble};
use crate::source::last_good::settle;
use crate::source::parse::parse_value;
use crate::source::{SourceEvent, SourceView};

/// Pause before a resource is looked for again that is not served or may not be read.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// What a watch tells whoever collects.
#[derive(Debug)]
pub(super) enum News {
    /// In order.
    Events(Vec<SourceEvent>),
    /// Said once: the first listing has been told, or it is known why there is none.
    Settled,
}

/// What is watched.
#[derive(Debug, Clone)]
pub(super) struct Scope {
    pub(super) resource: Resource,
    /// `None` = all.
    pub(super) namespace: Option<String>,
    /// Of one object alone; `None` = all.
    pub(super) name: Option<String>,
}

struct Watch {
    client: Client,
    scope: Scope,
    tidings: Tidings,
    news: Sender<News>,
    is_settled: bool,
}

/// Whoever collects is gone: the process is ending.
struct Over;

/// Watches until the collector is gone.
pub(super) async fn run(client: Client, scope: Scope, news: Sender<News>) {
    let tidings = Tidings::new(scope.resource, scope.namespace.as_deref().unwrap_or_default());
    let mut watch = Watch { client, scope, tidings, news, is_settled: false };
    let mut pauses = Pauses::default();
    loop {
        let (outcome, pause) = match watch.find_version().await {
            Ok(version) => {
                pauses.reset();
                (watch.follow(version).await, LOOK_AGAIN)
            }
            Err(trouble @ Trouble::Unreachable(_)) => {
                let pause = pauses.next().unwrap_or(LOOK_AGAIN);
                // Nothing is settled by silence: a gateway must not lose what it may be about to
                // hear of.
                (watch.tell_trouble(trouble, false).await, pause)
            }
            Err(trouble) => (watch.tell_trouble(trouble, true).await, LOOK_AGAIN),
        };
        if outcome.is_err() {
            return;
        }
        tokio::time::sleep(pause).await;
    }
}

impl Watch {
    fn api(&self, version: &str) -> Api<DynamicObject> {
        let resource = self.scope.resource.at(version);
        match &self.scope.namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        }
    }

    /// The first version served.
    async fn find_version(&self) -> Result<&'static str, Trouble> {
        for version in self.scope.resource.versions {
            match self.api(version).list_metadata(&ListParams::default().limit(1)).await {
                Ok(_) => return Ok(version),
                Err(error) => match trouble_of(&error) {
                    Trouble::Absent => {}
                    trouble => return Err(trouble),
                },
            }
        }
        Err(Trouble::Absent)
    }

    /// Follows one version until it is not served, or not to us, any more.
    async fn follow(&mut self, version: &str) -> Result<(), Over> {
        let mut config = watcher::Config::default();
        if let Some(name) = &self.scope.name {
            config = config.fields(&format!("metadata.name={name}"));
        }
        let mut stream = pin!(watcher(self.api(version), config).backoff(Pauses::default()));
        while let Some(event) = stream.next().await {
            match event {
                Ok(event) => self.take_in(event).await?,
                Err(error) => {
                    let trouble = watch_trouble(&error);
                    let is_lasting = matches!(trouble, Trouble::Absent | Trouble::Denied);
                    self.tell_trouble(trouble, is_lasting).await?;
                    if is_lasting {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    async fn take_in(&mut self, event: Event<DynamicObject>) -> Result<(), Over> {
        let events = match event {
            Event::Init => {
                self.tidings.list_begins();
                return Ok(());
            }
            Event::InitApply(object) => {
                let view = self.view(object);
                self.tidings.listed(view);
                return Ok(());
            }
            Event::InitDone => {
                let events = self.tidings.list_ends();
                self.tell(events).await?;
                return self.settle().await;
            }
            Event::Apply(object) => {
                let view = self.view(object);
                self.tidings.applied(view)
            }
            Event::Delete(object) => self.tidings.deleted(self.origin(&object)),
        };
        self.tell(events).await
    }

    fn origin(&self, object: &DynamicObject) -> String {
        let namespace = object.namespace().unwrap_or_default();
        format!("{}/{namespace}/{}", self.scope.resource.name, object.name_any())
    }

    fn view(&self, mut object: DynamicObject) -> SourceView {
        let origin = self.origin(&object);
        object.managed_fields_mut().clear();
        // It came as JSON, so that it can be JSON again.
        let value = serde_json::to_value(&object).unwrap_or_default();
        let resource = &self.scope.resource;
        let parsed = parse_value(resource.kind, resource.name, value);
        let (objects, diagnostics) = settle(parsed, &[]);
        SourceView { origin, objects, diagnostics }
    }

    async fn tell_trouble(&mut self, trouble: Trouble, is_lasting: bool) -> Result<(), Over> {
        let events = self.tidings.failed(trouble);
        self.tell(events).await?;
        if is_lasting { self.settle().await } else { Ok(()) }
    }

    async fn tell(&self, events: Vec<SourceEvent>) -> Result<(), Over> {
        if events.is_empty() {
            return Ok(());
        }
        self.news.send(News::Events(events)).await.map_err(|_| Over)
    }

    async fn settle(&mut self) -> Result<(), Over> {
        if std::mem::replace(&mut self.is_settled, true) {
            return Ok(());
        }
        self.news.send(News::Settled).await.map_err(|_| Over)
    }
}

fn watch_trouble(error: &watcher::Error) -> Trouble {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => trouble_of(error),
        watcher::Error::WatchError(status) => trouble_of_status(status),
        watcher::Error::NoResourceVersion => Trouble::Unreachable("it has no versions".to_owned()),
    }
}

fn trouble_of(error: &kube::Error) -> Trouble {
    match error {
        kube::Error::Api(status) => trouble_of_status(status),
        other => Trouble::Unreachable(innermost(other)),
    }
}

fn trouble_of_status(status: &Status) -> Trouble {
    match status.code {
        404 => Trouble::Absent,
        401 | 403 => Trouble::Denied,
        code => Trouble::Unreachable(format!("the API server answers {code} {}", status.message)),
    }
}

/// The first cause: the wrappings of a client's error say nothing to an operator.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
