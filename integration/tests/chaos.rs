//! Everything dies, in an order that a seed decides, under load: nothing is refused, and only what
//! a dead worker held breaks.
//!
//! `FAIRWAY_CHAOS_SEED` plays another order; `FAIRWAY_SOAK_SECONDS` makes the last test a soak.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fairway_integration::client::get_once;
use fairway_integration::dk_shop::DkShop;
use fairway_integration::load::{Load, Plan, expect_failures_only_on, expect_no_failure};
use fairway_integration::manifests::{DK_SHOP, DK_SHOP_HOST, dk_shop_on_v2};
use fairway_integration::world::is_serving;
use fairway_integration::{process, wait};
use fairway_shared::instance::{Source, SupervisorStatus, WorkerState};
use nix::sys::signal::Signal::{SIGKILL, SIGSTOP, SIGTERM};

/// The binary under test.
const FAIRWAY: &str = env!("CARGO_BIN_EXE_fairway-tested");

/// Small numbers in an order that depends on nothing but the seed (SplitMix64).
struct Dice(u64);

impl Dice {
    fn new() -> Self {
        let seed = number_from("FAIRWAY_CHAOS_SEED").unwrap_or(20_190_807);
        println!("FAIRWAY_CHAOS_SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ (mixed >> 27)) % limit
    }
}

fn number_from(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is not a number")))
}

/// Kills the process of a slot, if it has one, and gives the clients' ports that it held.
fn kill(shop: &DkShop, slot: usize) -> BTreeSet<u16> {
    let instance = shop.world.instance().expect("a running instance has one");
    let Some(victim) = instance.workers[slot].pid.filter(|pid| process::is_alive(*pid)) else {
        return BTreeSet::new();
    };
    process::signal_if_there(victim, SIGSTOP);
    let held = process::client_ports(victim, shop.address.port());
    process::signal_if_there(victim, SIGKILL);
    held
}

async fn all_serve(shop: &mut DkShop) {
    shop.world.when("served by all", |i| i.workers.iter().all(|w| is_serving(w, 1))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_workers_killed_at_once_refuse_nobody() {
    let mut shop = DkShop::start(FAIRWAY, 3, "").await;
    let kept = Load::start(shop.plan(24)).await;
    let short = Load::start(Plan { is_short: true, ..shop.plan(8) }).await;
    let held: BTreeSet<u16> = (0..3).flat_map(|slot| kill(&shop, slot)).collect();
    kept.answers(5).await;
    short.answers(5).await;
    all_serve(&mut shop).await;
    expect_failures_only_on(&kept.stop().await, &held);
    expect_failures_only_on(&short.stop().await, &held);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_and_control_die_while_the_configuration_changes() {
    const TURNS: u64 = 14;
    let mut dice = Dice::new();
    let mut shop = DkShop::start(FAIRWAY, 3, "").await;
    let load = Load::start(shop.plan(16)).await;
    let mut held = BTreeSet::new();
    for turn in 0..TURNS {
        match dice.below(4) {
            0 => shop.world.write("dk-shop.yaml", &dk_shop_on_v2()),
            1 => shop.world.write("dk-shop.yaml", DK_SHOP),
            2 => held.extend(kill(&shop, dice.below(3) as usize)),
            _ => {
                let control = shop.world.instance().and_then(|instance| instance.control.pid);
                control.into_iter().for_each(|pid| process::signal_if_there(pid, SIGKILL));
            }
        }
        load.answers(1 + dice.below(4) + turn % 2).await;
    }
    shop.world.write("dk-shop.yaml", &dk_shop_on_v2());
    load.all_from("v2").await;
    all_serve(&mut shop).await;
    expect_failures_only_on(&load.stop().await, &held);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_that_dies_in_the_middle_of_a_push_costs_nothing() {
    let mut dice = Dice::new();
    let mut shop = DkShop::start(FAIRWAY, 2, "").await;
    let load = Load::start(shop.plan(8)).await;
    for _ in 0..3 {
        let ready = shop.world.when("with control", |i| i.control.pid.is_some()).await;
        shop.world.write("dk-shop.yaml", &dk_shop_on_v2());
        // Somewhere between the file event and the last ack: the quiet time is 100 ms.
        tokio::time::sleep(Duration::from_millis(95 + dice.below(20))).await;
        process::signal_if_there(ready.control.pid.expect("waited for it"), SIGKILL);
        shop.world
            .when("with another control", |i| {
                i.control.pid.is_some_and(|pid| Some(pid) != ready.control.pid)
            })
            .await;
        load.all_from("v2").await;
        shop.world.write("dk-shop.yaml", DK_SHOP);
        load.all_from("v1").await;
    }
    expect_no_failure(&load.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_last_good_is_named_and_ignored() {
    let mut shop = DkShop::start(FAIRWAY, 2, "").await;
    let before = shop.world.when("ready", |i| i.ready && i.control.pid.is_some()).await;
    process::signal(before.control.pid.expect("waited for it"), SIGKILL);
    let away = shop.world.config().with_file_name("away");
    fs::rename(shop.world.config(), &away).expect("it is there");
    shop.world.when("without control", |i| i.control.pid.is_none()).await;
    let file = shop.world.instance_dir().join("last-good");
    let mut bytes = fs::read(&file).expect("it was written");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&file, bytes).expect("it is ours");

    kill(&shop, 0);
    shop.world.logged("is damaged: its checksum does not match: ignored").await;
    for _ in 0..20 {
        get_once(shop.address, DK_SHOP_HOST, "/").await.expect_status(200);
    }
    let now = shop.world.instance().expect("it runs");
    assert_eq!((now.workers[0].restarts, now.workers[0].state), (1, WorkerState::Starting));
    fs::rename(&away, shop.world.config()).expect("it was moved away");
    all_serve(&mut shop).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_takes_nothing_costs_only_the_last_good_file() {
    let shop = DkShop::start(FAIRWAY, 2, "").await;
    let file = shop.world.instance_dir().join("last-good");
    wait::until("last-good", async || fs::exists(&file).unwrap().then_some(())).await;
    // What cannot be replaced by a rename fails as a full disk does, for root too.
    // The other worker may write it once more in between.
    wait::until("a directory in its place", async || {
        fs::remove_file(&file).and_then(|()| fs::create_dir(&file)).ok()
    })
    .await;
    let load = Load::start(shop.plan(8)).await;
    shop.world.write("dk-shop.yaml", &dk_shop_on_v2());
    load.all_from("v2").await;
    shop.world.logged("a restart without control would serve an older snapshot").await;
    expect_no_failure(&load.stop().await);
    assert!(shop.world.instance().expect("it runs").snapshot.accepted);
}

/// A data plane by itself, as in a container of its own, and what it says of itself.
struct Alone {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Alone {
    fn start(shop: &DkShop) -> Self {
        let words = "--workers 2 --bind 127.0.0.1 --port-map 80:0 --admin-port 0 --status-port 0 \
                     --metrics-port 0 --status-address 127.0.0.1 --shutdown-grace 0s --status-fd 1";
        let mut child = Command::new(FAIRWAY)
            .arg("dataplane")
            .args(words.split_whitespace())
            .arg("--instance-dir")
            .arg(shop.world.instance_dir())
            .arg("--control-socket")
            .arg(shop.world.instance_dir().join("nobody.sock"))
            .stdout(Stdio::piped())
            .spawn()
            .expect("the data plane starts");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        Self { child, lines }
    }

    fn when_ready(&mut self) -> SupervisorStatus {
        for line in &mut self.lines {
            let status = line.expect("lines are text");
            let status: SupervisorStatus = serde_json::from_str(&status).expect("a status line");
            if status.ready && status.listeners.iter().any(|l| !l.address.is_empty()) {
                return status;
            }
        }
        panic!("the data plane ended before it was ready");
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        process::signal_if_there(self.child.id(), SIGTERM);
        drop(self.child.wait());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_plane_that_starts_without_control_serves_the_last_good_snapshot() {
    let mut shop = DkShop::start(FAIRWAY, 2, "").await;
    let file = shop.world.instance_dir().join("last-good");
    wait::until("last-good", async || fs::exists(&file).unwrap().then_some(())).await;
    assert_eq!(shop.world.stop().await.code(), Some(0));
    let mut alone = Alone::start(&shop);
    let (alone, status) = tokio::task::spawn_blocking(move || {
        let status = alone.when_ready();
        (alone, status)
    })
    .await
    .unwrap();
    assert_eq!(status.snapshot.source, Source::LastGood);
    let address = status.listeners[0].address.parse().expect("an address");
    get_once(address, DK_SHOP_HOST, "/").await.expect_status(200);
    drop(alone);
}

/// Resident memory of a process, in KiB.
fn resident_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Longer than the longest wait between two restarts of a slot.
const BACK_WITHIN: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_soak_of_kills_refuses_nobody_and_its_memory_is_flat() {
    let soak = Duration::from_secs(number_from("FAIRWAY_SOAK_SECONDS").unwrap_or(4));
    let (mut dice, started) = (Dice::new(), Instant::now());
    let mut shop = DkShop::start(FAIRWAY, 2, "").await;
    let supervisor = shop.world.instance().and_then(|i| i.supervisor.pid).expect("it is ready");
    let load = Load::start(shop.plan(64)).await;
    let (mut held, mut kills, mut back) = (BTreeSet::new(), 0_u32, Vec::new());
    let mut memory = Vec::new();
    while started.elapsed() < soak {
        let slot = dice.below(2) as usize;
        let before = shop.world.instance().expect("it runs").workers[slot].restarts;
        held.extend(kill(&shop, slot));
        let killed = Instant::now();
        shop.world
            .when_within(BACK_WITHIN, "back in its slot", |i| {
                i.workers[slot].restarts > before && is_serving(&i.workers[slot], 1)
            })
            .await;
        back.push(killed.elapsed());
        kills += 1;
        memory.push(resident_kib(supervisor));
        load.answers(1).await;
        tokio::time::sleep(Duration::from_millis(200 + dice.below(1_800))).await;
    }
    let report = load.stop().await;
    let answers: u64 = report.iter().flat_map(|tally| tally.ok.values()).sum();
    let broken: usize = report.iter().map(|tally| tally.broken.len()).sum();
    back.sort_unstable();
    let (half, worst) = (back[back.len() / 2], back[back.len() - 1]);
    println!("| {} s | {kills} kills | {answers} answers | {broken} broke |", soak.as_secs());
    println!("| slot serves again | median {half:?} | worst {worst:?} |");
    println!("| supervisor KiB | {} | {} |", memory[0], memory[memory.len() - 1]);
    expect_failures_only_on(&report, &held);
    // What every process leaves behind must not add up: 4 MiB cover the allocator's moods.
    assert!(memory[memory.len() - 1] <= memory[0] + 4_096, "{memory:?}");
}
