//! One running instance: `fairway up` with control, supervisor and workers, on a configuration of
//! its own. Whoever drops it ends all of its processes, and sees their log if a test failed.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use fairway_shared::instance::{Instance, WorkerState, WorkerStatus};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::client::get_once;
use crate::{process, wait};

/// How long the processes may take to end after a test before they are killed.
const END_PATIENCE: Duration = Duration::from_secs(5);

/// How to start.
#[derive(Debug, Clone)]
pub struct Setup {
    fairway: PathBuf,
    files: Vec<(String, String)>,
    flags: Vec<String>,
    workers: u16,
    is_demo: bool,
}

impl Setup {
    /// Two workers and an empty configuration. `fairway` is the binary.
    pub fn new(fairway: impl Into<PathBuf>) -> Self {
        let (files, flags) = (Vec::new(), Vec::new());
        Self { fairway: fairway.into(), files, flags, workers: 2, is_demo: false }
    }

    /// The built-in example in place of a configuration.
    #[must_use]
    pub fn demo(mut self) -> Self {
        self.is_demo = true;
        self
    }

    /// A file of the configuration.
    #[must_use]
    pub fn file(mut self, name: &str, text: impl Into<String>) -> Self {
        self.files.push((name.to_owned(), text.into()));
        self
    }

    /// Flags of `fairway up`, as they are typed.
    #[must_use]
    pub fn flags(mut self, flags: &str) -> Self {
        self.flags.extend(flags.split_whitespace().map(str::to_owned));
        self
    }

    /// How many workers.
    #[must_use]
    pub fn workers(mut self, workers: u16) -> Self {
        self.workers = workers;
        self
    }
}

/// A running instance.
#[derive(Debug)]
pub struct World {
    up: Child,
    root: TempDir,
}

impl World {
    /// Starts and waits until it is ready.
    ///
    /// # Panics
    /// If it is not in time.
    pub async fn start(setup: Setup) -> Self {
        let mut world = Self::launch(&setup);
        world.when("ready", |instance| instance.ready).await;
        world
    }

    /// Starts and does not wait.
    ///
    /// # Panics
    /// If the process cannot be started.
    pub fn launch(setup: &Setup) -> Self {
        let root = tempfile::Builder::new().prefix("fw").tempdir().expect("a temporary directory");
        fs::create_dir(root.path().join("config")).expect("a directory of its own");
        let log = File::create(root.path().join("log")).expect("a log file");
        for (name, text) in &setup.files {
            replace(&root.path().join("config"), name, text);
        }
        let config = root.path().join("config");
        let mut command = Command::new(&setup.fairway);
        match setup.is_demo {
            true => command.arg("demo"),
            false => command.arg("up").arg(config),
        };
        let up = command
            .arg("--instance-dir")
            .arg(root.path().join("i"))
            .args(["--workers", &setup.workers.to_string(), "--port-map", "80:0"])
            .args(FREE_PORTS.iter().flat_map(|flag| [*flag, "0"]))
            .args(["--drain-duration", "20s"])
            .args(&setup.flags)
            .env("RUST_BACKTRACE", "1")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("fairway starts");
        Self { up, root }
    }

    /// Pid of `fairway up`.
    pub fn pid(&self) -> u32 {
        self.up.id()
    }

    /// The directory that is served.
    pub fn config(&self) -> PathBuf {
        self.root.path().join("config")
    }

    /// The instance directory.
    pub fn instance_dir(&self) -> PathBuf {
        self.root.path().join("i")
    }

    /// Writes a file of the configuration, in one step.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write(&self, name: &str, text: &str) {
        replace(&self.config(), name, text);
    }

    /// Removes a file of the configuration.
    ///
    /// # Panics
    /// If there is none.
    pub fn remove(&self, name: &str) {
        fs::remove_file(self.config().join(name)).expect("a file of the configuration");
    }

    /// All that the processes have printed so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.root.path().join("log")).unwrap_or_default()
    }

    /// `instance.json`, if there is one.
    ///
    /// # Panics
    /// If it is not whole: it is replaced in one step.
    pub fn instance(&self) -> Option<Instance> {
        let text = fs::read(self.instance_dir().join("instance.json")).ok()?;
        Some(serde_json::from_slice(&text).expect("instance.json is whole"))
    }

    /// Waits until `instance.json` is as wanted.
    ///
    /// # Panics
    /// At the deadline, or if `fairway up` ends.
    pub async fn when(&mut self, what: &str, is_so: impl Fn(&Instance) -> bool) -> Instance {
        self.when_within(wait::PATIENCE, what, is_so).await
    }

    /// Waits at most that long until `instance.json` is as wanted.
    ///
    /// # Panics
    /// At the deadline, or if `fairway up` ends.
    pub async fn when_within(
        &mut self,
        deadline: Duration,
        what: &str,
        is_so: impl Fn(&Instance) -> bool,
    ) -> Instance {
        let started = Instant::now();
        let mut seen = None;
        while started.elapsed() < deadline {
            seen = self.instance();
            if let Some(instance) = seen.take_if(|instance| is_so(instance)) {
                return instance;
            }
            if let Some(status) = self.up.try_wait().expect("a child can be asked") {
                panic!("fairway up ended with {status} before it was {what}");
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("not {what} within {deadline:?}: {seen:#?}");
    }

    /// Waits until the log has this text.
    ///
    /// # Panics
    /// At the deadline.
    pub async fn logged(&self, text: &str) {
        let what = format!("`{text}` in the log");
        wait::until(&what, async || self.log().contains(text).then_some(())).await;
    }

    /// What the data plane measures, as a scrape sees it.
    ///
    /// # Panics
    /// If it does not answer.
    pub async fn metrics(&self) -> String {
        let metrics = self.instance().expect("it is ready").supervisor.metrics;
        let address = metrics.parse().expect("an address");
        let body = get_once(address, "localhost", "/stats/prometheus").await.body;
        String::from_utf8_lossy(&body).into_owned()
    }

    /// Where the listener with that resolved port answers; waits until it does.
    ///
    /// # Panics
    /// If there is none in time.
    pub async fn listener(&mut self, port: u16) -> SocketAddr {
        let address = |instance: &Instance| {
            let listener = instance.listeners.iter().find(|listener| listener.port == port)?;
            listener.address.parse().ok()
        };
        let what = format!("listening on port {port}");
        let instance = self.when(&what, |instance| address(instance).is_some()).await;
        address(&instance).expect("it was there a moment ago")
    }

    /// Asks `fairway up` to end, once, and waits for it.
    ///
    /// # Panics
    /// If it does not end in time.
    pub async fn stop(&mut self) -> ExitStatus {
        process::signal(self.pid(), Signal::SIGTERM);
        self.ended().await
    }

    /// Waits for the end of `fairway up`.
    ///
    /// # Panics
    /// If it does not end in time.
    pub async fn ended(&mut self) -> ExitStatus {
        let up = &mut self.up;
        wait::until("the end of `fairway up`", async || up.try_wait().expect("a child")).await
    }

    fn end(&mut self) {
        let started = Instant::now();
        // The second one says not to wait for what runs.
        for _ in 0..2 {
            if matches!(self.up.try_wait(), Ok(None)) {
                process::signal(self.pid(), Signal::SIGTERM);
            }
        }
        while matches!(self.up.try_wait(), Ok(None)) {
            if started.elapsed() > END_PATIENCE {
                drop(self.up.kill());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.end();
        let log = self.log();
        if std::thread::panicking() {
            eprintln!("---- log of the instance ----\n{log}---- end of the log ----");
        } else {
            assert!(!log.contains("panicked at"), "a process panicked:\n{log}");
        }
    }
}

const FREE_PORTS: [&str; 6] = [
    "--grpc-port",
    "--debug-port",
    "--monitoring-port",
    "--admin-port",
    "--status-port",
    "--metrics-port",
];

/// The pids of all processes that `instance.json` names.
pub fn pids(instance: &Instance) -> Vec<u32> {
    let workers = instance.workers.iter().map(|worker| worker.pid);
    [instance.control.pid, instance.supervisor.pid].into_iter().chain(workers).flatten().collect()
}

/// The worker serves that snapshot or a later one.
pub fn is_serving(worker: &WorkerStatus, version: u64) -> bool {
    worker.state == WorkerState::Ready && worker.pid.is_some() && worker.snapshot >= version
}

fn replace(dir: &Path, name: &str, text: &str) {
    let temporary = dir.join(format!(".{name}.new"));
    fs::write(&temporary, text).expect("the configuration is writable");
    fs::rename(temporary, dir.join(name)).expect("the configuration is writable");
}
