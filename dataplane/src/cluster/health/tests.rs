use super::*;
use crate::region::{Region, Table};
use fairway_shared::id::WorkerSlot;

const HOSTS: usize = 10;
const WORKERS: u16 = 3;

fn policy() -> OutlierPolicy {
    OutlierPolicy {
        consecutive_errors: Some(3),
        consecutive_gateway_errors: Some(2),
        consecutive_local_failures: None,
        interval_ms: 1_000,
        base_ejection_ms: 2_000,
        max_ejection_pct: 30,
        error_statuses: vec![],
    }
}

/// One worker's sight of the cluster.
struct Worker {
    outliers: Outliers,
    hosts: Vec<Rc<Host>>,
}

fn pod() -> Vec<Worker> {
    let region = Region::create(WORKERS).unwrap();
    let worker = |slot| {
        let region = Region::open(region.share().unwrap(), WORKERS, WorkerSlot(slot)).unwrap();
        let cell = Rc::new(region.claim(Table::Clusters, 1).unwrap());
        let host = |index: usize| {
            let host = Host::new(([10, 0, 0, 1], index as u16 + 1).into());
            let cell = region.claim(Table::Hosts, 100 + index as u64).unwrap();
            *host.health.borrow_mut() = Some(HostHealth::new(cell));
            Rc::new(host)
        };
        let hosts = (0..HOSTS).map(host).collect();
        Worker { outliers: Outliers::new(policy(), cell), hosts }
    };
    (0..WORKERS).map(worker).collect()
}

fn ejected(worker: &Worker) -> Vec<bool> {
    let one = |host: &Rc<Host>| host.health.borrow().as_ref().unwrap().is_ejected();
    worker.hosts.iter().map(one).collect()
}

#[test]
fn failures_that_different_workers_see_add_up_and_all_know_the_ejection() {
    let workers = pod();
    let before = workers[2].outliers.changes();
    for (worker, expected) in [(0, false), (1, false), (2, true)] {
        let Worker { outliers, hosts } = &workers[worker];
        assert_eq!(outliers.note(&hosts[4], Outcome::Error, hosts, 50), expected);
    }
    for worker in &workers {
        assert_eq!(ejected(worker).iter().position(|ejected| *ejected), Some(4));
        assert_eq!(worker.outliers.changes(), before + 1);
    }
}

/// One host of the model: what the pod should know.
#[derive(Clone, Copy, Default)]
struct Model {
    errors: u32,
    gateway: u32,
    ejections: u64,
    ejected_at: Option<u64>,
}

/// A simple model of the whole pod: one list, no sharing.
fn model_note(all: &mut [Model], host: usize, outcome: Outcome, now: u64) {
    let one = &mut all[host];
    match outcome {
        Outcome::Success => (one.errors, one.gateway) = (0, 0),
        Outcome::Error => (one.errors, one.gateway) = (one.errors + 1, 0),
        _ => (one.errors, one.gateway) = (one.errors + 1, one.gateway + 1),
    }
    if one.errors >= 3 || one.gateway >= 2 {
        (one.errors, one.gateway) = (0, 0);
        let ejected = all.iter().filter(|one| one.ejected_at.is_some()).count();
        if all[host].ejected_at.is_none() && ejected < 3 {
            all[host].ejected_at = Some(now);
            all[host].ejections += 1;
        }
    }
}

fn model_sweep(all: &mut [Model], now: u64) {
    for one in all {
        match one.ejected_at {
            Some(at) if now - at >= (2_000 * one.ejections).min(300_000) => {
                *one = Model { ejections: one.ejections, ..Model::default() };
            }
            Some(_) => {}
            None => one.ejections = one.ejections.saturating_sub(1),
        }
    }
}

#[test]
fn a_random_walk_of_three_workers_agrees_with_a_simple_model() {
    for seed in 0..20 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (workers, mut model) = (pod(), [Model::default(); HOSTS]);
        let (mut now, mut swept) = (1, 0);
        for step in 0..3_000 {
            now += random.u64(..200);
            let worker = &workers[random.usize(..workers.len())];
            if random.u8(..10) == 0 {
                worker.outliers.sweep(&worker.hosts, now);
                if now >= swept + 1_000 {
                    if swept != 0 {
                        model_sweep(&mut model, now);
                    }
                    swept = now;
                }
            } else {
                let host = random.usize(..HOSTS);
                let outcome = match random.u8(..6) {
                    0 | 1 => Outcome::Success,
                    2 => Outcome::Error,
                    3 => Outcome::LocalFailure,
                    _ => Outcome::GatewayError,
                };
                worker.outliers.note(&worker.hosts[host], outcome, &worker.hosts, now);
                model_note(&mut model, host, outcome, now);
            }
            let expected: Vec<_> = model.iter().map(|one| one.ejected_at.is_some()).collect();
            for worker in &workers {
                assert_eq!(ejected(worker), expected, "seed {seed}, step {step}");
            }
        }
    }
}
