use std::{fs, os::unix::fs::symlink, sync::mpsc, time::Instant};

use super::*;

/// Far beyond what a change may take to be seen, and far below the slow round of these tests.
const DEADLINE: Duration = Duration::from_secs(20);
const NO_POLL: Duration = Duration::from_secs(3600);

struct World {
    root: tempfile::TempDir,
    events: mpsc::Receiver<Vec<SourceEvent>>,
    /// Names of the objects in force, by origin.
    told: std::collections::BTreeMap<String, Vec<String>>,
    source: Option<DirectorySource>,
}

impl World {
    fn start(poll: Duration, prepare: impl FnOnce(&Path)) -> Self {
        let root = tempfile::tempdir().unwrap();
        prepare(root.path());
        let (sender, events) = mpsc::channel();
        let source = DirectorySource::start(root.path(), poll, move |events| {
            let _ = sender.send(events);
        });
        let mut world =
            Self { root, events, told: Default::default(), source: Some(source.unwrap()) };
        let first = world.events.recv_timeout(DEADLINE).unwrap();
        assert_eq!(first.last(), Some(&SourceEvent::Synced));
        world.apply(first);
        world
    }

    fn apply(&mut self, events: Vec<SourceEvent>) {
        for event in events {
            match event {
                SourceEvent::Updated(view) => {
                    let names = view.objects.iter().map(|o| o.meta.name.clone()).collect();
                    self.told.insert(view.origin, names);
                }
                SourceEvent::Removed { origin } => drop(self.told.remove(&origin)),
                SourceEvent::Synced => {}
            }
        }
    }

    fn write(&self, file: &str, service: &str) {
        write(&self.root.path().join(file), service);
    }

    /// Waits until the objects in force are these.
    fn wait_for(&mut self, expected: &[&str]) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let names: Vec<_> = self.told.values().flatten().map(String::as_str).collect();
            if names == expected {
                return;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let events = self.events.recv_timeout(left);
            self.apply(events.unwrap_or_else(|_| panic!("stayed at {:?}", self.told)));
        }
    }
}

fn write(file: &Path, service: &str) {
    let text = format!("apiVersion: v1\nkind: Service\nmetadata: {{name: {service}}}\n");
    fs::write(file, text).unwrap();
}

#[test]
fn the_first_events_hold_everything() {
    let mut world = World::start(NO_POLL, |root| {
        write(&root.join("b.yaml"), "b");
        write(&root.join("a.yaml"), "a");
    });
    world.wait_for(&["a", "b"]);
    assert!(world.events.try_recv().is_err());
}

#[test]
fn an_empty_directory_is_synced_too() {
    World::start(NO_POLL, |_| {}).wait_for(&[]);
}

#[test]
fn files_are_followed_through_writes_renames_and_removal() {
    let mut world = World::start(NO_POLL, |root| write(&root.join("a.yaml"), "a"));
    world.write("a.yaml", "a2");
    world.wait_for(&["a2"]);
    world.write(".a.yaml.new", "a3");
    fs::rename(world.root.path().join(".a.yaml.new"), world.root.path().join("a.yaml")).unwrap();
    world.wait_for(&["a3"]);
    fs::create_dir_all(world.root.path().join("sub/deep")).unwrap();
    world.write("sub/deep/b.yaml", "b");
    world.wait_for(&["a3", "b"]);
    world.write("sub/deep/b.yaml", "b2");
    world.wait_for(&["a3", "b2"]);
    fs::remove_dir_all(world.root.path().join("sub")).unwrap();
    fs::remove_file(world.root.path().join("a.yaml")).unwrap();
    world.wait_for(&[]);
}

#[test]
fn a_mounted_config_map_is_followed_through_its_swaps() {
    let version = |root: &Path, version: usize| {
        let hidden = root.join(format!("..v{version}"));
        fs::create_dir(&hidden).unwrap();
        write(&hidden.join("a.yaml"), &format!("a{version}"));
        symlink(format!("..v{version}"), root.join("..data_tmp")).unwrap();
        fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
    };
    let mut world = World::start(NO_POLL, |root| {
        version(root, 0);
        symlink("..data/a.yaml", root.join("a.yaml")).unwrap();
    });
    world.wait_for(&["a0"]);
    for round in 1..4 {
        version(world.root.path(), round);
        fs::remove_dir_all(world.root.path().join(format!("..v{}", round - 1))).unwrap();
        world.wait_for(&[&format!("a{round}")]);
    }
}

#[test]
fn the_slow_round_finds_what_the_kernel_does_not_report() {
    let elsewhere = tempfile::tempdir().unwrap();
    let file = elsewhere.path().join("real.yaml");
    write(&file, "a");
    let mut world = World::start(Duration::from_millis(20), |root| {
        symlink(&file, root.join("a.yaml")).unwrap();
    });
    write(&file, "a2");
    world.wait_for(&["a2"]);
}

#[test]
fn a_directory_that_comes_back_is_watched_again() {
    let mut world =
        World::start(Duration::from_millis(20), |root| write(&root.join("a.yaml"), "a"));
    world.wait_for(&["a"]);
    let root = world.root.path().to_owned();
    let aside = root.with_extension("aside");
    fs::rename(&root, &aside).unwrap();
    let events = world.events.recv_timeout(DEADLINE).unwrap();
    let [SourceEvent::Updated(view)] = &events[..] else { panic!("{events:?}") };
    assert_eq!((view.origin.as_str(), view.diagnostics.len()), (super::super::SOURCE_ITSELF, 1));
    fs::create_dir(&root).unwrap();
    world.write("b.yaml", "b");
    world.wait_for(&["b"]);
    fs::remove_dir_all(aside).unwrap();
}

#[test]
fn nothing_is_told_after_the_source_is_dropped() {
    let mut world = World::start(NO_POLL, |_| {});
    drop(world.source.take());
    world.write("a.yaml", "a");
    assert_eq!(world.events.recv_timeout(DEADLINE), Err(mpsc::RecvTimeoutError::Disconnected));
}

#[test]
fn a_directory_that_is_none_is_an_error_that_names_it() {
    let start = |path: &Path| DirectorySource::start(path, NO_POLL, |_| {}).unwrap_err();
    assert_eq!(start(Path::new("/no/where")).to_string(), "directory `/no/where` cannot be read");
    let file = tempfile::NamedTempFile::new().unwrap();
    let expected = format!("`{}` is not a directory", file.path().display());
    assert_eq!(start(file.path()).to_string(), expected);
}

#[test]
fn tools_read_a_directory_or_a_file_once() {
    let root = tempfile::tempdir().unwrap();
    write(&root.path().join("a.yaml"), "a");
    write(&root.path().join("b.yaml"), "b");
    let origins = |path: &Path| -> Vec<String> {
        read_once(path).unwrap().into_iter().map(|view| view.origin).collect()
    };
    assert_eq!(origins(root.path()), ["a.yaml", "b.yaml"]);
    assert_eq!(origins(&root.path().join("b.yaml")), ["b.yaml"]);
    assert!(read_once(&root.path().join("c.yaml")).is_err());
}
