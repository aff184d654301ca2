//! What the lists hold. Pure: a view and a filter in, a message out.

use std::sync::LazyLock;

use fairway_proto::{to_wire, wire};
use fairway_shared::snapshot::Snapshot;
use fairway_shared::snapshot::cluster::{Cluster, Endpoint};
use fairway_shared::snapshot::listener::Listener;

use crate::publish::version::Version;
use crate::publish::view::{SubscriberStatus, View};

/// The current snapshot; an empty one of version 0 before the first.
fn current(view: &View) -> &Snapshot {
    static NONE_YET: LazyLock<Snapshot> = LazyLock::new(Snapshot::default);
    view.current().map_or_else(|| &*NONE_YET, |version| &version.snapshot)
}

fn is_wanted(filter: &str, names: &[&str]) -> bool {
    names.iter().any(|name| name.contains(filter))
}

/// Routes in the order in which they are tried.
pub(crate) fn routes(view: &View, filter: &str) -> wire::ListRoutesResponse {
    let snapshot = current(view);
    let mut routes = Vec::new();
    for (table, content) in &snapshot.route_tables {
        let listeners = snapshot
            .listeners
            .iter()
            .filter(|(_, listener)| listener.route_tables().any(|one| one == table));
        let listeners: Vec<_> = listeners.map(|(id, _)| id.0.clone()).collect();
        for host in &content.virtual_hosts {
            for (index, route) in (0..).zip(&host.routes) {
                if is_wanted(filter, &[&table.0, &host.domain, &route.name, &route.origin]) {
                    routes.push(wire::RouteEntry {
                        route_table: table.0.clone(),
                        listeners: listeners.clone(),
                        virtual_host: host.domain.clone(),
                        index,
                        route: Some(to_wire::route(route)),
                    });
                }
            }
        }
    }
    wire::ListRoutesResponse { version: snapshot.version.0, routes }
}

/// What is listened on.
pub(crate) fn listeners(view: &View, filter: &str) -> wire::ListListenersResponse {
    let snapshot = current(view);
    let is_listed = |id: &str, listener: &Listener| {
        let gateways = listener.gateways.iter().map(String::as_str);
        let names: Vec<&str> = [id, &listener.protocol].into_iter().chain(gateways).collect();
        is_wanted(filter, &names)
    };
    let wanted = snapshot.listeners.iter().filter(|(id, listener)| is_listed(&id.0, listener));
    wire::ListListenersResponse {
        version: snapshot.version.0,
        listeners: wanted.map(|(id, listener)| to_wire::listener(id, listener)).collect(),
    }
}

/// Secrets in use, without their private keys.
pub(crate) fn secrets(view: &View, filter: &str) -> wire::ListSecretsResponse {
    let snapshot = current(view);
    let wanted = snapshot.secrets.iter().filter(|(name, _)| is_wanted(filter, &[&name.0]));
    wire::ListSecretsResponse {
        version: snapshot.version.0,
        secrets: wanted.map(|(name, secret)| to_wire::public_secret(name, secret)).collect(),
    }
}

/// Clusters with the number of their endpoints.
pub(crate) fn clusters(view: &View, filter: &str) -> wire::ListClustersResponse {
    let snapshot = current(view);
    let mut clusters = Vec::new();
    for (id, cluster) in &snapshot.clusters {
        let name = id.to_string();
        if is_wanted(filter, &[&name]) {
            let all = snapshot.endpoints.get(&id.service).map(|set| &set.endpoints[..]);
            let selected = all.unwrap_or_default().iter().filter(|one| selects(cluster, one));
            clusters.push(wire::ClusterEntry {
                name,
                cluster: Some(to_wire::cluster(id, cluster)),
                endpoints: clamp(selected.count()),
            });
        }
    }
    wire::ListClustersResponse { version: snapshot.version.0, clusters }
}

/// Endpoints of every cluster.
pub(crate) fn endpoints(view: &View, filter: &str) -> wire::ListEndpointsResponse {
    let snapshot = current(view);
    let mut endpoints = Vec::new();
    for (id, cluster) in &snapshot.clusters {
        let name = id.to_string();
        let all = snapshot.endpoints.get(&id.service).map(|set| &set.endpoints[..]);
        for endpoint in all.unwrap_or_default() {
            let is_listed = selects(cluster, endpoint)
                && is_wanted(filter, &[&name, &endpoint.address.to_string()]);
            if is_listed {
                let endpoint = Some(to_wire::endpoint(endpoint));
                endpoints.push(wire::EndpointEntry { cluster: name.clone(), endpoint });
            }
        }
    }
    wire::ListEndpointsResponse { version: snapshot.version.0, endpoints }
}

fn selects(cluster: &Cluster, endpoint: &Endpoint) -> bool {
    cluster.labels.iter().all(|(name, value)| endpoint.labels.get(name) == Some(value))
}

/// Connected workers.
pub(crate) fn dataplanes(view: &View, filter: &str) -> wire::ListDataplanesResponse {
    let wanted =
        view.subscribers.iter().filter(|one| is_wanted(filter, &[&one.subscriber.node.id]));
    wire::ListDataplanesResponse {
        version: view.current_number().0,
        dataplanes: wanted.map(|status| dataplane(view, status)).collect(),
    }
}

fn dataplane(view: &View, status: &SubscriberStatus) -> wire::Dataplane {
    let (who, session) = (&status.subscriber, &status.session);
    let nacked = session.nacked();
    wire::Dataplane {
        node: Some(to_wire::node(&who.node)),
        slot: who.slot.0.into(),
        carrier: who.carrier.name().to_owned(),
        version_sent: session.sent().0,
        version_acked: session.acked().0,
        version_nacked: nacked.map_or(0, |nacked| nacked.version.0),
        nack_reason: nacked.map(|nacked| nacked.reason.clone()).unwrap_or_default(),
        in_sync: view.is_in_sync(status),
        connected_at_unix_ms: status.connected_at_unix_ms,
        changed_at_unix_ms: status.changed_at_unix_ms,
    }
}

/// Findings in the user's objects.
pub(crate) fn diagnostics(view: &View, filter: &str) -> wire::ListDiagnosticsResponse {
    let wanted = view.diagnostics.iter().filter(|finding| {
        let file = finding.place.as_ref().map_or("", |place| &place.file);
        is_wanted(filter, &[finding.code, &finding.object.to_string(), file])
    });
    wire::ListDiagnosticsResponse { diagnostics: wanted.map(to_wire::diagnostic).collect() }
}

/// The versions held.
pub(crate) fn snapshots(view: &View, filter: &str) -> wire::ListSnapshotsResponse {
    let wanted =
        view.versions.iter().filter(|version| version.number().to_string().contains(filter));
    let is_current = |version: &Version| version.number() == view.current_number();
    let summary = |version: &Version| wire::SnapshotSummary {
        version: version.number().0,
        current: is_current(version),
        pinned: view.pinned == Some(version.number()),
        published_at_unix_ms: version.published_at_unix_ms,
        compile_ms: version.compile_ms,
        listeners: clamp(version.counts.listeners),
        routes: clamp(version.counts.routes),
        clusters: clamp(version.counts.clusters),
        endpoints: clamp(version.counts.endpoints),
    };
    wire::ListSnapshotsResponse { snapshots: wanted.map(|version| summary(version)).collect() }
}

fn clamp(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::history::History;
    use crate::publish::testing::snapshot_with;

    fn view_of(hosts: &[&str]) -> View {
        let mut history = History::default();
        history.advance(snapshot_with(hosts), 7, 1);
        View { versions: history.newest_first().cloned().collect(), ..View::default() }
    }

    #[test]
    fn every_list_is_empty_before_the_first_snapshot() {
        let view = View::default();
        assert_eq!(routes(&view, ""), wire::ListRoutesResponse::default());
        assert_eq!(clusters(&view, ""), wire::ListClustersResponse::default());
        assert_eq!(endpoints(&view, ""), wire::ListEndpointsResponse::default());
        assert_eq!(snapshots(&view, ""), wire::ListSnapshotsResponse::default());
        assert_eq!(dataplanes(&view, ""), wire::ListDataplanesResponse::default());
    }

    #[test]
    fn a_filter_keeps_what_contains_it() {
        let view = view_of(&["cart", "user"]);
        let hosts = |filter| -> Vec<String> {
            routes(&view, filter).routes.into_iter().map(|entry| entry.virtual_host).collect()
        };
        assert_eq!(hosts(""), ["cart", "user"]);
        assert_eq!(hosts("to-us"), ["user"]);
        assert_eq!(hosts("nothing"), Vec::<String>::new());
        let names: Vec<_> = clusters(&view, "user").clusters;
        assert_eq!(names.len(), 1);
        assert_eq!((names[0].name.as_str(), names[0].endpoints), ("outbound|80||user", 1));
        assert_eq!(endpoints(&view, "10.0.0.1").endpoints.len(), 2);
        assert_eq!(endpoints(&view, "cart").endpoints.len(), 1);
    }

    #[test]
    fn a_route_names_the_listeners_that_reach_it() {
        let entry = routes(&view_of(&["cart"]), "").routes.remove(0);
        assert_eq!(entry.listeners, ["0.0.0.0_80"]);
        assert_eq!(entry.index, 0);
    }

    #[test]
    fn a_subset_has_only_the_endpoints_that_carry_its_labels() {
        let mut snapshot = snapshot_with(&["user"]);
        let (id, all) = snapshot.clusters.pop_first().unwrap();
        for subset in ["v1", "v2"] {
            let mut cluster = (*all).clone();
            cluster.labels.insert("version".into(), subset.into());
            let mut id = id.clone();
            id.subset = subset.into();
            snapshot.clusters.insert(id, cluster.into());
        }
        let mut history = History::default();
        history.advance(snapshot, 0, 0);
        let view = View { versions: history.newest_first().cloned().collect(), ..View::default() };
        let counts: Vec<_> =
            clusters(&view, "").clusters.into_iter().map(|entry| entry.endpoints).collect();
        assert_eq!(counts, [1, 0]);
        assert_eq!(endpoints(&view, "").endpoints.len(), 1);
    }
}
