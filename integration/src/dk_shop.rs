//! The reference configuration, running: what most promises are tested on.

use std::net::SocketAddr;
use std::path::Path;

use crate::load::Plan;
use crate::manifests::{self, DK_SHOP, DK_SHOP_HOST, Subsets};
use crate::upstream::Upstream;
use crate::world::{Setup, World};

/// An instance that serves the reference configuration, with both of its upstreams.
#[derive(Debug)]
pub struct DkShop {
    /// The instance.
    pub world: World,
    /// Subset v1.
    pub v1: Upstream,
    /// Subset v2.
    pub v2: Upstream,
    /// Of port 80.
    pub address: SocketAddr,
}

impl DkShop {
    /// Starts the binary with these flags and waits until it serves.
    ///
    /// # Panics
    /// If it does not in time.
    pub async fn start(fairway: impl AsRef<Path>, workers: u16, flags: &str) -> Self {
        let (v1, v2) = (Upstream::start("v1").await, Upstream::start("v2").await);
        let subsets = Subsets { v1: v1.address(), v2: v2.address() };
        let setup = Setup::new(fairway.as_ref())
            .file("dk-shop.yaml", DK_SHOP)
            .file("services.yaml", manifests::services(subsets))
            .workers(workers)
            .flags(flags);
        let mut world = World::start(setup).await;
        let address = world.listener(80).await;
        Self { world, v1, v2, address }
    }

    /// A load on the routed host.
    pub fn plan(&self, connections: usize) -> Plan {
        Plan { address: self.address, host: DK_SHOP_HOST, connections, is_short: false }
    }
}
