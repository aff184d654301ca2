//! Which Secrets are watched: those of the gateway pod's namespace that some Gateway names, one
//! watch each. Control neither needs nor wants to see any other.

use std::collections::{BTreeMap, BTreeSet};

use kube::Client;
use tokio::sync::mpsc::WeakSender;
use tokio::task::{AbortHandle, JoinSet};

use super::resource::resource_of;
use super::watch::{self, News, Scope};
use crate::object::Spec;
use crate::object::secret::AUTHORITIES_SUFFIX;
use crate::source::kinds::Kind;
use crate::source::{SourceEvent, SourceView};

/// See the module. Ends its watches with itself.
pub(super) struct Secrets {
    client: Client,
    namespace: String,
    news: WeakSender<News>,
    named: Named,
    tasks: JoinSet<()>,
    watches: BTreeMap<String, AbortHandle>,
}

/// Names of Secrets by the objects that name them.
#[derive(Debug, Default)]
struct Named(BTreeMap<String, BTreeSet<String>>);

impl Secrets {
    /// None is watched yet. The sender must not keep the collector alive, which owns this.
    pub(super) fn new(client: Client, namespace: String, news: WeakSender<News>) -> Self {
        let (named, tasks, watches) = Default::default();
        Self { client, namespace, news, named, tasks, watches }
    }

    /// Follows what objects name: returns how many watches were started, and adds what those that
    /// ended leave to be said. None is ended before all have been told of once: whoever counts
    /// those waits for each. Must run inside a runtime.
    pub(super) fn follow(&mut self, is_synced: bool, events: &mut Vec<SourceEvent>) -> usize {
        let mut has_changed = false;
        for event in &*events {
            has_changed |= self.named.take_in(event);
        }
        let Some(news) = self.news.upgrade().filter(|_| has_changed) else { return 0 };
        let wanted = self.named.all();
        let is_gone = |name: &&String| is_synced && !wanted.contains(*name);
        let gone: Vec<String> = self.watches.keys().filter(is_gone).cloned().collect();
        for name in gone {
            self.watches.remove(&name).inspect(AbortHandle::abort);
            let origin = format!("Secret/{}/{name}", self.namespace);
            events.push(SourceEvent::Removed { origin });
        }
        let mut started = 0;
        for name in wanted {
            self.watches.entry(name.clone()).or_insert_with(|| {
                let (namespace, resource) = (self.namespace.clone(), resource_of(Kind::Secret));
                let scope = Scope { resource, namespace: Some(namespace), name: Some(name) };
                started += 1;
                self.tasks.spawn(watch::run(self.client.clone(), scope, news.clone()))
            });
        }
        started
    }
}

impl Named {
    /// Whether the names may differ now.
    fn take_in(&mut self, event: &SourceEvent) -> bool {
        match event {
            SourceEvent::Updated(view) => {
                let names = names(view);
                let was = match names.is_empty() {
                    true => self.0.remove(&view.origin).unwrap_or_default(),
                    false => self.0.insert(view.origin.clone(), names.clone()).unwrap_or_default(),
                };
                was != names
            }
            SourceEvent::Removed { origin } => self.0.remove(origin).is_some(),
            SourceEvent::Synced => false,
        }
    }

    fn all(&self) -> BTreeSet<String> {
        self.0.values().flatten().cloned().collect()
    }
}

/// The Secrets that may hold what the Gateways of a view ask for.
fn names(view: &SourceView) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for object in &view.objects {
        let Spec::Gateway(gateway) = &object.spec else { continue };
        for tls in gateway.servers.iter().filter_map(|server| server.tls.as_ref()) {
            let named = tls.credential_names.iter().chain([&tls.credential_name]);
            for name in named.filter(|name| !name.is_empty()) {
                names.insert(name.clone());
                names.insert(format!("{name}{AUTHORITIES_SUFFIX}"));
            }
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::last_good::settle;
    use crate::source::parse::parse_value;

    fn gateway(origin: &str, credentials: &[&str]) -> SourceEvent {
        let server = |name: &&str| serde_json::json!({"tls": {"credentialName": name}});
        let servers: Vec<_> = credentials.iter().map(server).collect();
        let value = serde_json::json!({
            "metadata": {"name": "gw", "namespace": "shop"},
            "spec": {"servers": servers},
        });
        let (objects, diagnostics) = settle(parse_value(Kind::Gateway, "Gateway", value), &[]);
        SourceEvent::Updated(SourceView { origin: origin.to_owned(), objects, diagnostics })
    }

    #[test]
    fn a_secret_is_wanted_for_as_long_as_some_gateway_names_it() {
        let mut named = Named::default();
        let removed = |origin: &str| SourceEvent::Removed { origin: origin.to_owned() };
        for (event, has_changed, expected) in [
            (gateway("a", &["x", ""]), true, &["x", "x-cacert"][..]),
            (gateway("a", &["x"]), false, &["x", "x-cacert"]),
            (gateway("b", &["x", "y"]), true, &["x", "x-cacert", "y", "y-cacert"]),
            (removed("c"), false, &["x", "x-cacert", "y", "y-cacert"]),
            (gateway("a", &[]), true, &["x", "x-cacert", "y", "y-cacert"]),
            (removed("b"), true, &[]),
            (SourceEvent::Synced, false, &[]),
        ] {
            assert_eq!(named.take_in(&event), has_changed, "{event:?}");
            assert!(named.all().iter().eq(expected), "{event:?}: {:?}", named.all());
        }
    }
}
