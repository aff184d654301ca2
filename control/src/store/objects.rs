//! The objects of all origins, and the one list they unite to. Pure.
//!
//! Where two objects share kind, namespace and name, the one of the lowest origin wins, within one
//! origin the first; each other is reported (`FWY0004`) and has no effect.

use std::{collections::BTreeMap, sync::Arc};

use fairway_shared::diagnostic::{Diagnostic, Severity};

use crate::{
    object::Object,
    source::{SourceEvent, SourceView},
};

/// What the source has told so far.
#[derive(Debug, Default)]
pub struct Objects {
    views: BTreeMap<String, SourceView>,
    is_synced: bool,
}

/// All objects and all findings about reading them, at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct United {
    /// In order of kind, namespace and name; no two share all three.
    pub objects: Vec<Arc<Object>>,
    /// In order of place.
    pub diagnostics: Vec<Diagnostic>,
}

impl Objects {
    /// Takes in what the source tells.
    pub fn apply(&mut self, event: SourceEvent) {
        match event {
            SourceEvent::Updated(view) => {
                self.views.insert(view.origin.clone(), view);
            }
            SourceEvent::Removed { origin } => {
                self.views.remove(&origin);
            }
            SourceEvent::Synced => self.is_synced = true,
        }
    }

    /// Whether the source has told everything once. Before, what is missing may be yet to come,
    /// and to publish it would cut off whatever depends on it.
    pub fn is_synced(&self) -> bool {
        self.is_synced
    }

    /// Unites all origins.
    pub fn unite(&self) -> United {
        let views = || self.views.values();
        let mut objects: Vec<_> = views().flat_map(|view| &view.objects).cloned().collect();
        // Stable, so that among equals the order of origins and documents stays.
        objects.sort_by(|a, b| key_of(a).cmp(&key_of(b)));
        let mut diagnostics: Vec<_> = views().flat_map(|view| &view.diagnostics).cloned().collect();
        objects.dedup_by(|later, first| {
            let is_duplicate = key_of(later) == key_of(first);
            if is_duplicate {
                diagnostics.push(duplicate(later, first));
            }
            is_duplicate
        });
        diagnostics.sort_by(|a, b| (&a.place, a).cmp(&(&b.place, b)));
        United { objects, diagnostics }
    }
}

fn key_of(object: &Object) -> (&'static str, &str, &str) {
    (object.spec.kind(), &object.meta.namespace, &object.meta.name)
}

fn duplicate(later: &Object, first: &Object) -> Diagnostic {
    let first_place = match &first.place {
        Some(place) => place.to_string(),
        None => "elsewhere".to_owned(),
    };
    Diagnostic {
        severity: Severity::Error,
        code: "FWY0004",
        object: later.reference(),
        place: later.place.clone(),
        message: format!(
            "an object of this name is at {first_place} already; this one has no effect"
        ),
        remedy: "remove or rename one of them".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::source::parse::{Entry, parse_file};

    /// An origin that holds Services of these names, each on a line of its own.
    fn update(origin: &str, names: &[&str]) -> SourceEvent {
        let document = |name: &&str| {
            format!("--- {{apiVersion: v1, kind: Service, metadata: {{name: {name}}}}}\n")
        };
        let text: String = names.iter().map(document).collect();
        let entries = parse_file(origin, format!("# \n{text}").as_bytes()).entries;
        let objects = entries.into_iter().filter_map(|entry| match entry {
            Entry::Valid(object) => Some(object),
            Entry::Invalid(_) => None,
        });
        let view = SourceView {
            origin: origin.to_owned(),
            objects: objects.collect(),
            diagnostics: vec![],
        };
        SourceEvent::Updated(view)
    }

    /// Applies the events and compares each object as `name place`, and the findings as printed.
    fn check(events: Vec<SourceEvent>, objects: &[&str], findings: &[&str]) {
        let mut store = Objects::default();
        events.into_iter().for_each(|event| store.apply(event));
        let united = store.unite();
        let place = |object: &Object| object.place.as_ref().unwrap().to_string();
        let found: Vec<_> =
            united.objects.iter().map(|o| format!("{} {}", o.meta.name, place(o))).collect();
        assert_eq!(found, objects);
        let printed: Vec<_> = united.diagnostics.iter().map(Diagnostic::to_string).collect();
        assert_eq!(printed, findings);
    }

    #[test]
    fn a_view_replaces_the_one_before() {
        let removed = SourceEvent::Removed { origin: "a".to_owned() };
        check(vec![update("a", &["x"]), update("a", &["y", "b"])], &["b a:3", "y a:2"], &[]);
        check(vec![update("a", &["x"]), update("b", &["y"]), removed], &["y b:2"], &[]);
    }

    #[test]
    fn the_first_by_path_and_then_by_line_wins_and_each_other_is_reported() {
        let finding = |place: &str| {
            format!(
                "Error [FWY0004] (Service default/x {place}) an object of this name is at a:3 \
                 already; this one has no effect: remove or rename one of them"
            )
        };
        let [same_file, other_file] = [finding("a:4"), finding("b:2")];
        check(
            vec![update("b", &["x"]), update("a", &["w", "x", "x"])],
            &["w a:2", "x a:3"],
            &[&same_file, &other_file],
        );
    }

    #[test]
    fn it_is_synced_when_the_source_says_so() {
        let mut store = Objects::default();
        store.apply(update("a", &["x"]));
        assert!(!store.is_synced());
        store.apply(SourceEvent::Synced);
        assert!(store.is_synced());
    }

    proptest! {
        /// The order in which origins are told has no influence on what they unite to.
        #[test]
        fn what_is_united_depends_on_the_views_only(
            views in proptest::collection::btree_map("[a-d]", proptest::collection::vec("[v-z]", 0..4), 0..4),
            seed: u64,
        ) {
            let mut in_order = Objects::default();
            let mut shuffled = Objects::default();
            let mut events: Vec<_> = views
                .iter()
                .map(|(origin, names)| update(origin, &names.iter().map(String::as_str).collect::<Vec<_>>()))
                .collect();
            events.iter().for_each(|event| in_order.apply(event.clone()));
            let middle = seed as usize % events.len().max(1);
            events.rotate_left(middle);
            events.into_iter().for_each(|event| shuffled.apply(event));
            let united = in_order.unite();
            prop_assert_eq!(&united, &shuffled.unite());
            let told: usize = views.values().map(Vec::len).sum();
            prop_assert_eq!(united.objects.len() + united.diagnostics.len(), told);
            prop_assert!(united.objects.is_sorted_by(|a, b| key_of(a) < key_of(b)));
        }
    }
}
