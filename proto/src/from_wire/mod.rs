//! Wire → shared. Checks every value against what `fairway-shared` promises its readers, and
//! names the field that does not hold by its path: `route_tables[0].virtual_hosts[2].domain`.
//! One file per resource, in step with `to_wire`. No input makes it panic.

mod action;
mod check;
mod cluster;
mod listener;
mod policy;
mod route;
mod settings;
mod tls;
mod update;

pub use check::{FieldError, Problem};
pub use route::route;
pub use update::{UpdateError, hello, snapshot, update};
