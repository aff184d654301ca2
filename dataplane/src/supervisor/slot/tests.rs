//! The slot's table, case by case, and a random walk against a model of the driver.

use super::*;
use proptest::prelude::*;

const POLICY: Policy = Policy {
    start_ms: 10_000,
    stall_ms: 2_000,
    link_grace_ms: 1_000,
    stable_ms: 60_000,
    backoff_ms: 100,
    backoff_max_ms: 10_000,
};
const PID: Pid = Pid(7);
const STRANGER: Pid = Pid(8);

fn process() -> Process {
    Process { pid: PID, since_ms: 1_000, crashes: 3 }
}
fn starting() -> Slot {
    Slot::Starting { process: process(), heard_ms: 5_000 }
}
fn serving_slot() -> Slot {
    Slot::Serving { process: process(), heard_ms: 5_000 }
}
fn ending(kill_at_ms: Option<Millis>) -> Slot {
    Slot::Ending { process: process(), kill_at_ms }
}
fn draining(kill_at_ms: Option<Millis>) -> Slot {
    Slot::Draining { pid: PID, kill_at_ms }
}
fn waiting(until_ms: Millis, crashes: u32) -> Slot {
    Slot::Waiting { until_ms, crashes }
}

#[track_caller]
fn check(slot: Slot, event: Event, now_ms: Millis, expected: (Slot, &[Effect])) {
    let (next, effects) = step(slot, event, now_ms, &POLICY);
    assert_eq!((next, &effects[..]), expected, "{slot:?} and {event:?} at {now_ms}");
}

#[test]
fn a_process_is_started_when_its_time_has_come_and_not_before() {
    check(waiting(500, 1), Event::Tick, 499, (waiting(500, 1), &[]));
    check(waiting(500, 1), Event::Tick, 500, (waiting(500, 1), &[Effect::Spawn]));
    let process = Process { pid: PID, since_ms: 500, crashes: 1 };
    let started = Slot::Starting { process, heard_ms: 500 };
    check(waiting(500, 1), Event::Spawned(PID), 500, (started, &[Effect::Configure(PID)]));
    check(waiting(500, 1), Event::SpawnFailed, 500, (waiting(600, 2), &[]));
}

#[test]
fn a_worker_that_waits_for_control_lives_as_long_as_it_gives_signs_of_life() {
    let renewed = Slot::Starting { process: process(), heard_ms: 14_000 };
    check(starting(), Event::Heard(PID), 14_000, (renewed, &[]));
    check(starting(), Event::Tick, 14_999, (starting(), &[]));
    check(starting(), Event::Tick, 15_000, (ending(None), &[Effect::Kill(PID)]));
}

#[test]
fn a_serving_worker_that_falls_silent_is_killed() {
    let served = Slot::Serving { process: process(), heard_ms: 6_000 };
    check(starting(), Event::Applied(PID), 6_000, (served, &[]));
    check(serving_slot(), Event::Heard(PID), 6_000, (served, &[]));
    check(serving_slot(), Event::Tick, 6_999, (serving_slot(), &[]));
    check(serving_slot(), Event::Tick, 7_000, (ending(None), &[Effect::Kill(PID)]));
    check(ending(None), Event::Tick, 99_000, (ending(None), &[]));
}

#[test]
fn nobody_is_blamed_for_silence_while_the_supervisor_itself_stood_still() {
    let renewed = Slot::Serving { process: process(), heard_ms: 90_000 };
    check(serving_slot(), Event::Resumed, 90_000, (renewed, &[]));
    check(renewed, Event::Tick, 90_000, (renewed, &[]));
}

#[test]
fn a_lost_link_leaves_time_to_end_and_then_kills() {
    check(serving_slot(), Event::LinkLost(PID), 6_000, (ending(Some(7_000)), &[]));
    check(ending(Some(7_000)), Event::Exited(PID), 6_001, (waiting(6_401, 4), &[]));
    check(ending(Some(7_000)), Event::Tick, 7_000, (ending(None), &[Effect::Kill(PID)]));
    check(draining(Some(9_000)), Event::LinkLost(PID), 6_000, (draining(Some(9_000)), &[]));
}

#[test]
fn a_worker_that_does_not_read_is_killed() {
    check(serving_slot(), Event::Unresponsive(PID), 6_000, (ending(None), &[Effect::Kill(PID)]));
    check(
        draining(Some(9_000)),
        Event::Unresponsive(PID),
        6_000,
        (draining(None), &[Effect::Kill(PID)]),
    );
}

#[test]
fn news_of_another_process_changes_nothing_and_an_unasked_one_is_killed() {
    for slot in [starting(), serving_slot(), ending(None), draining(Some(9)), Slot::Retired] {
        for event in [
            Event::Heard(STRANGER),
            Event::Applied(STRANGER),
            Event::LinkLost(STRANGER),
            Event::Unresponsive(STRANGER),
            Event::Exited(STRANGER),
        ] {
            check(slot, event, 6_000, (slot, &[]));
        }
        check(slot, Event::Spawned(STRANGER), 6_000, (slot, &[Effect::Kill(STRANGER)]));
    }
}

#[test]
fn a_drained_slot_asks_waits_kills_and_retires() {
    let asked = Effect::Drain { pid: PID, until_ms: 50_000 };
    let drain = Event::Drain { until_ms: 50_000 };
    check(serving_slot(), drain, 6_000, (draining(Some(50_000)), &[asked]));
    check(starting(), drain, 6_000, (draining(Some(50_000)), &[asked]));
    check(ending(Some(7_000)), drain, 6_000, (draining(Some(7_000)), &[]));
    check(waiting(9_000, 2), drain, 6_000, (Slot::Retired, &[]));
    let running = draining(Some(50_000));
    check(running, Event::Drain { until_ms: 99_000 }, 6_000, (running, &[]));
    check(running, Event::Tick, 50_000, (draining(None), &[Effect::Kill(PID)]));
    check(running, Event::Exited(PID), 7_000, (Slot::Retired, &[]));
    check(running, Event::Stop, 7_000, (draining(None), &[Effect::Kill(PID)]));
}

#[test]
fn a_crash_loop_backs_off_to_the_cap_and_a_stable_process_starts_afresh() {
    let (mut slot, mut now_ms, mut waits) = (Slot::NEW, 0, vec![]);
    for pid in 1..=10 {
        (slot, _) = step(slot, Event::Spawned(Pid(pid)), now_ms, &POLICY);
        (slot, _) = step(slot, Event::Exited(Pid(pid)), now_ms, &POLICY);
        let until_ms = slot.next_wake_ms(&POLICY).unwrap();
        waits.push(until_ms - now_ms);
        now_ms = until_ms;
    }
    assert_eq!(waits, [0, 100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]);
    check(serving_slot(), Event::Exited(PID), 61_000, (waiting(61_000, 1), &[]));
    check(serving_slot(), Event::Exited(PID), 60_999, (waiting(61_399, 4), &[]));
}

/// What a driver can bring to a slot, with processes that end whenever they like.
#[derive(Debug, Clone, Copy)]
enum Move {
    Pass(u64),
    Wake,
    Hear,
    Apply,
    LoseLink,
    Jam,
    Exit,
    Resume,
    Drain(u64),
    Stop,
}

fn moves() -> impl Strategy<Value = Move> {
    prop_oneof![
        4 => (0..3_000_u64).prop_map(Move::Pass),
        6 => Just(Move::Wake),
        4 => Just(Move::Hear),
        3 => Just(Move::Apply),
        1 => Just(Move::LoseLink),
        1 => Just(Move::Jam),
        4 => Just(Move::Exit),
        1 => Just(Move::Resume),
        1 => (0..5_000_u64).prop_map(Move::Drain),
        1 => Just(Move::Stop),
    ]
}

/// The driver: at most one living process, and every effect carried out.
struct Model {
    slot: Slot,
    now_ms: Millis,
    alive: Option<Pid>,
    last_pid: u32,
    is_retiring: bool,
    spawn_fails: bool,
}

impl Model {
    fn bring(&mut self, event: Event) {
        let (slot, effects) = step(self.slot, event, self.now_ms, &POLICY);
        self.slot = slot;
        for effect in effects {
            match effect {
                Effect::Spawn => self.spawn(),
                Effect::Configure(pid) | Effect::Drain { pid, .. } | Effect::Kill(pid) => {
                    assert_eq!(Some(pid), self.alive, "an order to a process that is gone");
                }
            }
        }
    }

    fn spawn(&mut self) {
        assert_eq!(self.alive, None, "a second process in the slot");
        assert!(!self.is_retiring, "a process started in a slot that retires");
        self.spawn_fails = !self.spawn_fails;
        if self.spawn_fails {
            return self.bring(Event::SpawnFailed);
        }
        self.last_pid += 1;
        self.alive = Some(Pid(self.last_pid));
        self.bring(Event::Spawned(Pid(self.last_pid)));
    }

    fn play(&mut self, play: Move) {
        let current = self.alive.unwrap_or(Pid(self.last_pid));
        match play {
            Move::Pass(ms) => self.now_ms += ms,
            Move::Wake => {
                let wake_ms = self.slot.next_wake_ms(&POLICY).unwrap_or(self.now_ms);
                self.now_ms = self.now_ms.max(wake_ms);
                let before = self.slot;
                self.bring(Event::Tick);
                let is_idle = before == self.slot && before.next_wake_ms(&POLICY).is_some();
                assert!(!is_idle, "a wake-up that changes nothing would spin: {before:?}");
            }
            Move::Hear => self.bring(Event::Heard(current)),
            Move::Apply => self.bring(Event::Applied(current)),
            Move::LoseLink => self.bring(Event::LinkLost(current)),
            Move::Jam => self.bring(Event::Unresponsive(current)),
            Move::Exit => {
                if let Some(pid) = self.alive.take() {
                    self.bring(Event::Exited(pid));
                }
            }
            Move::Resume => self.bring(Event::Resumed),
            Move::Drain(ms) => {
                self.is_retiring = true;
                self.bring(Event::Drain { until_ms: self.now_ms + ms });
            }
            Move::Stop => {
                self.is_retiring = true;
                self.bring(Event::Stop);
            }
        }
    }

    fn check(&self) {
        assert_eq!(self.slot.pid(), self.alive, "slot and process table differ");
        match self.slot {
            Slot::Waiting { .. } | Slot::Starting { .. } | Slot::Serving { .. } => {
                assert!(self.slot.next_wake_ms(&POLICY).is_some(), "nothing would wake the slot");
            }
            Slot::Ending { .. } => assert!(!self.is_retiring),
            Slot::Draining { .. } | Slot::Retired => assert!(self.is_retiring),
        }
    }
}

proptest! {
    #[test]
    fn no_walk_leads_to_two_processes_or_to_a_slot_that_nothing_wakes(
        walk in proptest::collection::vec(moves(), 0..200)
    ) {
        let mut model = Model {
            slot: Slot::NEW,
            now_ms: 0,
            alive: None,
            last_pid: 0,
            is_retiring: false,
            spawn_fails: true,
        };
        for play in walk {
            model.play(play);
            model.check();
        }
    }
}
