//! The supervisor with real processes and sockets: crashes, stalls, drains, and what it says.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod fake;
mod world;

use std::collections::BTreeSet;
use std::env;

use fairway_dataplane::supervisor::End;
use fairway_dataplane::supervisor::termination::Times;
use fairway_dataplane::sys::signal::TermSignal;
use fairway_shared::instance::WorkerState;
use world::{World, http, say, until};

const QUICK: Times = Times { grace_ms: 0, drain_ms: 60_000 };

/// Not a test of its own: the supervisors of this file execute this program for their workers,
/// and name this function.
#[test]
fn fake_worker_process() {
    if env::var_os(fake::ROLE_ENV).is_some() {
        fake::run();
    }
}

#[test]
fn a_crashed_worker_is_replaced_and_its_listener_refuses_nobody() {
    let world = World::start(2, fake::OBEYS, QUICK);
    let address = world.ready();
    let before: BTreeSet<_> = world.pids().into_iter().collect();
    assert_eq!(say(address, "crash"), "");
    for _ in 0..50 {
        assert_ne!(say(address, "who"), "", "a connection after the crash was lost");
    }
    let overview = until("restarted", || {
        let overview = world.overview();
        let is_ready = |state| state == WorkerState::Ready;
        let workers = &overview.status.workers;
        let restarts: u64 = workers.iter().map(|worker| worker.restarts).sum();
        (restarts == 1 && workers.iter().all(|w| is_ready(w.state))).then_some(overview)
    });
    let after: BTreeSet<_> = overview.status.workers.iter().map(|worker| worker.pid).collect();
    assert_eq!(before.intersection(&after).count(), 1);
    assert!(overview.last_exits.contains(&Some("SIGABRT".to_owned())), "{overview:?}");
    assert!(overview.status.ready, "latched");
    world.signal(TermSignal::Terminate);
    assert_eq!(world.end(), End::Drained);
}

#[test]
fn a_request_that_crashes_workers_is_named_and_quarantined_if_wanted() {
    let world = World::start_with(1, fake::OBEYS, QUICK, |settings| {
        settings.quarantine_after = Some(2);
    });
    let address = world.ready();
    for _ in 0..2 {
        assert_eq!(say(address, "crash"), "");
    }
    assert_eq!(say(address, "crash"), "quarantined\n");
    let (_, page) = http(world.admin, "GET", "/workers");
    assert!(page.contains("\"request\": \"GET fake /crash\""), "{page}");
    let (_, stats) = http(world.admin, "GET", "/stats");
    let crashes = "fairway_worker_crashes_total{slot=\"0\",cause=\"signal\"}: 2\n";
    assert!(stats.contains(crashes), "{stats}");
    world.signal(TermSignal::Terminate);
    assert_eq!(world.end(), End::Drained);
}

#[test]
fn a_worker_that_falls_silent_is_killed_and_replaced() {
    let world = World::start(1, fake::OBEYS, QUICK);
    let address = world.ready();
    let before = world.pids();
    assert_eq!(say(address, "stall"), "", "it never answers");
    assert_ne!(say(address, "who"), "", "its successor serves the same socket");
    assert_ne!(world.pids(), before);
    assert_eq!(world.overview().last_exits, [Some("SIGKILL".to_owned())]);
    world.signal(TermSignal::Terminate);
    assert_eq!(world.end(), End::Drained);
}

#[test]
fn the_figures_of_a_crashed_worker_are_not_lost() {
    let world = World::start(1, fake::OBEYS, QUICK);
    let address = world.ready();
    let requests = || {
        let (code, text) = http(world.admin, "GET", "/stats/prometheus");
        assert_eq!(code, 200, "{text}");
        let line = "istio_requests_total{response_code=\"200\"} ";
        let found = text.lines().find_map(|found| found.strip_prefix(line));
        found.map_or(0, |value| value.parse::<u64>().unwrap())
    };
    for _ in 0..3 {
        say(address, "who");
    }
    assert_eq!(requests(), 3, "asked for at the scrape");
    say(address, "crash");
    say(address, "who");
    until("the successor's figures are added", || (requests() == 4).then_some(()));
    let (_, stats) = http(world.admin, "GET", "/stats");
    assert!(stats.contains("fairway_worker_restarts_total{slot=\"0\"}: 1\n"), "{stats}");
    world.signal(TermSignal::Terminate);
    assert_eq!(world.end(), End::Drained);
}

#[test]
fn a_signal_ends_readiness_at_once_and_a_second_one_ends_everything() {
    let world = World::start(2, fake::OBEYS, Times { grace_ms: 600_000, drain_ms: 0 });
    let address = world.ready();
    assert_eq!(http(world.status, "GET", "/healthz/ready"), (200, "ready\n".to_owned()));
    world.signal(TermSignal::Terminate);
    let unready = (503, "not ready: draining\n".to_owned());
    assert_eq!(http(world.status, "GET", "/healthz/ready"), unready);
    assert_eq!(http(world.status, "GET", "/healthz/live").0, 200);
    assert_ne!(say(address, "who"), "", "accepting goes on during the grace");
    world.signal(TermSignal::Interrupt);
    assert_eq!(world.end(), End::Aborted(TermSignal::Interrupt));
}

#[test]
fn a_worker_that_does_not_finish_is_killed_at_the_deadline() {
    let world = World::start(2, fake::IGNORES_DRAIN, Times { grace_ms: 0, drain_ms: 300 });
    world.ready();
    world.signal(TermSignal::Terminate);
    assert_eq!(world.end(), End::Drained);
}

#[test]
fn listeners_can_be_drained_while_the_supervisor_stays() {
    let world = World::start(2, fake::OBEYS, QUICK);
    world.ready();
    assert_eq!(http(world.admin, "GET", "/drain_listeners").0, 405);
    assert_eq!(http(world.admin, "POST", "/drain_listeners").0, 200);
    until("no worker is left", || (world.pids() == [None, None]).then_some(()));
    assert_eq!(http(world.admin, "GET", "/ready"), (503, "DRAINING\n".to_owned()));
    let (_, workers) = http(world.admin, "GET", "/workers");
    assert!(workers.contains("\"lastExit\": \"exit code 0\""), "{workers}");
    assert_eq!(http(world.admin, "POST", "/quitquitquit").0, 200);
    assert_eq!(world.end(), End::Drained);
}
