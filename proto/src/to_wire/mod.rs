//! Shared → wire. Cannot fail: whatever control holds has a form on the wire. One file per
//! resource, in step with `from_wire`.

mod cluster;
mod diagnostic;
mod listener;
mod policy;
mod route;
mod settings;
mod tls;
mod update;

pub use cluster::{cluster, cluster_id, endpoint, endpoint_set, named_endpoint, service_port};
pub use diagnostic::diagnostic;
pub use listener::listener;
pub use route::{route, route_table};
pub use settings::settings;
pub use tls::{public_secret, secret};
pub use update::{delta_update, node, snapshot, whole_update};
