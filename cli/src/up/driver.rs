//! The loop of `up`: waits for news of the processes, signals and timers, asks [`Lifecycle`] what
//! to do, does it, and keeps `instance.json` current. Decides nothing by itself.

use std::process::ExitCode;
use std::time::Duration;

use fairway_shared::instance::Instance;
use nix::sys::signal::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::board::Board;
use super::lifecycle::{Effect, End, Event, Lifecycle, Millis, Policy, Process};
use super::process::{self, News, Running};
use super::{Setup, banner, commands, hint};
use crate::say;

/// News that wait for the loop; a process that has more to say waits.
const NEWS_MAX: usize = 64;
/// Over what the supervisor needs by its own flags before it is killed, in milliseconds.
const DRAIN_MARGIN_MS: Millis = 5_000;
/// A moment that never comes, for a timer that is not armed.
const NEVER: Duration = Duration::from_secs(86_400 * 365);

/// Runs the instance to its end.
pub(crate) async fn drive(setup: &Setup) -> ExitCode {
    let (mut stops, mut rotations) = match listen_for_signals() {
        Ok(both) => both,
        Err(error) => {
            say::problem(&format_args!("cannot listen for signals: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let (sender, mut news) = mpsc::channel(NEWS_MAX);
    let mut driver = Driver::new(setup, sender);
    driver.greet();
    driver.begin();
    loop {
        if let Some(code) = driver.exit {
            return ExitCode::from(code);
        }
        tokio::select! {
            Some(item) = news.recv() => driver.hear(item),
            Some(()) = stops.recv() => driver.take(Event::StopAsked),
            Some(()) = rotations.recv() => driver.signal(Process::Supervisor, Signal::SIGUSR1),
            () = sleep_until(driver.wake) => driver.tick(),
        }
    }
}

struct Driver<'a> {
    setup: &'a Setup,
    policy: Policy,
    started: Instant,
    lifecycle: Lifecycle,
    board: Board,
    control: Option<Running>,
    supervisor: Option<Running>,
    news: mpsc::Sender<News>,
    /// Timers asked for and not yet due.
    timers: Vec<Instant>,
    /// The first of them.
    wake: Instant,
    written: Option<Instance>,
    exit: Option<u8>,
}

impl<'a> Driver<'a> {
    fn new(setup: &'a Setup, news: mpsc::Sender<News>) -> Self {
        let (started, policy) = (Instant::now(), policy(setup));
        Self {
            setup,
            policy,
            started,
            lifecycle: Lifecycle::begin(0, &policy).0,
            board: Board::default(),
            control: None,
            supervisor: None,
            news,
            timers: Vec::new(),
            wake: started + NEVER,
            written: None,
            exit: None,
        }
    }

    fn greet(&self) {
        if !self.setup.options.quiet {
            let (config, dir) = (self.setup.config.display(), self.setup.dir.path().display());
            say::line(&format_args!("serving {config}, instance directory {dir}"));
        }
    }

    fn begin(&mut self) {
        let (lifecycle, effects) = Lifecycle::begin(0, &self.policy);
        self.lifecycle = lifecycle;
        self.carry_out(effects);
    }

    fn now(&self) -> Millis {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(Millis::MAX)
    }

    fn take(&mut self, event: Event) {
        let effects = self.lifecycle.step(event, self.now(), &self.policy);
        self.carry_out(effects);
        self.publish();
    }

    fn tick(&mut self) {
        let now = Instant::now();
        self.timers.retain(|at| *at > now);
        self.rearm();
        self.take(Event::Tick);
    }

    fn rearm(&mut self) {
        self.wake = self.timers.iter().min().copied().unwrap_or(self.started + NEVER);
    }

    fn hear(&mut self, news: News) {
        match news {
            News::Line { process, pid, text } if self.is_current(process, pid) => {
                self.read(process, &text);
            }
            News::Exited { process, pid, end } if self.is_current(process, pid) => {
                *self.slot(process) = None;
                self.mark(process, None);
                self.take(Event::Exited(process, end));
            }
            News::Line { .. } | News::Exited { .. } => {}
        }
    }

    fn read(&mut self, process: Process, text: &str) {
        let event = match process {
            Process::Control => serde_json::from_str(text).map(|status| {
                self.board.control_said(status);
                Event::ControlReported
            }),
            Process::Supervisor => serde_json::from_str(text).map(|status| {
                self.board.supervisor_said(status);
                Event::SupervisorReported { ready: self.board.instance().ready }
            }),
        };
        match event {
            Ok(event) => self.take(event),
            Err(error) => {
                say::problem(&format_args!("status line of {process:?} is not readable: {error}"));
            }
        }
    }

    fn is_current(&mut self, process: Process, pid: u32) -> bool {
        self.slot(process).as_ref().is_some_and(|running| running.pid == pid)
    }

    fn slot(&mut self, process: Process) -> &mut Option<Running> {
        match process {
            Process::Control => &mut self.control,
            Process::Supervisor => &mut self.supervisor,
        }
    }

    fn mark(&mut self, process: Process, pid: Option<u32>) {
        match process {
            Process::Control => self.board.control_is(pid),
            Process::Supervisor => self.board.supervisor_is(pid),
        }
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Start(process) => self.start(process),
                Effect::Stop(process) => self.signal(process, Signal::SIGTERM),
                Effect::Kill(process) => self.signal(process, Signal::SIGKILL),
                Effect::Announce => self.announce(),
                Effect::ExplainDelay => say::problem(&banner::delay(&self.board.instance())),
                Effect::Report(process, end, next) => {
                    say::problem(&banner::ended(process, end, next));
                }
                Effect::WakeAt(at) => {
                    self.timers.push(self.started + Duration::from_millis(at));
                    self.rearm();
                }
                Effect::Exit(code) => self.exit = Some(code),
            }
        }
    }

    fn start(&mut self, process: Process) {
        let command = match process {
            Process::Control => commands::control(self.setup, self.board.control()),
            Process::Supervisor => commands::supervisor(self.setup, self.board.control()),
        };
        match process::start(process, command, &self.news) {
            Ok(running) => {
                self.mark(process, Some(running.pid));
                *self.slot(process) = Some(running);
            }
            Err(error) => {
                say::problem(&format_args!("cannot start {process:?}: {error}"));
                self.take(Event::Exited(process, End::NotStarted));
            }
        }
    }

    fn signal(&mut self, process: Process, signal: Signal) {
        if let Some(running) = self.slot(process) {
            running.signal(signal);
        }
    }

    /// In a task of its own, since it asks control which host to show.
    fn announce(&self) {
        if self.setup.options.quiet {
            return;
        }
        let (instance, dir) = (self.board.instance(), self.setup.dir.path().to_owned());
        let tip = self.setup.tip.clone();
        tokio::spawn(async move {
            let hint = hint::find(&instance.control.debug).await;
            for line in banner::ready(&instance, hint.as_ref(), &dir) {
                say::line(&line);
            }
            if let Some(tip) = tip {
                say::line(&tip);
            }
        });
    }

    fn publish(&mut self) {
        let instance = self.board.instance();
        if self.written.as_ref() == Some(&instance) {
            return;
        }
        match self.setup.dir.write(&instance) {
            Ok(()) => self.written = Some(instance),
            Err(error) => say::problem(&format_args!("cannot write instance.json: {error}")),
        }
    }
}

fn policy(setup: &Setup) -> Policy {
    let options = &setup.options;
    let drain = options.shutdown_grace + options.drain_duration;
    Policy {
        first_restart_ms: 1_000,
        backoff_min_ms: 100,
        backoff_max_ms: 10_000,
        healthy_ms: 60_000,
        slow_start_ms: 10_000,
        drain_ms: u64::try_from(drain.as_millis()).unwrap_or(Millis::MAX / 2) + DRAIN_MARGIN_MS,
        control_stop_ms: 5_000,
        hurry_ms: 500,
    }
}

/// One item for each SIGINT, SIGTERM or SIGHUP, and one for each SIGUSR1.
fn listen_for_signals() -> std::io::Result<(mpsc::Receiver<()>, mpsc::Receiver<()>)> {
    let ends = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    Ok((signals(&ends)?, signals(&[SignalKind::user_defined1()])?))
}

fn signals(kinds: &[SignalKind]) -> std::io::Result<mpsc::Receiver<()>> {
    let (sender, receiver) = mpsc::channel(4);
    for kind in kinds {
        let (mut signals, sender) = (signal(*kind)?, sender.clone());
        tokio::spawn(async move {
            while signals.recv().await.is_some() && sender.send(()).await.is_ok() {}
        });
    }
    Ok(receiver)
}
