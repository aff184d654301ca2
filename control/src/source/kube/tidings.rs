//! What a watch says about one resource, turned into events of the source. Pure.

use std::collections::BTreeSet;

use fairway_shared::diagnostic::{Diagnostic, ObjectRef, Severity};

use super::resource::Resource;
use crate::source::{SourceEvent, SourceView};

/// Why a resource cannot be watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// No version of it is served: its CRD is not installed.
    Absent,
    /// The role does not allow it.
    Denied,
    /// The API server does not answer, or answers with something else.
    Unreachable(String),
}

/// What has been told of one resource in one namespace, or in all.
#[derive(Debug)]
pub(super) struct Tidings {
    resource: Resource,
    /// Of the findings about the watch itself.
    origin: String,
    told: BTreeSet<String>,
    /// Views of a listing under way, with their origins.
    listing: Option<Vec<SourceView>>,
    trouble: Option<Trouble>,
}

impl Tidings {
    /// Nothing has been told yet. `scope` is a namespace or empty.
    pub(super) fn new(resource: Resource, scope: &str) -> Self {
        let origin = match scope {
            "" => resource.full_name(),
            namespace => format!("{} in {namespace}", resource.full_name()),
        };
        Self { resource, origin, told: BTreeSet::new(), listing: None, trouble: None }
    }

    /// A listing begins.
    pub(super) fn list_begins(&mut self) {
        self.listing = Some(Vec::new());
    }

    /// An object of the listing.
    pub(super) fn listed(&mut self, view: SourceView) {
        self.listing.get_or_insert_default().push(view);
    }

    /// The listing is whole: what it does not hold is gone.
    pub(super) fn list_ends(&mut self) -> Vec<SourceEvent> {
        let views = self.listing.take().unwrap_or_default();
        let now: BTreeSet<String> = views.iter().map(|view| view.origin.clone()).collect();
        let mut events: Vec<_> = self
            .told
            .difference(&now)
            .map(|origin| SourceEvent::Removed { origin: origin.clone() })
            .collect();
        events.extend(views.into_iter().map(SourceEvent::Updated));
        events.extend(self.relief());
        self.told = now;
        events
    }

    /// An object is new or changed.
    pub(super) fn applied(&mut self, view: SourceView) -> Vec<SourceEvent> {
        self.told.insert(view.origin.clone());
        self.relief().into_iter().chain([SourceEvent::Updated(view)]).collect()
    }

    /// An object is gone.
    pub(super) fn deleted(&mut self, origin: String) -> Vec<SourceEvent> {
        self.told.remove(&origin);
        self.relief().into_iter().chain([SourceEvent::Removed { origin }]).collect()
    }

    /// The watch does not work. Said once per kind of trouble; objects stay, but for those of a
    /// resource that is not served any more.
    pub(super) fn failed(&mut self, trouble: Trouble) -> Vec<SourceEvent> {
        self.listing = None;
        if self.trouble.as_ref().is_some_and(|known| is_same_kind(known, &trouble)) {
            return Vec::new();
        }
        let mut events = Vec::new();
        if trouble == Trouble::Absent {
            let gone = std::mem::take(&mut self.told).into_iter();
            events.extend(gone.map(|origin| SourceEvent::Removed { origin }));
        }
        let finding = finding(&self.resource, &self.origin, &trouble);
        tracing::warn!("{finding}");
        let view = SourceView {
            origin: self.origin.clone(),
            objects: Vec::new(),
            diagnostics: vec![finding],
        };
        events.push(SourceEvent::Updated(view));
        self.trouble = Some(trouble);
        events
    }

    /// It works again.
    fn relief(&mut self) -> Option<SourceEvent> {
        self.trouble.take().map(|_| {
            tracing::info!("{} can be watched now", self.origin);
            SourceEvent::Removed { origin: self.origin.clone() }
        })
    }
}

fn is_same_kind(a: &Trouble, b: &Trouble) -> bool {
    std::mem::discriminant(a) == std::mem::discriminant(b)
}

fn finding(resource: &Resource, origin: &str, trouble: &Trouble) -> Diagnostic {
    let (severity, code, message, remedy) = match trouble {
        Trouble::Absent => (
            Severity::Warning,
            "FWY0020",
            format!("{origin} is not served by the API server; it is looked for again and again"),
            "install the resource's definition if it is to be used".to_owned(),
        ),
        Trouble::Denied => (
            Severity::Error,
            "FWY0021",
            format!("{origin} may not be read; what is known of it stays in force"),
            format!("grant get, list and watch on {}", resource.full_name()),
        ),
        Trouble::Unreachable(reason) => (
            Severity::Error,
            "FWY0022",
            format!("{origin} cannot be watched: {reason}; what is known of it stays in force"),
            "check the API server and the way to it".to_owned(),
        ),
    };
    let object = ObjectRef { kind: resource.name.to_owned(), ..ObjectRef::default() };
    Diagnostic { severity, code, object, place: None, message, remedy }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::kinds::Kind;
    use crate::source::kube::resource::resource_of;

    fn view(origin: &str) -> SourceView {
        SourceView { origin: origin.to_owned(), objects: Vec::new(), diagnostics: Vec::new() }
    }

    /// `+origin`, `-origin`, and `!code origin` for findings.
    fn texts(events: Vec<SourceEvent>) -> Vec<String> {
        let text = |event| match event {
            SourceEvent::Updated(view) => match view.diagnostics.first() {
                Some(finding) => format!("!{} {}", finding.code, view.origin),
                None => format!("+{}", view.origin),
            },
            SourceEvent::Removed { origin } => format!("-{origin}"),
            SourceEvent::Synced => "synced".to_owned(),
        };
        events.into_iter().map(text).collect()
    }

    fn services() -> Tidings {
        Tidings::new(resource_of(Kind::Service), "")
    }

    fn list(tidings: &mut Tidings, origins: &[&str]) -> Vec<String> {
        tidings.list_begins();
        origins.iter().for_each(|origin| tidings.listed(view(origin)));
        texts(tidings.list_ends())
    }

    #[test]
    fn a_new_listing_removes_what_it_does_not_hold() {
        let mut tidings = services();
        assert_eq!(list(&mut tidings, &["a", "b"]), ["+a", "+b"]);
        assert_eq!(texts(tidings.applied(view("c"))), ["+c"]);
        assert_eq!(texts(tidings.deleted("a".to_owned())), ["-a"]);
        assert_eq!(list(&mut tidings, &["b"]), ["-c", "+b"]);
    }

    #[test]
    fn trouble_is_said_once_and_its_end_too() {
        let mut tidings = services();
        let lost = |why: &str| Trouble::Unreachable(why.to_owned());
        assert_eq!(list(&mut tidings, &["a"]), ["+a"]);
        assert_eq!(texts(tidings.failed(lost("refused"))), ["!FWY0022 services"]);
        assert!(tidings.failed(lost("reset")).is_empty());
        assert_eq!(texts(tidings.failed(Trouble::Denied)), ["!FWY0021 services"]);
        assert_eq!(list(&mut tidings, &["a"]), ["+a", "-services"]);
        assert_eq!(texts(tidings.applied(view("a"))), ["+a"]);
    }

    #[test]
    fn a_listing_that_breaks_off_removes_nothing() {
        let mut tidings = services();
        assert_eq!(list(&mut tidings, &["a", "b"]), ["+a", "+b"]);
        tidings.list_begins();
        tidings.listed(view("a"));
        assert_eq!(tidings.failed(Trouble::Unreachable("cut".to_owned())).len(), 1);
        assert_eq!(list(&mut tidings, &["a", "b"]), ["+a", "+b", "-services"]);
    }

    #[test]
    fn objects_of_a_resource_that_is_served_no_more_are_gone() {
        let mut tidings = Tidings::new(resource_of(Kind::Gateway), "shop");
        assert_eq!(list(&mut tidings, &["a"]), ["+a"]);
        let origin = "gateways.networking.istio.io in shop";
        assert_eq!(
            texts(tidings.failed(Trouble::Absent)),
            ["-a".to_owned(), format!("!FWY0020 {origin}")]
        );
    }
}
