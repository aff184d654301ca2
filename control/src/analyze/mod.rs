//! What is likely not as meant in objects that compile as they stand (Istio contract 9.4). Each
//! check is a pure function over the config set; `compile` reports what it meets on its own way,
//! and is not repeated here.
//!
//! | module | codes |
//! | --- | --- |
//! | `gateways` | `IST0138`, `IST0145` |
//! | `virtual_services` | `IST0109`, `IST0131`, `IST0140`, `IST0165` |
//! | `services` | `IST0116`, `IST0118`, `IST0137`, `IST0150` |

mod gateways;
mod matches;
mod services;
mod virtual_services;

use std::fmt::Display;

use fairway_shared::diagnostic::{Diagnostic, Severity};

use crate::object::gateway::Gateway;
use crate::object::pod::Pod;
use crate::object::service::Service;
use crate::object::virtual_service::VirtualService;
use crate::object::{ConfigSet, GatewayPod, Object, Spec};

/// An object with its spec.
type Named<'c, T> = (&'c Object, &'c T);

/// The objects that checks look at, by kind.
struct Sorted<'c> {
    pod: &'c GatewayPod,
    gateways: Vec<Named<'c, Gateway>>,
    virtual_services: Vec<Named<'c, VirtualService>>,
    services: Vec<Named<'c, Service>>,
    pods: Vec<Named<'c, Pod>>,
}

/// Runs every check.
pub fn analyze(config: &ConfigSet) -> Vec<Diagnostic> {
    let sorted = Sorted::new(config);
    let mut findings = Findings::default();
    gateways::check(&sorted, &mut findings);
    virtual_services::check(&sorted, &mut findings);
    services::check(&sorted, &mut findings);
    findings.0
}

impl<'c> Sorted<'c> {
    fn new(config: &'c ConfigSet) -> Self {
        let mut sorted = Self {
            pod: &config.pod,
            gateways: Vec::new(),
            virtual_services: Vec::new(),
            services: Vec::new(),
            pods: Vec::new(),
        };
        for object in config.objects.iter().map(AsRef::as_ref) {
            match &object.spec {
                Spec::Gateway(spec) => sorted.gateways.push((object, spec)),
                Spec::VirtualService(spec) => sorted.virtual_services.push((object, spec)),
                Spec::Service(spec) => sorted.services.push((object, spec)),
                Spec::Pod(spec) => sorted.pods.push((object, spec)),
                _ => {}
            }
        }
        sorted
    }
}

/// What the checks found.
#[derive(Default)]
struct Findings(Vec<Diagnostic>);

impl Findings {
    fn add(
        &mut self,
        (severity, code): (Severity, &'static str),
        object: &Object,
        message: impl Display,
        remedy: &str,
    ) {
        self.0.push(Diagnostic {
            severity,
            code,
            object: object.reference(),
            place: object.place.clone(),
            message: message.to_string(),
            remedy: remedy.to_owned(),
        });
    }
}

/// `namespace/name`.
fn key(object: &Object) -> String {
    format!("{}/{}", object.meta.namespace, object.meta.name)
}
