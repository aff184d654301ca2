//! Certificates whose time has not come or is over. They are served all the same (Istio contract
//! 1.7), and whoever put them there is told.
//!
//! Apart from `compile`, which reads no clock: the moment is given.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use fairway_shared::certificate::{self, Validity};
use fairway_shared::diagnostic::{Diagnostic, Severity};
use fairway_shared::id::SecretName;
use fairway_shared::snapshot::tls;
use jiff::Timestamp;

use crate::compile::BAD_CREDENTIAL;
use crate::object::{ConfigSet, Spec};

/// What is to be said at that moment about the certificates that a snapshot holds.
pub fn findings(
    config: &ConfigSet,
    secrets: &BTreeMap<SecretName, Arc<tls::Secret>>,
    now: SystemTime,
) -> Vec<Diagnostic> {
    let own = config.objects.iter().filter(|object| {
        matches!(object.spec, Spec::Secret(_)) && object.meta.namespace == config.pod.namespace
    });
    own.filter_map(|object| {
        let held = secrets.get(&SecretName(object.meta.name.clone()))?;
        let (problem, at) = match certificate::validity(&held.certificate_chain, now)? {
            Validity::Current => return None,
            Validity::NotYet(at) => ("holds a certificate that is not valid before", at),
            Validity::Over(at) => ("holds a certificate that expired at", at),
        };
        let at = i64::try_from(at).ok().and_then(|at| Timestamp::from_second(at).ok())?;
        Some(Diagnostic {
            severity: Severity::Error,
            code: BAD_CREDENTIAL,
            object: object.reference(),
            place: object.place.clone(),
            message: format!("{problem} {at}; it is served all the same"),
            remedy: "put a current certificate into it".to_owned(),
        })
    })
    .collect()
}
