//! Which Secrets are watched: those of the gateway pod's namespace that some Gateway or
//! DestinationRule names, one watch each. Control neither needs nor wants to see any other.

use std::collections::{BTreeMap, BTreeSet};

use kube::Client;
use tokio::sync::mpsc::WeakSender;
use tokio::task::{AbortHandle, JoinSet};

use super::resource::resource_of;
use super::watch::{self, News, Scope};
use crate::object::Spec;
use crate::object::destination_rule::DestinationRule;
use crate::object::gateway::Gateway;
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

/// The Secrets that may hold what the Gateways and DestinationRules of a view ask for.
fn names(view: &SourceView) -> BTreeSet<String> {
    let credentials = view.objects.iter().flat_map(|object| match &object.spec {
        Spec::Gateway(gateway) => of_gateway(gateway),
        Spec::DestinationRule(rule) => of_rule(rule),
        _ => Vec::new(),
    });
    // What is written like an address names nothing of Kubernetes.
    let named = credentials.filter(|name| !name.is_empty() && !name.contains('/'));
    named.flat_map(|name| [name.to_owned(), format!("{name}{AUTHORITIES_SUFFIX}")]).collect()
}

fn of_gateway(gateway: &Gateway) -> Vec<&str> {
    let settings = gateway.servers.iter().filter_map(|server| server.tls.as_ref());
    let named = settings.flat_map(|tls| {
        let single = [&tls.credential_name, &tls.ca_cert_credential_name];
        tls.credential_names.iter().chain(single)
    });
    named.map(String::as_str).collect()
}

fn of_rule(rule: &DestinationRule) -> Vec<&str> {
    let of_subsets = rule.subsets.iter().filter_map(|subset| subset.traffic_policy.as_ref());
    let policies = rule.traffic_policy.iter().chain(of_subsets);
    let settings = policies.flat_map(|policy| {
        let of_ports = policy.port_level_settings.iter().filter_map(|port| port.tls.as_ref());
        policy.tls.iter().chain(of_ports)
    });
    settings.map(|tls| tls.credential_name.as_str()).collect()
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

    #[test]
    fn every_policy_of_a_rule_may_name_a_secret() {
        let tls = |name: &str| serde_json::json!({"mode": "SIMPLE", "credentialName": name});
        let policy = |name: &str, of_port: &str| {
            serde_json::json!({
                "tls": tls(name),
                "portLevelSettings": [{"port": {"number": 80}, "tls": tls(of_port)}],
            })
        };
        let value = serde_json::json!({
            "metadata": {"name": "rule", "namespace": "shop"},
            "spec": {
                "host": "user",
                "trafficPolicy": policy("a", "configmap://shop/ca"),
                "subsets": [{"name": "v1", "trafficPolicy": policy("b", "c")}],
            },
        });
        let parsed = parse_value(Kind::DestinationRule, "DestinationRule", value);
        let (objects, diagnostics) = settle(parsed, &[]);
        let view = SourceView { origin: "a".to_owned(), objects, diagnostics };
        let expected = ["a", "a-cacert", "b", "b-cacert", "c", "c-cacert"];
        assert!(names(&view).iter().eq(expected), "{:?}", names(&view));
    }
}
