//! What `up` does when something happens to its processes. Pure: no process, no clock, no print.
//!
//! Control starts first, the supervisor once control has said where it answers. From then on
//! control may come and go, and is started again after a while; the supervisor may only go when
//! told to, and control outlives it.

/// Milliseconds since `up` started.
pub(crate) type Millis = u64;

/// The processes of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Process {
    Control,
    Supervisor,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// Control has said where it answers.
    ControlReported,
    /// The supervisor has said how it is.
    SupervisorReported { ready: bool },
    /// The process is gone, or could not be started.
    Exited(Process, End),
    /// SIGINT, SIGTERM or SIGHUP.
    StopAsked,
    /// Time has passed.
    Tick,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Code(u8),
    Signal(i32),
    NotStarted,
}

/// Orders to the driver, carried out in sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    Start(Process),
    /// SIGTERM.
    Stop(Process),
    /// SIGKILL.
    Kill(Process),
    /// First readiness: tell how to reach it.
    Announce,
    /// Still not ready: tell what is missing.
    ExplainDelay,
    /// Unexpected: tell what ended, and what happens now.
    Report(Process, End, Next),
    WakeAt(Millis),
    Exit(u8),
}

/// What follows the end of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    RestartIn(Millis),
    GiveUp,
}

/// Times, all in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy {
    /// Wait before control's first restart.
    pub first_restart_ms: Millis,
    /// Wait before its second; doubles from there.
    pub backoff_min_ms: Millis,
    /// Longest wait.
    pub backoff_max_ms: Millis,
    /// Health after which the count of restarts starts anew.
    pub healthy_ms: Millis,
    /// When a start counts as slow.
    pub slow_start_ms: Millis,
    /// How long the supervisor may drain.
    pub drain_ms: Millis,
    /// How long control may take to stop.
    pub control_stop_ms: Millis,
    /// How long either may take once asked a second time.
    pub hurry_ms: Millis,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Control has not said yet where it answers.
    Starting,
    Serving,
    /// The supervisor finishes what runs.
    Draining {
        deadline: Millis,
    },
    /// The supervisor is gone; `code` is what `up` will exit with.
    StoppingControl {
        deadline: Millis,
        code: u8,
    },
    Over,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Control {
    Running { since: Millis },
    Waiting { until: Millis },
    Gone,
}

/// Where an instance is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lifecycle {
    phase: Phase,
    control: Control,
    /// Restarts of control since it was last healthy.
    restarts: u32,
    supervisor_reported: bool,
    announced: bool,
    delay_explained: bool,
    /// Set by the second request to stop.
    hurried: bool,
}

impl Lifecycle {
    /// A new instance, and the first orders.
    pub(crate) fn begin(now: Millis, policy: &Policy) -> (Self, Vec<Effect>) {
        let lifecycle = Self {
            phase: Phase::Starting,
            control: Control::Running { since: now },
            restarts: 0,
            supervisor_reported: false,
            announced: false,
            delay_explained: false,
            hurried: false,
        };
        let wake = Effect::WakeAt(now + policy.slow_start_ms);
        (lifecycle, vec![Effect::Start(Process::Control), wake])
    }

    /// Takes one event in and says what has to be done.
    pub(crate) fn step(&mut self, event: Event, now: Millis, policy: &Policy) -> Vec<Effect> {
        match event {
            Event::ControlReported if self.phase == Phase::Starting => {
                self.phase = Phase::Serving;
                vec![Effect::Start(Process::Supervisor)]
            }
            Event::SupervisorReported { ready } => {
                self.supervisor_reported = true;
                let is_first = ready && !self.announced && self.phase == Phase::Serving;
                self.announced |= is_first;
                if is_first { vec![Effect::Announce] } else { vec![] }
            }
            Event::ControlReported => vec![],
            Event::Exited(Process::Control, end) => self.control_ended(end, now, policy),
            Event::Exited(Process::Supervisor, end) => self.supervisor_ended(end, now, policy),
            Event::StopAsked => self.stop_asked(now, policy),
            Event::Tick => self.tick(now, policy),
        }
    }

    fn control_ended(&mut self, end: End, now: Millis, policy: &Policy) -> Vec<Effect> {
        let began = self.control;
        self.control = Control::Gone;
        match self.phase {
            Phase::Starting => {
                self.phase = Phase::Over;
                let mut effects = report_failed_start(Process::Control, end);
                effects.push(Effect::Exit(code_of_failure(end)));
                effects
            }
            Phase::Serving => {
                let healthy =
                    matches!(began, Control::Running { since } if now - since >= policy.healthy_ms);
                self.restarts = if healthy { 1 } else { self.restarts + 1 };
                let wait = restart_wait(self.restarts, policy);
                self.control = Control::Waiting { until: now + wait };
                let report = Effect::Report(Process::Control, end, Next::RestartIn(wait));
                vec![report, Effect::WakeAt(now + wait)]
            }
            Phase::Draining { .. } => vec![],
            Phase::StoppingControl { code, .. } => {
                self.phase = Phase::Over;
                vec![Effect::Exit(code)]
            }
            Phase::Over => vec![],
        }
    }

    fn supervisor_ended(&mut self, end: End, now: Millis, policy: &Policy) -> Vec<Effect> {
        match self.phase {
            Phase::Draining { .. } => {
                let code = u8::from(self.hurried || end != End::Code(0));
                self.stop_control(code, now, policy)
            }
            Phase::Serving => {
                let mut effects = match self.supervisor_reported {
                    true => vec![Effect::Report(Process::Supervisor, end, Next::GiveUp)],
                    false => report_failed_start(Process::Supervisor, end),
                };
                effects.extend(self.stop_control(code_of_failure(end), now, policy));
                effects
            }
            Phase::Starting | Phase::StoppingControl { .. } | Phase::Over => vec![],
        }
    }

    fn stop_asked(&mut self, now: Millis, policy: &Policy) -> Vec<Effect> {
        match self.phase {
            Phase::Starting => self.stop_control(0, now, policy),
            Phase::Serving => {
                let deadline = now + policy.drain_ms;
                self.phase = Phase::Draining { deadline };
                vec![Effect::Stop(Process::Supervisor), Effect::WakeAt(deadline)]
            }
            Phase::Draining { deadline } => {
                let deadline = deadline.min(now + policy.hurry_ms);
                self.phase = Phase::Draining { deadline };
                self.hurried = true;
                vec![Effect::Stop(Process::Supervisor), Effect::WakeAt(deadline)]
            }
            Phase::StoppingControl { deadline, code } => {
                let deadline = deadline.min(now + policy.hurry_ms);
                self.phase = Phase::StoppingControl { deadline, code };
                vec![Effect::Stop(Process::Control), Effect::WakeAt(deadline)]
            }
            Phase::Over => vec![],
        }
    }

    fn stop_control(&mut self, code: u8, now: Millis, policy: &Policy) -> Vec<Effect> {
        if !matches!(self.control, Control::Running { .. }) {
            self.phase = Phase::Over;
            return vec![Effect::Exit(code)];
        }
        let wait = if self.hurried { policy.hurry_ms } else { policy.control_stop_ms };
        self.phase = Phase::StoppingControl { deadline: now + wait, code };
        vec![Effect::Stop(Process::Control), Effect::WakeAt(now + wait)]
    }

    fn tick(&mut self, now: Millis, policy: &Policy) -> Vec<Effect> {
        let mut effects = Vec::new();
        match (self.phase, self.control) {
            (Phase::Serving, Control::Waiting { until }) if now >= until => {
                self.control = Control::Running { since: now };
                effects.push(Effect::Start(Process::Control));
            }
            (Phase::Draining { deadline }, _) if now >= deadline => {
                effects.push(Effect::Kill(Process::Supervisor));
            }
            (Phase::StoppingControl { deadline, .. }, _) if now >= deadline => {
                effects.push(Effect::Kill(Process::Control));
            }
            _ => {}
        }
        let is_starting = matches!(self.phase, Phase::Starting | Phase::Serving);
        if is_starting && !self.announced && !self.delay_explained && now >= policy.slow_start_ms {
            self.delay_explained = true;
            effects.push(Effect::ExplainDelay);
        }
        effects
    }
}

/// A wrong argument stays a wrong argument.
fn code_of_failure(end: End) -> u8 {
    if end == End::Code(crate::USAGE) { crate::USAGE } else { 1 }
}

/// Nothing, if the process has told by itself why it does not run.
fn report_failed_start(process: Process, end: End) -> Vec<Effect> {
    match end {
        End::Code(1 | crate::USAGE) => vec![],
        _ => vec![Effect::Report(process, end, Next::GiveUp)],
    }
}

/// Wait before the restart of that number, counted from 1.
fn restart_wait(number: u32, policy: &Policy) -> Millis {
    match number {
        0 | 1 => policy.first_restart_ms,
        // 2^20 times any wait is past every cap.
        n => (policy.backoff_min_ms << (n - 2).min(20)).min(policy.backoff_max_ms),
    }
}

#[cfg(test)]
#[path = "lifecycle/tests.rs"]
mod tests;
