//! Whom requests went to, in the labels of Istio's standard metrics (Istio contract 6.3), and
//! whom they came from: the gateway itself.

use std::collections::BTreeMap;

use fairway_shared::id::ClusterId;
use fairway_shared::ipc::message::NodeIdentity;

use super::labels::Labels;
use super::requests::Outcome;
use crate::http::flag::Flags;

/// What is not known.
const UNKNOWN: &str = "unknown";
/// The only cluster there is: names of clusters matter in meshes of several.
const CLUSTER: &str = "Kubernetes";
/// Revision of a workload that names none.
const LATEST: &str = "latest";

/// Labels that name a destination, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination(Vec<(&'static str, String)>);

/// The first of these labels that is set.
fn first(labels: &BTreeMap<String, String>, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| labels.get(*name).filter(|value| !value.is_empty()).cloned())
}

/// A workload, by the labels of its pods.
struct Workload {
    name: Option<String>,
    app: Option<String>,
    version: Option<String>,
    service: Option<String>,
    revision: Option<String>,
}

impl Workload {
    fn of(labels: &BTreeMap<String, String>) -> Self {
        let name = first(labels, &["service.istio.io/workload-name"]);
        let service = ["service.istio.io/canonical-name", "app.kubernetes.io/name", "app"];
        let revision =
            ["service.istio.io/canonical-revision", "app.kubernetes.io/version", "version"];
        Self {
            app: first(labels, &["app"]),
            version: first(labels, &["version"]),
            service: first(labels, &service).or_else(|| name.clone()),
            revision: first(labels, &revision),
            name,
        }
    }
}

impl Destination {
    /// Of requests that reach no cluster.
    pub fn unknown() -> Self {
        Self::new(UNKNOWN, UNKNOWN, UNKNOWN, None)
    }

    /// Of a cluster, and of the endpoint with these labels if one was reached.
    pub fn of(cluster: &ClusterId, endpoint: Option<&BTreeMap<String, String>>) -> Self {
        let host = cluster.service.host.as_str();
        let mut names = host.split('.');
        let service = names.next().unwrap_or(UNKNOWN);
        // Only names below a namespace tell one.
        let namespace = names.next().filter(|_| names.next() == Some("svc"));
        match namespace {
            Some(namespace) => Self::new(host, service, namespace, endpoint),
            None => Self::new(host, host, UNKNOWN, endpoint),
        }
    }

    fn new(
        host: &str,
        service: &str,
        namespace: &str,
        endpoint: Option<&BTreeMap<String, String>>,
    ) -> Self {
        let workload = endpoint.map(Workload::of);
        let known = |field: fn(&Workload) -> &Option<String>, or: &str| {
            let value = workload.as_ref().and_then(|workload| field(workload).clone());
            value.unwrap_or_else(|| or.to_owned())
        };
        let where_known = |value: &str| if workload.is_some() { value } else { UNKNOWN }.to_owned();
        Self(vec![
            ("destination_workload", known(|w| &w.name, UNKNOWN)),
            ("destination_workload_namespace", where_known(namespace)),
            ("destination_principal", UNKNOWN.to_owned()),
            ("destination_app", known(|w| &w.app, UNKNOWN)),
            ("destination_version", known(|w| &w.version, UNKNOWN)),
            ("destination_service", host.to_owned()),
            ("destination_service_name", service.to_owned()),
            ("destination_service_namespace", namespace.to_owned()),
            ("destination_canonical_service", known(|w| &w.service, UNKNOWN)),
            ("destination_canonical_revision", known(|w| &w.revision, &where_known(LATEST))),
            ("destination_cluster", where_known(CLUSTER)),
        ])
    }

    /// Labels of requests with that outcome, but for the source's.
    pub fn request(&self, outcome: Option<Outcome>) -> Labels {
        let (protocol, code, flags, grpc_status) = Outcome::words(outcome);
        let mut labels = self.labels(protocol);
        labels.push(("response_code".to_owned(), code));
        labels.push(("response_flags".to_owned(), flags));
        if let Some(status) = grpc_status {
            labels.push(("grpc_response_status".to_owned(), status));
        }
        labels
    }

    /// Labels of connections that ended so, but for the source's.
    pub fn connection(&self, flags: Flags) -> Labels {
        let mut labels = self.labels("tcp");
        labels.push(("response_flags".to_owned(), flags.to_string()));
        labels
    }

    fn labels(&self, protocol: &str) -> Labels {
        let pairs = self.0.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        let rest = [("request_protocol", protocol), ("connection_security_policy", UNKNOWN)];
        let rest = rest.map(|(name, value)| (name.to_owned(), value.to_owned()));
        pairs.chain(rest).collect()
    }
}

/// Labels that name the gateway itself.
pub fn source(node: &NodeIdentity) -> Labels {
    let workload = Workload::of(&node.labels);
    let app = workload.app.unwrap_or_else(|| "istio-ingressgateway".to_owned());
    let unknown = || UNKNOWN.to_owned();
    let pairs = [
        ("reporter", "source".to_owned()),
        ("source_workload", workload.name.unwrap_or_else(|| app.clone())),
        ("source_canonical_service", workload.service.unwrap_or_else(|| app.clone())),
        ("source_canonical_revision", workload.revision.unwrap_or_else(|| LATEST.to_owned())),
        ("source_workload_namespace", node.namespace.clone()),
        ("source_principal", unknown()),
        ("source_app", app),
        ("source_version", workload.version.unwrap_or_else(unknown)),
        ("source_cluster", CLUSTER.to_owned()),
    ];
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use fairway_shared::id::ServicePort;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[track_caller]
    fn check(host: &str, endpoint: Option<&[(&str, &str)]>, expected: &[(&str, &str)]) {
        let service = ServicePort { host: host.into(), port: 80 };
        let endpoint = endpoint.map(labels);
        let cluster = ClusterId { service, subset: String::new() };
        let found = Destination::of(&cluster, endpoint.as_ref()).labels("http");
        for (name, value) in expected {
            let name = format!("destination_{name}");
            let pair = found.iter().find(|(known, _)| *known == name);
            assert_eq!(pair.map(|(_, value)| value.as_str()), Some(*value), "{name} of {host}");
        }
        assert_eq!(found.len(), 13);
    }

    #[test]
    fn a_destination_is_named_by_its_service_and_the_labels_of_its_pods() {
        let pods: &[(&str, &str)] = &[("app", "user"), ("version", "v1")];
        let in_mesh = "user.dk-shop.svc.cluster.local";
        check(
            in_mesh,
            Some(pods),
            &[
                ("workload", "unknown"),
                ("workload_namespace", "dk-shop"),
                ("app", "user"),
                ("version", "v1"),
                ("service", in_mesh),
                ("service_name", "user"),
                ("service_namespace", "dk-shop"),
                ("canonical_service", "user"),
                ("canonical_revision", "v1"),
                ("cluster", "Kubernetes"),
            ],
        );
        check(
            in_mesh,
            Some(&[("service.istio.io/workload-name", "user-v1")]),
            &[
                ("workload", "user-v1"),
                ("canonical_service", "user-v1"),
                ("canonical_revision", "latest"),
            ],
        );
        check(
            in_mesh,
            None,
            &[("workload_namespace", "unknown"), ("canonical_revision", "unknown")],
        );
        check("api.example.com", None, &[("service_name", "api.example.com")]);
        check("api.example.com", None, &[("service_namespace", "unknown")]);
    }

    #[test]
    fn the_source_is_the_gateway() {
        let node = NodeIdentity {
            namespace: "istio-system".into(),
            labels: labels(&[("app", "gw"), ("version", "1")]),
            ..NodeIdentity::default()
        };
        let found = source(&node);
        for (name, value) in [
            ("reporter", "source"),
            ("source_workload", "gw"),
            ("source_workload_namespace", "istio-system"),
            ("source_version", "1"),
            ("source_canonical_revision", "1"),
        ] {
            assert!(found.contains(&(name.into(), value.into())), "{name} {value}");
        }
    }
}
