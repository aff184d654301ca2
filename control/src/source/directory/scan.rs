//! The directory as last told, and what changed since: one step at a time, in the caller's thread.
//! The watching around it only decides when to take a step.
//!
//! Whatever can no longer be read keeps its last good version; only what is known to be gone goes.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use fairway_shared::diagnostic::{Diagnostic, ObjectRef, Place, Severity};

use super::listing::{self, FILES_MAX, File, Identity, Listing, Stamp};
use crate::{
    object::Object,
    source::{
        SOURCE_ITSELF, SourceEvent, SourceView,
        last_good::settle,
        parse::{FILE_BYTES_MAX, parse_file},
    },
};

/// What was told of each origin.
pub(super) struct Scan {
    root: PathBuf,
    told: BTreeMap<String, Told>,
}

struct Told {
    /// The version of the file that was read; `None` if it has to be read again.
    stamp: Option<Stamp>,
    objects: Vec<Arc<Object>>,
    diagnostics: Vec<Diagnostic>,
}

/// One step's outcome.
pub(super) struct Step {
    pub(super) events: Vec<SourceEvent>,
    /// What there is to watch.
    pub(super) directories: BTreeMap<PathBuf, Identity>,
}

impl Scan {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), told: BTreeMap::new() }
    }

    /// Lists the directory, reads what changed, and tells it in order of path.
    pub(super) fn step(&mut self) -> Step {
        let listing = match listing::list(&self.root) {
            Ok(listing) => listing,
            Err(error) => return self.vanished(&error),
        };
        let mut events = self.remove_gone(&listing);
        events.extend(self.tell_trouble_of_listing(&listing));
        for (origin, file) in &listing.files {
            events.extend(self.read_if_changed(origin, file));
        }
        for (origin, error) in &listing.unreadable {
            events.extend(self.unreadable(origin, error));
        }
        Step { events, directories: listing.directories }
    }

    fn vanished(&mut self, error: &io::Error) -> Step {
        let place = Place { file: self.root.display().to_string(), line: 0 };
        let message = format!("the directory cannot be read ({error})");
        let remedy = "bring it back; until then all that was read from it serves";
        let finding = trouble(Severity::Error, place, message, remedy);
        let event = self.tell(SOURCE_ITSELF, None, vec![], vec![finding]);
        Step { events: event.into_iter().collect(), directories: BTreeMap::new() }
    }

    fn tell_trouble_of_listing(&mut self, listing: &Listing) -> Option<SourceEvent> {
        let mut findings = Vec::new();
        if listing.is_cut {
            let place = Place { file: self.root.display().to_string(), line: 0 };
            let message = format!("more than {FILES_MAX} files; the rest is not read");
            findings.push(trouble(Severity::Error, place, message, "unite or remove files"));
        }
        self.tell(SOURCE_ITSELF, None, vec![], findings)
    }

    fn remove_gone(&mut self, listing: &Listing) -> Vec<SourceEvent> {
        let is_gone = |origin: &String| {
            let is_hidden_from_us = listing.unreadable.keys().any(|unreadable| {
                origin == unreadable || unreadable.ends_with('/') && origin.starts_with(unreadable)
            });
            origin != SOURCE_ITSELF
                && !listing.files.contains_key(origin)
                && !is_hidden_from_us
                && !listing.is_cut
        };
        let gone: Vec<String> =
            self.told.keys().filter(|origin| is_gone(origin)).cloned().collect();
        gone.iter().for_each(|origin| drop(self.told.remove(origin)));
        gone.into_iter().map(|origin| SourceEvent::Removed { origin }).collect()
    }

    fn read_if_changed(&mut self, origin: &str, file: &File) -> Option<SourceEvent> {
        if self.told.get(origin).is_some_and(|told| told.stamp == Some(file.stamp)) {
            return None;
        }
        // Read before the content is: what changes in between is then taken for fresh.
        let now = SystemTime::now();
        let content = match read(&file.path) {
            Ok(content) => content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => return self.unreadable(origin, &error),
        };
        let (objects, diagnostics) = settle(parse_file(origin, &content), self.objects_of(origin));
        let stamp = (!file.stamp.is_fresh(now)).then_some(file.stamp);
        self.tell(origin, stamp, objects, diagnostics)
    }

    fn unreadable(&mut self, origin: &str, error: &io::Error) -> Option<SourceEvent> {
        let place = Place { file: origin.to_owned(), line: 0 };
        let message = format!("cannot be read ({error})");
        let remedy = "make it readable; until then its last good version serves";
        let finding = trouble(Severity::Error, place, message, remedy);
        let objects = self.objects_of(origin).to_vec();
        self.tell(origin, None, objects, vec![finding])
    }

    fn objects_of(&self, origin: &str) -> &[Arc<Object>] {
        self.told.get(origin).map_or(&[], |told| &told.objects)
    }

    /// Notes what an origin holds. An event only if that is news.
    fn tell(
        &mut self,
        origin: &str,
        stamp: Option<Stamp>,
        objects: Vec<Arc<Object>>,
        diagnostics: Vec<Diagnostic>,
    ) -> Option<SourceEvent> {
        let is_news = match self.told.get(origin) {
            Some(told) => told.objects != objects || told.diagnostics != diagnostics,
            None => !(objects.is_empty() && diagnostics.is_empty()),
        };
        let told = Told { stamp, objects: objects.clone(), diagnostics: diagnostics.clone() };
        self.told.insert(origin.to_owned(), told);
        is_news.then(|| {
            SourceEvent::Updated(SourceView { origin: origin.to_owned(), objects, diagnostics })
        })
    }
}

/// Reads a file, and little more than the limit of one that is too large.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    let limit = u64::try_from(FILE_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    fs::File::open(path)?.take(limit).read_to_end(&mut content)?;
    Ok(content)
}

fn trouble(severity: Severity, place: Place, message: String, remedy: &str) -> Diagnostic {
    let object = ObjectRef::default();
    Diagnostic {
        severity,
        code: "FWY0005",
        object,
        place: Some(place),
        message,
        remedy: remedy.to_owned(),
    }
}

#[cfg(test)]
mod tests;
