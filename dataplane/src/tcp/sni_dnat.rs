//! Clusters by the server name that spells them, behind an AUTO_PASSTHROUGH server:
//! `outbound_.<port>_.<subset>_.<host>` (Istio contract 7).

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::time::Duration;

use fairway_shared::id::ClusterId;
use fairway_shared::matching;

use super::exchange::Target;
use crate::cluster::handle::ClusterHandle;

/// Silence after which a connection is closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(3600);

/// The clusters that one chain may reach.
#[derive(Debug)]
pub struct SniClusters(HashMap<String, Rc<ClusterHandle>>);

impl SniClusters {
    /// Those whose spelt names the chain's server names cover.
    pub fn new(server_names: &[String], known: &BTreeMap<ClusterId, Rc<ClusterHandle>>) -> Self {
        let spelt = known.iter().map(|(id, cluster)| (id.sni(), Rc::clone(cluster)));
        let is_open = |name: &str| server_names.iter().any(|host| matching::covers(host, name));
        Self(spelt.filter(|(name, _)| is_open(name)).collect())
    }

    /// Where a connection with that server name goes; `None` if it spells no cluster.
    pub fn target(&self, server_name: &str) -> Option<Target<'_>> {
        Some(Target {
            origin: "",
            cluster: Some(self.0.get(server_name)?),
            hash_source_ip: false,
            // What passes is TLS already, end to end.
            is_verbatim: true,
            idle_timeout: Some(IDLE_TIMEOUT),
            max_duration: None,
        })
    }
}
