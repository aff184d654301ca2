//! The gateway pod that an offline command compiles for.

use clap::Args;
use fairway_control::object::GatewayPod;

use crate::args::{Labels, labels, locality};

/// Flags that describe the pod.
#[derive(Debug, Clone, Args)]
pub struct PodArgs {
    /// Labels of the gateway pod, which Gateways select
    #[arg(long, value_name = "K=V,…", value_parser = labels, default_value = "istio=ingressgateway,app=istio-ingressgateway")]
    pub gateway_labels: Labels,
    /// Namespace of the gateway pod
    #[arg(long, default_value = "istio-system")]
    pub namespace: String,
    /// Cluster domain suffix
    #[arg(long, value_name = "DOMAIN", default_value = "cluster.local")]
    pub domain: String,
    /// Node that the gateway pod runs on [default: unknown]
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub node_name: String,
    /// Where the gateway pod runs [default: as the labels of its Node say]
    #[arg(long, value_name = "REGION/ZONE/SUBZONE", value_parser = locality)]
    pub locality: Option<String>,
}

impl PodArgs {
    /// The pod.
    pub(crate) fn pod(&self) -> GatewayPod {
        GatewayPod {
            labels: self.gateway_labels.0.clone(),
            namespace: self.namespace.clone(),
            domain: self.domain.clone(),
            node: self.node_name.clone(),
            locality: self.locality.clone().unwrap_or_default(),
            takes_own_namespace_only: false,
        }
    }
}
