//! Newtypes for the names that cross module borders, so that one cannot stand in for another.

use std::fmt;

use bincode::{Decode, Encode};

/// Version of a snapshot: rises by one with every compile whose result differs.
/// Zero means "none yet".
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct SnapshotVersion(pub u64);

impl fmt::Display for SnapshotVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The place a worker process fills: `0..workers`. Processes come and go, slots stay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct WorkerSlot(pub u16);

impl fmt::Display for WorkerSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Name of a listener, `<bind>_<port>`: `0.0.0.0_8080` (Istio contract 1.6).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct ListenerId(pub String);

impl fmt::Display for ListenerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Name of a route table, `http.<resolved port>` or `https.…` (Istio contract 1.6).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct RouteTableId(pub String);

impl fmt::Display for RouteTableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One port of one service, by its full host name. Keys the endpoint lists: the subsets of a
/// service share one list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct ServicePort {
    /// Full lower-case host name, `user.dk-shop.svc.cluster.local`.
    pub host: String,
    /// The service's port number (not the target port).
    pub port: u16,
}

impl fmt::Display for ServicePort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Key of an upstream cluster. Displays as `outbound|80|v1|user.dk-shop.svc.cluster.local`
/// (Istio contract 2.8).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct ClusterId {
    /// The service port it belongs to.
    pub service: ServicePort,
    /// Subset name; empty for the whole service.
    pub subset: String,
}

impl ClusterId {
    /// The SNI form of the name: `outbound_.80_.v1_.user.dk-shop.svc.cluster.local`
    /// (Istio contract 7).
    pub fn sni(&self) -> String {
        format!("outbound_.{}_.{}_.{}", self.service.port, self.subset, self.service.host)
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "outbound|{}|{}|{}", self.service.port, self.subset, self.service.host)
    }
}

/// Name of a Secret in the gateway pod's namespace, or of a file-based equivalent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct SecretName(pub String);

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_prints_both_of_its_names() {
        let id = ClusterId {
            service: ServicePort { host: "user.dk-shop.svc.cluster.local".into(), port: 80 },
            subset: "v1".into(),
        };
        assert_eq!(id.to_string(), "outbound|80|v1|user.dk-shop.svc.cluster.local");
        assert_eq!(id.sni(), "outbound_.80_.v1_.user.dk-shop.svc.cluster.local");
    }
}
