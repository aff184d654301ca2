use proptest::prelude::*;

use super::Process::{Control, Supervisor};
use super::*;

const POLICY: Policy = Policy {
    first_restart_ms: 1_000,
    backoff_min_ms: 100,
    backoff_max_ms: 10_000,
    healthy_ms: 60_000,
    slow_start_ms: 10_000,
    drain_ms: 50_000,
    control_stop_ms: 5_000,
    hurry_ms: 500,
};

const KILLED: End = End::Signal(9);

/// Feeds events with their times and returns the orders that the last of them gave.
fn check(events: &[(Millis, Event)], expected: &[Effect]) -> Lifecycle {
    let (mut life, mut effects) = Lifecycle::begin(0, &POLICY);
    for (now, event) in events {
        effects = life.step(*event, *now, &POLICY);
    }
    assert_eq!(effects, expected, "after {events:?}");
    life
}

const READY: [(Millis, Event); 2] =
    [(10, Event::ControlReported), (50, Event::SupervisorReported { ready: true })];

fn ready_then(more: &[(Millis, Event)]) -> Vec<(Millis, Event)> {
    READY.iter().chain(more).copied().collect()
}

#[test]
fn control_starts_first_and_the_supervisor_when_control_answers() {
    check(&[], &[Effect::Start(Control), Effect::WakeAt(10_000)]);
    check(&READY[..1], &[Effect::Start(Supervisor)]);
    check(&READY, &[Effect::Announce]);
    check(&ready_then(&[READY[1]]), &[]);
    check(&ready_then(&[READY[0]]), &[]);
}

#[test]
fn a_control_that_never_answered_ends_the_instance_with_its_own_code() {
    for (end, code) in [(End::Code(2), 2), (End::Code(1), 1)] {
        check(&[(5, Event::Exited(Control, end))], &[Effect::Exit(code)]);
    }
    for end in [KILLED, End::NotStarted, End::Code(0)] {
        let report = Effect::Report(Control, end, Next::GiveUp);
        check(&[(5, Event::Exited(Control, end))], &[report, Effect::Exit(1)]);
    }
}

#[test]
fn a_supervisor_that_never_answered_stops_control_and_has_told_why() {
    let stop = [Effect::Stop(Control), Effect::WakeAt(5_020)];
    let failed = (20, Event::Exited(Supervisor, End::Code(1)));
    check(&[READY[0], failed], &stop);
    let gone = (30, Event::Exited(Control, End::Code(0)));
    check(&[READY[0], failed, gone], &[Effect::Exit(1)]);
    let killed = (20, Event::Exited(Supervisor, KILLED));
    let report = Effect::Report(Supervisor, KILLED, Next::GiveUp);
    check(&[READY[0], killed], &[report, stop[0], stop[1]]);
}

#[test]
fn control_comes_back_after_a_second_then_with_doubling_waits_up_to_the_cap() {
    let (mut life, _) = Lifecycle::begin(0, &POLICY);
    life.step(Event::ControlReported, 0, &POLICY);
    let (mut now, mut waits) = (0, vec![]);
    for _ in 0..10 {
        let effects = life.step(Event::Exited(Control, KILLED), now, &POLICY);
        let [Effect::Report(Control, KILLED, Next::RestartIn(wait)), Effect::WakeAt(at)] =
            effects[..]
        else {
            panic!("wants a report and a timer: {effects:?}")
        };
        assert_eq!(at, now + wait);
        assert!(!life.step(Event::Tick, at - 1, &POLICY).contains(&Effect::Start(Control)));
        assert!(life.step(Event::Tick, at, &POLICY).contains(&Effect::Start(Control)));
        waits.push(wait);
        now = at;
    }
    assert_eq!(waits, [1_000, 100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]);
    let effects = life.step(Event::Exited(Control, KILLED), now + 60_000, &POLICY);
    assert_eq!(effects[0], Effect::Report(Control, KILLED, Next::RestartIn(1_000)));
}

#[test]
fn the_supervisor_drains_first_and_control_goes_last() {
    let stop = (100, Event::StopAsked);
    check(&ready_then(&[stop]), &[Effect::Stop(Supervisor), Effect::WakeAt(50_100)]);
    let drained = (900, Event::Exited(Supervisor, End::Code(0)));
    check(&ready_then(&[stop, drained]), &[Effect::Stop(Control), Effect::WakeAt(5_900)]);
    let gone = (950, Event::Exited(Control, End::Code(0)));
    check(&ready_then(&[stop, drained, gone]), &[Effect::Exit(0)]);
    // Control may be gone before; there is nothing left to stop then.
    check(&ready_then(&[stop, (200, gone.1), drained]), &[Effect::Exit(0)]);
    check(&ready_then(&[(60, gone.1), stop, drained]), &[Effect::Exit(0)]);
}

#[test]
fn whoever_outstays_the_deadline_is_killed() {
    let stop = (100, Event::StopAsked);
    check(&ready_then(&[stop, (50_099, Event::Tick)]), &[]);
    check(&ready_then(&[stop, (50_100, Event::Tick)]), &[Effect::Kill(Supervisor)]);
    let killed = (50_110, Event::Exited(Supervisor, KILLED));
    let control = (50_120, Event::Exited(Control, End::Code(0)));
    check(&ready_then(&[stop, killed, control]), &[Effect::Exit(1)]);
    check(&ready_then(&[stop, killed, (55_110, Event::Tick)]), &[Effect::Kill(Control)]);
}

#[test]
fn a_second_request_to_stop_does_not_wait() {
    let twice = [(100, Event::StopAsked), (200, Event::StopAsked)];
    check(&ready_then(&twice), &[Effect::Stop(Supervisor), Effect::WakeAt(700)]);
    let mut more = ready_then(&twice);
    more.push((700, Event::Tick));
    check(&more, &[Effect::Kill(Supervisor)]);
    more.push((710, Event::Exited(Supervisor, KILLED)));
    check(&more, &[Effect::Stop(Control), Effect::WakeAt(1_210)]);
    more.push((720, Event::Exited(Control, End::Code(0))));
    check(&more, &[Effect::Exit(1)]);
}

#[test]
fn a_supervisor_that_dies_takes_the_instance_with_it() {
    let died = (100, Event::Exited(Supervisor, KILLED));
    let report = Effect::Report(Supervisor, KILLED, Next::GiveUp);
    check(&ready_then(&[died]), &[report, Effect::Stop(Control), Effect::WakeAt(5_100)]);
    let gone = (120, Event::Exited(Control, End::Code(0)));
    check(&ready_then(&[died, gone]), &[Effect::Exit(1)]);
}

#[test]
fn a_slow_start_is_explained_once_and_a_ready_instance_never() {
    check(&[READY[0], (10_000, Event::Tick)], &[Effect::ExplainDelay]);
    check(&[READY[0], (10_000, Event::Tick), (10_001, Event::Tick)], &[]);
    check(&ready_then(&[(10_000, Event::Tick)]), &[]);
}

fn events() -> impl Strategy<Value = Event> {
    let end = prop_oneof![Just(End::Code(0)), Just(End::Code(2)), Just(KILLED)];
    prop_oneof![
        Just(Event::ControlReported),
        any::<bool>().prop_map(|ready| Event::SupervisorReported { ready }),
        end.clone().prop_map(|end| Event::Exited(Control, end)),
        end.prop_map(|end| Event::Exited(Supervisor, end)),
        Just(Event::StopAsked),
        Just(Event::Tick),
    ]
}

proptest! {
    /// A model of the processes: only one of a kind at a time, none left at the exit, and two
    /// requests to stop always bring the end.
    #[test]
    fn no_process_is_started_twice_or_left_behind(walk in prop::collection::vec((events(), 0..3_000_u64), 0..60)) {
        let (mut life, first) = Lifecycle::begin(0, &POLICY);
        let (mut now, mut running, mut exited) = (0, Vec::new(), None);
        let carry = |effects: Vec<Effect>, running: &mut Vec<Process>, exited: &mut Option<u8>| {
            for effect in effects {
                match effect {
                    Effect::Start(process) => {
                        assert!(!running.contains(&process), "{process:?} runs already");
                        running.push(process);
                    }
                    Effect::Stop(process) | Effect::Kill(process) => {
                        assert!(running.contains(&process), "{process:?} does not run");
                    }
                    Effect::Exit(code) => {
                        assert_eq!(*exited, None, "two exits");
                        assert!(running.is_empty(), "left behind: {running:?}");
                        *exited = Some(code);
                    }
                    _ => {}
                }
            }
        };
        carry(first, &mut running, &mut exited);
        let end = [(Event::StopAsked, 0), (Event::StopAsked, 0), (Event::Tick, 60_000)];
        for (event, passed) in walk.into_iter().chain(end) {
            now += passed;
            if let Event::Exited(process, _) = event {
                let Some(at) = running.iter().position(|p| *p == process) else { continue };
                running.remove(at);
            }
            carry(life.step(event, now, &POLICY), &mut running, &mut exited);
        }
        for process in [Supervisor, Control] {
            if let Some(at) = running.iter().position(|p| *p == process) {
                running.remove(at);
                carry(life.step(Event::Exited(process, KILLED), now, &POLICY), &mut running, &mut exited);
            }
        }
        prop_assert!(exited.is_some(), "never ends: {life:?}");
    }
}
