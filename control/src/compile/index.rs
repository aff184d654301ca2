//! The config set sorted out: objects by kind in age order, Services by host, slices by Service,
//! pods by name and address. Built once; every later pass looks things up here.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use super::names::{Visibility, by_age, service_host};
use crate::object::destination_rule::DestinationRule;
use crate::object::endpoints::{EndpointSlice, Endpoints, SERVICE_NAME_LABEL};
use crate::object::gateway::Gateway;
use crate::object::mesh::MeshConfig;
use crate::object::pod::Pod;
use crate::object::service::{Service, ServicePort};
use crate::object::virtual_service::VirtualService;
use crate::object::{ConfigSet, GatewayPod, Object, Spec};

/// Annotation of a Service that limits who sees it (Istio contract 4.1).
const SERVICE_EXPORT_TO: &str = "networking.istio.io/exportTo";
/// Service type without endpoints of its own.
const EXTERNAL_NAME: &str = "ExternalName";
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
    services_by_host: HashMap<String, Named<'a, Service>>,
    slices: HashMap<Key<'a>, Vec<Named<'a, EndpointSlice>>>,
    endpoints: HashMap<Key<'a>, Named<'a, Endpoints>>,
    pods_by_key: HashMap<Key<'a>, Named<'a, Pod>>,
    pods_by_ip: HashMap<&'a str, Named<'a, Pod>>,
}

impl<'a> Index<'a> {
    /// Sorts a config set out.
    pub(super) fn new(config: &'a ConfigSet) -> Self {
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
            services_by_host: HashMap::new(),
            slices: HashMap::new(),
            endpoints: HashMap::new(),
            pods_by_key: HashMap::new(),
            pods_by_ip: HashMap::new(),
        };
        for object in objects {
            index.add(object);
        }
        index
    }

    fn add(&mut self, object: &'a Object) {
        let key = (object.meta.namespace.as_str(), object.meta.name.as_str());
        match &object.spec {
            Spec::Gateway(spec) => self.gateways.push(Named { object, spec }),
            Spec::VirtualService(spec) => self.virtual_services.push(Named { object, spec }),
            Spec::DestinationRule(spec) => self.destination_rules.push(Named { object, spec }),
            Spec::Service(spec) => {
                let host = service_host(key.1, key.0, &self.pod.domain).to_ascii_lowercase();
                self.services.push(Named { object, spec });
                self.services_by_host.entry(host).or_insert(Named { object, spec });
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
            Spec::Pod(spec) => {
                self.pods.push(Named { object, spec });
                self.pods_by_key.insert(key, Named { object, spec });
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

    /// The Service of a full host name, if the gateway pod may see it.
    pub(super) fn service(&self, host: &str) -> Option<Named<'a, Service>> {
        let service = self.services_by_host.get(host)?;
        let annotation = service.object.meta.annotations.get(SERVICE_EXPORT_TO);
        let written = annotation.iter().flat_map(|list| list.split(',')).map(str::trim);
        let written: Vec<&str> = written.filter(|value| !value.is_empty()).collect();
        let namespace = &service.object.meta.namespace;
        let visibility = match written.is_empty() {
            true => Visibility::read_list(&self.mesh().default_service_export_to, namespace),
            false => Visibility::read(written, namespace),
        };
        visibility.includes(&self.pod.namespace).then_some(*service)
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

    /// A pod by name.
    pub(super) fn pod_named(&self, (namespace, name): Key<'_>) -> Option<Named<'a, Pod>> {
        self.pods_by_key.get(&(namespace, name)).copied()
    }

    /// A pod by address as written.
    pub(super) fn pod_at(&self, ip: &str) -> Option<Named<'a, Pod>> {
        self.pods_by_ip.get(ip).copied()
    }
}

/// Is every pair of `wanted` among `labels`?
pub(crate) fn is_subset(
    wanted: &BTreeMap<String, String>,
    labels: &BTreeMap<String, String>,
) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// The name that stands in place of an ExternalName Service.
pub(super) fn external_name(service: &Service) -> Option<&str> {
    (service.type_ == EXTERNAL_NAME && !service.external_name.is_empty())
        .then_some(service.external_name.as_str())
}

/// The port of a Service with this number that HTTP can use; UDP ports make no cluster
/// (Istio contract 4.1).
pub(super) fn port_numbered(service: &Service, number: u16) -> Option<&ServicePort> {
    service.ports.iter().find(|port| port.port == number && !is_udp(port))
}

/// Datagrams, which no route can use.
pub(super) fn is_udp(port: &ServicePort) -> bool {
    port.protocol.eq_ignore_ascii_case("UDP")
}
