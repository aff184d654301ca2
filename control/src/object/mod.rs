//! Typed input: the Istio and Kubernetes objects that control reads, with the fields it uses.
//!
//! Field names are accepted in lowerCamelCase and snake_case (Istio contract 0). Whatever is not
//! named here is unknown to Fairway and reported as such by the source.

pub mod destination_rule;
pub mod endpoints;
pub mod gateway;
pub mod mesh;
pub mod meta;
pub mod node;
pub mod pod;
pub mod secret;
pub mod service;
pub mod service_entry;
pub mod tcp_route;
pub mod traffic_policy;
pub mod virtual_service;
pub mod workload_entry;

use std::collections::BTreeMap;
use std::sync::Arc;

use fairway_shared::diagnostic::{ObjectRef, Place};
use fairway_shared::id::SecretName;
use fairway_shared::snapshot::tls;

use destination_rule::DestinationRule;
use endpoints::{EndpointSlice, Endpoints};
use gateway::Gateway;
use mesh::MeshConfig;
use meta::Meta;
use node::Node;
use pod::Pod;
use secret::Secret;
use service::Service;
use service_entry::ServiceEntry;
use virtual_service::VirtualService;
use workload_entry::WorkloadEntry;

/// One object with its metadata and where it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// `metadata`.
    pub meta: Meta,
    /// File and line, if from a file.
    pub place: Option<Place>,
    /// What it is.
    pub spec: Spec,
}

/// The kinds that control reads.
#[derive(Debug, Clone, PartialEq)]
pub enum Spec {
    /// `networking.istio.io` Gateway.
    Gateway(Gateway),
    /// `networking.istio.io` VirtualService.
    VirtualService(VirtualService),
    /// `networking.istio.io` DestinationRule.
    DestinationRule(DestinationRule),
    /// Core Service.
    Service(Service),
    /// Core Endpoints.
    Endpoints(Endpoints),
    /// `discovery.k8s.io` EndpointSlice.
    EndpointSlice(EndpointSlice),
    /// Core Pod.
    Pod(Pod),
    /// Core Secret.
    Secret(Secret),
    /// MeshConfig from a file of its own.
    MeshConfig(MeshConfig),
    /// Core ConfigMap that holds MeshConfig.
    ConfigMap(MeshConfig),
    /// Core Node.
    Node(Node),
    /// `networking.istio.io` ServiceEntry.
    ServiceEntry(ServiceEntry),
    /// `networking.istio.io` WorkloadEntry.
    WorkloadEntry(WorkloadEntry),
}

impl Spec {
    /// The `kind` field.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Gateway(_) => "Gateway",
            Self::VirtualService(_) => "VirtualService",
            Self::DestinationRule(_) => "DestinationRule",
            Self::Service(_) => "Service",
            Self::Endpoints(_) => "Endpoints",
            Self::EndpointSlice(_) => "EndpointSlice",
            Self::Pod(_) => "Pod",
            Self::Secret(_) => "Secret",
            Self::MeshConfig(_) => "MeshConfig",
            Self::ConfigMap(_) => "ConfigMap",
            Self::Node(_) => "Node",
            Self::ServiceEntry(_) => "ServiceEntry",
            Self::WorkloadEntry(_) => "WorkloadEntry",
        }
    }
}

impl Object {
    /// Kind, namespace and name.
    pub fn reference(&self) -> ObjectRef {
        ObjectRef {
            kind: self.spec.kind().to_owned(),
            namespace: self.meta.namespace.clone(),
            name: self.meta.name.clone(),
        }
    }
}

/// The gateway pod that a snapshot is compiled for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GatewayPod {
    /// What `Gateway.spec.selector` is matched against.
    pub labels: BTreeMap<String, String>,
    /// Where `exportTo` is judged from.
    pub namespace: String,
    /// Cluster domain, `cluster.local`.
    pub domain: String,
    /// Node it runs on; empty if unknown. `internalTrafficPolicy: Local` is judged by it.
    pub node: String,
    /// `region/zone/subzone` as given; empty = as the labels of the pod or its Node say.
    pub locality: String,
    /// Gateways of other namespaces are not for it (Istio contract 1.1).
    pub takes_own_namespace_only: bool,
}

/// All objects at one moment, and whom to compile for. The only input of `compile`.
///
/// Objects are in order of kind, namespace and name; no two share all three.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ConfigSet {
    /// Whom to compile for.
    pub pod: GatewayPod,
    /// Everything read.
    pub objects: Vec<Arc<Object>>,
    /// For servers whose Secret is not there any more.
    pub deleted: DeletedSecrets,
}

/// What becomes of a server whose Secret is deleted.
#[derive(Debug, Clone, PartialEq)]
pub enum DeletedSecrets {
    /// It serves on with what the Secret held last: what the snapshot before this one has.
    Serve(BTreeMap<SecretName, Arc<tls::Secret>>),
    /// Its handshakes fail.
    Fail,
}

impl Default for DeletedSecrets {
    fn default() -> Self {
        Self::Serve(BTreeMap::new())
    }
}
