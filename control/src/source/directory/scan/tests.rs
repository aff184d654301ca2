use std::os::unix::fs::symlink;

use super::*;

/// A directory and a scan of it.
struct World {
    root: tempfile::TempDir,
    scan: Scan,
}

impl World {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let scan = Scan::new(root.path());
        Self { root, scan }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn write(&self, name: &str, services: &[&str]) {
        let documents = services.iter().map(|name| {
            format!("---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\n")
        });
        fs::write(self.at(name), documents.collect::<String>()).unwrap();
    }

    /// Takes a step and compares what it tells: `origin: objects` and `! finding`, or `- origin`.
    fn check(&mut self, expected: &[&str]) {
        let mut told = Vec::new();
        for event in self.scan.step().events {
            match event {
                SourceEvent::Updated(view) => {
                    let names: Vec<_> = view.objects.iter().map(|o| o.meta.name.as_str()).collect();
                    told.push(format!("{}: {}", view.origin, names.join(" ")));
                    told.extend(view.diagnostics.iter().map(|f| {
                        let text = f.to_string();
                        let root = self.root.path().display().to_string();
                        format!("! {}", text.replace(&root, "ROOT"))
                    }));
                }
                SourceEvent::Removed { origin } => told.push(format!("- {origin}")),
                SourceEvent::Synced => told.push("synced".to_owned()),
            }
        }
        assert_eq!(told, expected);
    }
}

#[test]
fn only_what_changed_is_told() {
    let mut world = World::new();
    world.check(&[]);
    world.write("b.yaml", &["b"]);
    world.write("a.yaml", &["a", "x"]);
    world.check(&["a.yaml: a x", "b.yaml: b"]);
    world.check(&[]);
    world.write("b.yaml", &["c"]);
    world.check(&["b.yaml: c"]);
    fs::rename(world.at("b.yaml"), world.at("c.yaml")).unwrap();
    world.check(&["- b.yaml", "c.yaml: c"]);
    world.write("c.yaml", &[]);
    world.check(&[
        "c.yaml: c",
        "! Warning [FWY0001] (c.yaml) the file is empty: remove the file, \
        or write a comment into it, if it is to hold no objects; until then the file's last good \
        version serves",
    ]);
    fs::remove_file(world.at("c.yaml")).unwrap();
    world.check(&["- c.yaml"]);
}

#[test]
fn a_write_under_the_same_stamp_is_seen() {
    let mut world = World::new();
    for round in 0..50 {
        let name = format!("s{round:02}");
        world.write("a.yaml", &[&name]);
        world.check(&[&format!("a.yaml: {name}")]);
    }
}

#[test]
fn what_cannot_be_read_keeps_its_last_good_version() {
    let mut world = World::new();
    world.write("a.yaml", &["a"]);
    world.check(&["a.yaml: a"]);
    fs::remove_file(world.at("a.yaml")).unwrap();
    symlink("nowhere", world.at("a.yaml")).unwrap();
    world.check(&[
        "a.yaml: a",
        "! Error [FWY0005] (a.yaml) cannot be read (No such file or \
        directory (os error 2)): make it readable; until then its last good version serves",
    ]);
    world.check(&[]);
    fs::remove_file(world.at("a.yaml")).unwrap();
    world.write("a.yaml", &["a"]);
    world.check(&["a.yaml: a"]);
    fs::write(world.at("a.yaml"), "kind: [").unwrap();
    world.check(&[
        "a.yaml: a",
        "! Error [FWY0001] (a.yaml:1) unclosed bracket '[': correct the \
        syntax; until then the file's last good version serves",
    ]);
    fs::write(world.at("a.yaml"), "# all gone\n").unwrap();
    world.check(&["a.yaml: "]);
}

#[test]
fn a_vanished_directory_takes_nothing_with_it() {
    let mut world = World::new();
    fs::create_dir(world.at("sub")).unwrap();
    world.write("sub/a.yaml", &["a"]);
    world.check(&["sub/a.yaml: a"]);
    let aside = world.root.path().with_extension("aside");
    fs::rename(world.root.path(), &aside).unwrap();
    world.check(&[
        ": ",
        "! Error [FWY0005] (ROOT) the directory cannot be read (No such file or \
        directory (os error 2)): bring it back; until then all that was read from it serves",
    ]);
    world.check(&[]);
    fs::rename(&aside, world.root.path()).unwrap();
    world.check(&[": "]);
    fs::remove_dir_all(world.at("sub")).unwrap();
    world.check(&["- sub/a.yaml"]);
}
