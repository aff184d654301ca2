//! The Kubernetes source: watches on an API server.
//!
//! One task watches each resource (in each namespace, if only some are watched); a collector hands
//! what they tell to a sink, in order. A resource that is not served or may not be read is a
//! finding and holds nothing up; it is looked for again and again, so that a definition installed
//! later needs no restart. What the API server last told stays in force while it is away.
//!
//! Objects are turned into our types as they come: nothing else of them is kept.

mod connect;
mod pauses;
mod resource;
mod secrets;
mod tidings;
mod watch;

use tokio::runtime::Handle;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::task::JoinHandle;

pub use connect::{ClusterAccess, ConnectError};

use super::SourceEvent;
use super::kinds::Kind;
use super::parse::MESH_NAMESPACE;
use crate::object::mesh::CONFIG_MAP_NAME;
use resource::{WATCHED, resource_of};
use secrets::Secrets;
use watch::{News, Scope};

/// News that wait for the collector; watches wait when it is full.
const NEWS_MAX: usize = 1024;

/// A running Kubernetes source. Dropping it stops every watch.
#[derive(Debug)]
pub struct KubeSource {
    tasks: Vec<JoinHandle<()>>,
}

impl KubeSource {
    /// Starts to watch. `namespaces` limits it to some; empty = all. Secrets are read from
    /// `pod_namespace`. `sink` is called from one task at a time; [`SourceEvent::Synced`] comes once, when every resource has been listed or
    /// is known not to be had.
    ///
    /// # Errors
    /// There is no usable description of the cluster, or its credentials cannot be read.
    pub async fn start<S>(
        access: &ClusterAccess,
        namespaces: &[String],
        pod_namespace: &str,
        threads: &Handle,
        sink: S,
    ) -> Result<Self, ConnectError>
    where
        S: FnMut(Vec<SourceEvent>) + Send + 'static,
    {
        let client = {
            // The client's own tasks belong to these threads too.
            let _entered = threads.enter();
            connect::connect(access).await?
        };
        let scopes = scopes(namespaces);
        let (news, told) = channel(NEWS_MAX);
        let secrets = Secrets::new(client.clone(), pod_namespace.to_owned(), news.downgrade());
        let mut tasks = vec![threads.spawn(collect(told, scopes.len(), Some(secrets), sink))];
        for scope in scopes {
            tasks.push(threads.spawn(watch::run(client.clone(), scope, news.clone())));
        }
        Ok(Self { tasks })
    }
}

impl Drop for KubeSource {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// What is watched; of ConfigMaps only the one that holds MeshConfig, wherever else one looks.
fn scopes(namespaces: &[String]) -> Vec<Scope> {
    let mut scopes = Vec::new();
    for kind in WATCHED {
        let resource = resource_of(*kind);
        let scope = |namespace| Scope { resource, namespace, name: None };
        if namespaces.is_empty() || !resource.is_namespaced {
            scopes.push(scope(None));
        } else {
            scopes.extend(namespaces.iter().map(|namespace| scope(Some(namespace.clone()))));
        }
    }
    scopes.push(Scope {
        resource: resource_of(Kind::ConfigMap),
        namespace: Some(MESH_NAMESPACE.to_owned()),
        name: Some(CONFIG_MAP_NAME.to_owned()),
    });
    scopes
}

/// Hands on what the watches tell, and says when each of them has told its first listing.
async fn collect(
    mut news: Receiver<News>,
    watches: usize,
    mut secrets: Option<Secrets>,
    mut sink: impl FnMut(Vec<SourceEvent>) + Send,
) {
    let (mut unsettled, mut is_synced, mut batch) = (watches, false, Vec::new());
    while news.recv_many(&mut batch, NEWS_MAX).await > 0 {
        let mut events = Vec::new();
        for one in batch.drain(..) {
            match one {
                News::Events(told) => events.extend(told),
                News::Settled => unsettled -= 1,
            }
        }
        if let Some(secrets) = &mut secrets {
            unsettled += secrets.follow(is_synced, &mut events);
        }
        if unsettled == 0 && !is_synced {
            is_synced = true;
            events.push(SourceEvent::Synced);
        }
        if !events.is_empty() {
            sink(events);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_limit_what_has_namespaces() {
        let all = scopes(&[]);
        let is_mesh = |scope: &&Scope| scope.resource.kind == Kind::ConfigMap;
        assert_eq!(all.iter().filter(is_mesh).count(), 1);
        assert!(all.iter().all(|scope| is_mesh(&scope) || scope.namespace.is_none()));
        let some = scopes(&["a".to_owned(), "b".to_owned()]);
        let named = all.iter().filter(|scope| scope.resource.is_namespaced && !is_mesh(scope));
        assert_eq!(some.len(), all.len() + named.count());
    }

    #[tokio::test]
    async fn it_is_synced_when_every_watch_is_settled_and_says_so_once() {
        let (news, told) = channel(8);
        let (sink, mut seen) = tokio::sync::mpsc::unbounded_channel();
        let collector =
            tokio::spawn(collect(told, 2, None, move |events| sink.send(events).unwrap()));
        news.send(News::Settled).await.unwrap();
        let removed = SourceEvent::Removed { origin: "a".to_owned() };
        news.send(News::Events(vec![removed.clone()])).await.unwrap();
        assert_eq!(seen.recv().await.unwrap(), std::slice::from_ref(&removed));
        news.send(News::Settled).await.unwrap();
        assert_eq!(seen.recv().await.unwrap(), [SourceEvent::Synced]);
        news.send(News::Events(vec![removed.clone()])).await.unwrap();
        assert_eq!(seen.recv().await.unwrap(), [removed]);
        drop(news);
        collector.await.unwrap();
        assert!(seen.recv().await.is_none());
    }
}
