//! The config set sorted out: objects by kind in age order, Services and ServiceEntries by host,
//! slices by Service, pods by name and address. Built once; every later pass looks things up here.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};

use fairway_shared::id::SecretName;
use fairway_shared::snapshot::tls;

use super::backends::Backend;
use super::entries::{is_sound, is_sound_workload};
use super::findings::{DUBIOUS, FieldPath, Findings};
use super::names::{by_age, service_host};
use crate::object::destination_rule::DestinationRule;
use crate::object::endpoints::{EndpointSlice, Endpoints, SERVICE_NAME_LABEL};
use crate::object::gateway::Gateway;
use crate::object::mesh::MeshConfig;
use crate::object::pod::Pod;
use crate::object::secret::Secret;
use crate::object::service::Service;
use crate::object::service_entry::ServiceEntry;
use crate::object::virtual_service::VirtualService;
use crate::object::workload_entry::WorkloadEntry;
use crate::object::{ConfigSet, DeletedSecrets, GatewayPod, Object, Spec};

/// Namespace whose objects hold for the mesh where MeshConfig names none; also where its ConfigMap
/// is looked for.
pub(super) const ROOT_NAMESPACE: &str = "istio-system";
/// Istio's defaults.
static NO_MESH: LazyLock<MeshConfig> = LazyLock::new(MeshConfig::default);

/// An object with its spec taken out.
#[derive(Debug)]
pub(super) struct Named<'a, T> {
    /// Metadata and place.
    pub(super) object: &'a Object,
    /// What it says.
    pub(super) spec: &'a T,
}

impl<T> Clone for Named<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Named<'_, T> {}

impl<T> Named<'_, T> {
    /// `namespace/name`.
    pub(super) fn key(&self) -> String {
        format!("{}/{}", self.object.meta.namespace, self.object.meta.name)
    }
}

/// Namespace and name.
pub(super) type Key<'a> = (&'a str, &'a str);

/// The config set, sorted out.
pub(super) struct Index<'a> {
    /// Whom to compile for.
    pub(super) pod: &'a GatewayPod,
    /// In age order.
    pub(super) gateways: Vec<Named<'a, Gateway>>,
    /// In age order.
    pub(super) virtual_services: Vec<Named<'a, VirtualService>>,
    /// In age order.
    pub(super) destination_rules: Vec<Named<'a, DestinationRule>>,
    /// In age order.
    pub(super) services: Vec<Named<'a, Service>>,
    /// In age order.
    pub(super) pods: Vec<Named<'a, Pod>>,
    /// MeshConfig from a file of its own.
    pub(super) mesh_files: Vec<Named<'a, MeshConfig>>,
    /// MeshConfig in ConfigMaps, of whatever namespace.
    pub(super) mesh_maps: Vec<Named<'a, MeshConfig>>,
    /// Sound ones, in age order.
    service_entries: Vec<Named<'a, ServiceEntry>>,
    /// Of one host, the preferred first: a Service, else the oldest.
    backends: HashMap<String, Vec<Backend<'a>>>,
    nodes: HashMap<&'a str, &'a BTreeMap<String, String>>,
    workloads: HashMap<&'a str, Vec<Named<'a, WorkloadEntry>>>,
    pods_by_namespace: HashMap<&'a str, Vec<Named<'a, Pod>>>,
    slices: HashMap<Key<'a>, Vec<Named<'a, EndpointSlice>>>,
    endpoints: HashMap<Key<'a>, Named<'a, Endpoints>>,
    /// Of the gateway pod's namespace, by name.
    secrets: HashMap<&'a str, &'a Secret>,
    deleted: &'a DeletedSecrets,
    pods_by_key: HashMap<Key<'a>, Named<'a, Pod>>,
    pods_by_ip: HashMap<&'a str, Named<'a, Pod>>,
}

impl<'a> Index<'a> {
    /// Sorts a config set out. ServiceEntries and WorkloadEntries that are broken are left out.
    pub(super) fn new(config: &'a ConfigSet, findings: &mut Findings) -> Self {
        let mut objects: Vec<&'a Object> = config.objects.iter().map(AsRef::as_ref).collect();
        objects.sort_by(|a, b| by_age(a, b));
        let mut index = Self {
            pod: &config.pod,
            gateways: Vec::new(),
            virtual_services: Vec::new(),
            destination_rules: Vec::new(),
            services: Vec::new(),
            pods: Vec::new(),
            mesh_files: Vec::new(),
            mesh_maps: Vec::new(),
            service_entries: Vec::new(),
            backends: HashMap::new(),
            nodes: HashMap::new(),
            workloads: HashMap::new(),
            pods_by_namespace: HashMap::new(),
            slices: HashMap::new(),
            endpoints: HashMap::new(),
            secrets: HashMap::new(),
            deleted: &config.deleted,
            pods_by_key: HashMap::new(),
            pods_by_ip: HashMap::new(),
        };
        for object in objects {
            index.add(object, findings);
        }
        index.tell_hidden_entries(findings);
        index
    }

    fn add(&mut self, object: &'a Object, findings: &mut Findings) {
        let key = (object.meta.namespace.as_str(), object.meta.name.as_str());
        match &object.spec {
            Spec::Gateway(spec) => self.gateways.push(Named { object, spec }),
            Spec::VirtualService(spec) => self.virtual_services.push(Named { object, spec }),
            Spec::DestinationRule(spec) => self.destination_rules.push(Named { object, spec }),
            Spec::Service(spec) => {
                let host = service_host(key.1, key.0, &self.pod.domain).to_ascii_lowercase();
                self.services.push(Named { object, spec });
                let named = Named { object, spec };
                self.backends.entry(host).or_default().insert(0, Backend::Service(named));
            }
            Spec::ServiceEntry(spec) => {
                self.add_entry(Named { object, spec }, findings);
            }
            Spec::WorkloadEntry(spec) => {
                let workload = Named { object, spec };
                if is_sound_workload(workload, findings) {
                    self.workloads.entry(key.0).or_default().push(workload);
                }
            }
            Spec::Node(_) => {
                self.nodes.insert(key.1, &object.meta.labels);
            }
            Spec::Endpoints(spec) => {
                self.endpoints.insert(key, Named { object, spec });
            }
            Spec::EndpointSlice(spec) => {
                if let Some(service) = object.meta.labels.get(SERVICE_NAME_LABEL) {
                    self.slices.entry((key.0, service)).or_default().push(Named { object, spec });
                }
            }
            Spec::MeshConfig(spec) => self.mesh_files.push(Named { object, spec }),
            Spec::ConfigMap(spec) => self.mesh_maps.push(Named { object, spec }),
            Spec::Secret(spec) => {
                if key.0 == self.pod.namespace {
                    self.secrets.insert(key.1, spec);
                }
            }
            Spec::Pod(spec) => {
                self.pods.push(Named { object, spec });
                self.pods_by_key.insert(key, Named { object, spec });
                self.pods_by_namespace.entry(key.0).or_default().push(Named { object, spec });
                if !spec.status.pod_ip.is_empty() {
                    self.pods_by_ip.entry(&spec.status.pod_ip).or_insert(Named { object, spec });
                }
            }
        }
    }

    /// MeshConfig in force: that of a file of its own, else that of the root namespace's
    /// ConfigMap, else Istio's defaults.
    pub(super) fn mesh(&self) -> &'a MeshConfig {
        self.mesh_in_force().map_or(&NO_MESH, |mesh| mesh.spec)
    }

    /// MeshConfig in force as the object it was read from.
    pub(super) fn mesh_in_force(&self) -> Option<Named<'a, MeshConfig>> {
        let is_root = |map: &&Named<'_, MeshConfig>| map.object.meta.namespace == ROOT_NAMESPACE;
        self.mesh_files.first().or_else(|| self.mesh_maps.iter().find(is_root)).copied()
    }

    /// Namespace whose objects hold for the mesh.
    pub(super) fn root_namespace(&self) -> &'a str {
        match self.mesh().root_namespace.as_str() {
            "" => ROOT_NAMESPACE,
            named => named,
        }
    }

    fn add_entry(&mut self, entry: Named<'a, ServiceEntry>, findings: &mut Findings) {
        if !is_sound(entry, findings) {
            return;
        }
        self.service_entries.push(entry);
        for host in entry.spec.hosts.iter().map(|host| canonical(host)) {
            self.backends.entry(host).or_default().push(Backend::Entry(entry));
        }
    }

    /// Tells of ServiceEntries whose host is that of a Service.
    fn tell_hidden_entries(&self, findings: &mut Findings) {
        for entry in &self.service_entries {
            for host in entry.spec.hosts.iter().map(|host| canonical(host)) {
                let first = self.backends.get(&host).and_then(|backends| backends.first());
                let Some(Backend::Service(service)) = first else { continue };
                let mut scope = findings.scope(entry.object, FieldPath::Spec);
                let what =
                    format_args!("`{host}` is Service `{}`, which is preferred", service.key());
                scope.warn(DUBIOUS, "hosts", what, "name another host, or remove the entry");
            }
        }
    }

    /// What a full host name stands for: the preferred one of those that the gateway pod may see.
    pub(super) fn backend(&self, host: &str) -> Option<Backend<'a>> {
        let backends = self.backends.get(host)?;
        let default = &self.mesh().default_service_export_to;
        let is_seen =
            |backend: &&Backend<'a>| backend.visibility(default).includes(&self.pod.namespace);
        backends.iter().find(is_seen).copied()
    }

    /// Labels of a Node; none for a name that is unknown.
    pub(super) fn node_labels(&self, name: &str) -> Option<&'a BTreeMap<String, String>> {
        self.nodes.get(name).copied()
    }

    /// WorkloadEntries of a namespace, in age order.
    pub(super) fn workloads(&self, namespace: &str) -> &[Named<'a, WorkloadEntry>] {
        self.workloads.get(namespace).map_or(&[], Vec::as_slice)
    }

    /// Pods of a namespace, in age order.
    pub(super) fn pods_in(&self, namespace: &str) -> &[Named<'a, Pod>] {
        self.pods_by_namespace.get(namespace).map_or(&[], Vec::as_slice)
    }

    /// The Service's EndpointSlices, in age order.
    pub(super) fn slices(&self, service: &'a Object) -> &[Named<'a, EndpointSlice>] {
        let key = (service.meta.namespace.as_str(), service.meta.name.as_str());
        self.slices.get(&key).map_or(&[], Vec::as_slice)
    }

    /// The Service's Endpoints object.
    pub(super) fn endpoints(&self, service: &'a Object) -> Option<Named<'a, Endpoints>> {
        self.endpoints.get(&(service.meta.namespace.as_str(), service.meta.name.as_str())).copied()
    }

    /// A Secret of the gateway pod's namespace; those of other namespaces are out of reach.
    pub(super) fn secret(&self, name: &str) -> Option<&'a Secret> {
        self.secrets.get(name).copied()
    }

    /// What a Secret held that is not there any more, if that is to be served on.
    pub(super) fn deleted_secret(&self, name: &SecretName) -> Option<Arc<tls::Secret>> {
        match self.deleted {
            DeletedSecrets::Serve(before) => before.get(name).map(Arc::clone),
            DeletedSecrets::Fail => None,
        }
    }

    /// A pod by name.
    pub(super) fn pod_named(&self, (namespace, name): Key<'_>) -> Option<Named<'a, Pod>> {
        self.pods_by_key.get(&(namespace, name)).copied()
    }

    /// A pod by address as written.
    pub(super) fn pod_at(&self, ip: &str) -> Option<Named<'a, Pod>> {
        self.pods_by_ip.get(ip).copied()
    }
}

/// A host of a ServiceEntry as destinations have it.
fn canonical(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

/// Is every pair of `wanted` among `labels`?
pub(crate) fn is_subset(
    wanted: &BTreeMap<String, String>,
    labels: &BTreeMap<String, String>,
) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}
