//! The source of `--mesh-config`: one file, looked at every now and then. Mesh-wide settings change
//! rarely, so that no watch is kept on it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use super::last_good::settle;
use super::parse::parse_mesh_file;
use super::{SourceEvent, SourceView};
use crate::object::Object;

/// A file that cannot be read at the start. Later trouble keeps what was read last.
#[derive(Debug, thiserror::Error)]
#[error("file `{}` cannot be read", path.display())]
pub struct MeshFileError {
    /// As given.
    pub path: PathBuf,
    /// The kernel's answer.
    pub source: io::Error,
}

/// The file and what was found in it last.
#[derive(Debug)]
pub struct MeshFile {
    path: PathBuf,
    content: Vec<u8>,
    objects: Vec<Arc<Object>>,
}

impl MeshFile {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn open(path: &Path) -> Result<(Self, SourceEvent), MeshFileError> {
        let unreadable = |source| MeshFileError { path: path.to_owned(), source };
        let content = fs::read(path).map_err(unreadable)?;
        let mut file = Self { path: path.to_owned(), content: Vec::new(), objects: Vec::new() };
        let event = file.take(content);
        Ok((file, event))
    }

    /// Looks at the file again: what it holds, if that differs from the last look. A file that is
    /// gone or cannot be read stays in force as it was.
    pub fn look(&mut self) -> Option<SourceEvent> {
        let content = fs::read(&self.path).ok()?;
        (content != self.content).then(|| self.take(content))
    }

    fn take(&mut self, content: Vec<u8>) -> SourceEvent {
        let origin = self.path.display().to_string();
        let parsed = parse_mesh_file(&origin, &content);
        let (objects, diagnostics) = settle(parsed, &self.objects);
        (self.content, self.objects) = (content, objects.clone());
        SourceEvent::Updated(SourceView { origin, objects, diagnostics })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Spec;

    fn read(event: SourceEvent) -> (Vec<String>, Vec<String>) {
        let SourceEvent::Updated(view) = event else { panic!("{event:?}") };
        let files = view.objects.iter().filter_map(|object| match &object.spec {
            Spec::MeshConfig(mesh) => Some(mesh.access_log_file.clone()),
            _ => None,
        });
        (files.collect(), view.diagnostics.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_broken_version_keeps_the_last_good_one_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mesh.yaml");
        assert!(MeshFile::open(&path).unwrap_err().to_string().contains("mesh.yaml"));
        fs::write(&path, "accessLogFile: /dev/stdout\nnonsense: 1\n").unwrap();
        let (mut file, event) = MeshFile::open(&path).unwrap();
        let (files, findings) = read(event);
        assert_eq!(files, ["/dev/stdout"]);
        assert!(findings[0].contains("mesh.yaml:2) unknown field mesh.nonsense"), "{findings:?}");
        assert_eq!(file.look(), None);

        fs::write(&path, "accessLogFile: [1]\n").unwrap();
        let (files, findings) = read(file.look().unwrap());
        assert_eq!(files, ["/dev/stdout"]);
        assert!(findings[0].contains("mesh.accessLogFile: expected a text"), "{findings:?}");

        fs::write(&path, "accessLogFile: a\n").unwrap();
        assert_eq!(read(file.look().unwrap()).0, ["a"]);
        fs::remove_file(&path).unwrap();
        assert_eq!(file.look(), None);
    }
}
