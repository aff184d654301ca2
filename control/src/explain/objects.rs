//! From the names that a snapshot keeps back to the objects they came from.

use std::collections::HashMap;

use fairway_proto::wire;

use crate::object::{ConfigSet, Object};

/// The objects by kind, namespace and name.
pub(super) struct Objects<'c> {
    by_name: HashMap<(&'static str, &'c str, &'c str), &'c Object>,
}

impl<'c> Objects<'c> {
    pub(super) fn new(config: &'c ConfigSet) -> Self {
        let entry = |object: &'c Object| {
            let meta = &object.meta;
            ((object.spec.kind(), meta.namespace.as_str(), meta.name.as_str()), object)
        };
        Self { by_name: config.objects.iter().map(|object| entry(object)).collect() }
    }

    /// An object by kind and `namespace/name`, with its place if it is there.
    pub(super) fn place_of(&self, kind: &'static str, key: &str) -> wire::ObjectPlace {
        let (namespace, name) = key.split_once('/').unwrap_or(("", key));
        match self.by_name.get(&(kind, namespace, name)) {
            Some(object) => place(object),
            None => wire::ObjectPlace {
                kind: kind.to_owned(),
                namespace: namespace.to_owned(),
                name: name.to_owned(),
                ..Default::default()
            },
        }
    }

    /// The VirtualService that a route's origin, `namespace/name#index`, names.
    pub(super) fn origin(&self, origin: &str) -> wire::ObjectPlace {
        let key = origin.rsplit_once('#').map_or(origin, |(key, _)| key);
        self.place_of("VirtualService", key)
    }
}

/// An object and where it was read.
pub(super) fn place(object: &Object) -> wire::ObjectPlace {
    let reference = object.reference();
    let place = object.place.clone().unwrap_or_default();
    wire::ObjectPlace {
        kind: reference.kind,
        namespace: reference.namespace,
        name: reference.name,
        file: place.file,
        line: place.line,
    }
}
