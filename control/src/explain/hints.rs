//! What a reader would look at next: VirtualServices that name the host and do not apply here,
//! and what is wrong with the objects involved.

use fairway_shared::diagnostic::{Diagnostic, Severity};
use fairway_shared::matching::covers;

use super::Evidence;
use super::question::Question;
use crate::object::virtual_service::VirtualService;
use crate::object::{Object, Spec};

/// Hints given; the rest would bury them.
const HINTS_MAX: usize = 16;

/// Hints on a request; `taken_by` is the origin of the route that takes it.
pub(super) fn hints(
    evidence: Evidence<'_>,
    question: &Question,
    taken_by: Option<&str>,
) -> Vec<String> {
    let mut hints = Vec::new();
    let owner = taken_by.map(|origin| origin.rsplit_once('#').map_or(origin, |(key, _)| key));
    for object in &evidence.config.objects {
        let Spec::VirtualService(spec) = &object.spec else { continue };
        if !spec.hosts.iter().any(|host| covers(&host.to_ascii_lowercase(), question.host())) {
            continue;
        }
        let key = format!("{}/{}", object.meta.namespace, object.meta.name);
        if owner.is_some_and(|owner| owner != key) {
            continue;
        }
        hints.extend(binding(object, spec));
        hints.extend(findings(evidence.diagnostics, object));
    }
    hints.truncate(HINTS_MAX);
    hints
}

/// Why a VirtualService may have no say at this gateway, as far as it says so itself.
fn binding(object: &Object, spec: &VirtualService) -> Option<String> {
    let place = object.place.as_ref().map(|place| format!(" {place}")).unwrap_or_default();
    let who = format!("({}{place})", object.reference());
    let is_mesh_only = spec.gateways.iter().all(|gateway| gateway == "mesh");
    is_mesh_only.then(|| {
        format!(
            "{who} names this host, but no gateway, so that it is for the mesh alone: \
             add spec.gateways"
        )
    })
}

fn findings<'d>(
    diagnostics: &'d [Diagnostic],
    object: &Object,
) -> impl Iterator<Item = String> + use<'d> {
    let reference = object.reference();
    let about = move |finding: &&Diagnostic| {
        finding.object == reference && finding.severity > Severity::Info
    };
    diagnostics.iter().filter(about).map(ToString::to_string)
}
