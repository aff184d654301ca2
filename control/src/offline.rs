//! Reads files and directories once and compiles them: what `fairway analyze` and
//! `fairway explain --config` look at. Watches nothing, publishes nothing.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use fairway_shared::diagnostic::Diagnostic;

use crate::analyze;
use crate::compile::{Compiled, compile};
use crate::object::{ConfigSet, GatewayPod};
use crate::report;
use crate::source::directory::{DirectoryError, read_once};
use crate::source::last_good::settle;
use crate::source::parse::{FILE_BYTES_MAX, parse_file};
use crate::source::{SourceEvent, SourceView};
use crate::store::objects::Objects;
use crate::validity;

/// The path that stands for standard input.
pub const STDIN: &str = "-";
/// How findings name it.
const STDIN_NAME: &str = "stdin";

/// Why nothing can be read.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    /// A path.
    #[error(transparent)]
    Path(#[from] DirectoryError),
    /// Standard input.
    #[error("standard input cannot be read")]
    Stdin(#[source] io::Error),
}

/// A configuration, compiled.
#[derive(Debug)]
pub struct Offline {
    /// What was read.
    pub config: ConfigSet,
    /// What it compiles to.
    pub compiled: Compiled,
    /// Findings of reading, compiling and analysis, worst first.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads `paths` (`-` is standard input) and compiles them for `pod`. Places name files as the
/// paths do.
///
/// # Errors
/// [`OfflineError`]; what is wrong inside a file is among the diagnostics.
pub fn read(paths: &[PathBuf], pod: GatewayPod) -> Result<Offline, OfflineError> {
    let mut objects = Objects::default();
    for path in paths {
        let views = if path.as_os_str() == STDIN { vec![read_stdin()?] } else { read_path(path)? };
        views.into_iter().for_each(|view| objects.apply(SourceEvent::Updated(view)));
    }
    let united = objects.unite();
    let config = ConfigSet { pod, objects: united.objects, ..ConfigSet::default() };
    let compiled = compile(&config);
    let mut diagnostics = united.diagnostics;
    diagnostics.extend(compiled.diagnostics.iter().cloned());
    diagnostics.extend(analyze::analyze(&config));
    diagnostics.extend(validity::findings(&config, &compiled.snapshot.secrets, SystemTime::now()));
    report::order(&mut diagnostics);
    Ok(Offline { config, compiled, diagnostics })
}

fn read_path(path: &Path) -> Result<Vec<SourceView>, DirectoryError> {
    let mut views = read_once(path)?;
    if path.is_dir() {
        let below = |file: &str| path.join(file).display().to_string();
        for view in &mut views {
            name_files(view, below);
        }
    } else {
        let whole = |_: &str| path.display().to_string();
        for view in &mut views {
            name_files(view, whole);
        }
    }
    Ok(views)
}

/// Gives a view's origin and places the names that the reader typed.
fn name_files(view: &mut SourceView, name: impl Fn(&str) -> String) {
    view.origin = name(&view.origin);
    for object in &mut view.objects {
        if let Some(place) = &mut Arc::make_mut(object).place {
            place.file = name(&place.file);
        }
    }
    for place in view.diagnostics.iter_mut().filter_map(|finding| finding.place.as_mut()) {
        place.file = name(&place.file);
    }
}

fn read_stdin() -> Result<SourceView, OfflineError> {
    let mut content = Vec::new();
    // One byte more than is allowed, so that the parser sees it and says so.
    let limit = u64::try_from(FILE_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    io::stdin().lock().take(limit).read_to_end(&mut content).map_err(OfflineError::Stdin)?;
    let (objects, diagnostics) = settle(parse_file(STDIN_NAME, &content), &[]);
    Ok(SourceView { origin: STDIN_NAME.to_owned(), objects, diagnostics })
}
