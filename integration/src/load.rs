//! A closed loop: N clients, each sends its next request when it has the answer to the last, on
//! one connection until it breaks, or on a new one each time. Failures are counted by connection and by kind.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::client::{Http1, Reply, get};
use crate::upstream::NAME_HEADER;
use crate::wait::{self, PATIENCE};

/// What to ask, and how often at once.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Listener.
    pub address: SocketAddr,
    /// `Host`.
    pub host: &'static str,
    /// Clients, with one connection each at a time.
    pub connections: usize,
    /// A connection serves one request only.
    pub is_short: bool,
}

/// What became of one connection and those that took its place.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Answers 200, by the name of the upstream.
    pub ok: BTreeMap<String, u64>,
    /// The upstream of the last answer.
    pub last: String,
    /// Ports of this end, in order of use.
    pub local_ports: Vec<u16>,
    /// Connections refused: never acceptable.
    pub refused: u64,
    /// Connections that broke, by the port of this end.
    pub broken: Vec<u16>,
    /// Anything else, such as another status or no answer in time.
    pub other: Vec<String>,
}

impl Tally {
    fn ok_total(&self) -> u64 {
        self.ok.values().sum()
    }
}

/// A running load.
#[derive(Debug)]
pub struct Load {
    tallies: Arc<Vec<Mutex<Tally>>>,
    stop: Arc<AtomicBool>,
    tasks: JoinSet<()>,
}

impl Load {
    /// Starts, and waits until every connection has had an answer.
    ///
    /// # Panics
    /// If one has none.
    pub async fn start(plan: Plan) -> Self {
        let tallies: Arc<Vec<Mutex<Tally>>> =
            Arc::new((0..plan.connections).map(|_| Mutex::default()).collect());
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        for index in 0..plan.connections {
            let (plan, tallies, stop) = (plan.clone(), Arc::clone(&tallies), Arc::clone(&stop));
            tasks.spawn(async move { run(&plan, &tallies[index], &stop).await });
        }
        let load = Self { tallies, stop, tasks };
        load.every("an answer", |tally| tally.ok_total() > 0).await;
        load
    }

    /// Waits until every connection has had that many more answers.
    ///
    /// # Panics
    /// At the deadline.
    pub async fn answers(&self, more: u64) {
        let before: Vec<u64> = self.report().iter().map(Tally::ok_total).collect();
        wait::until(&format!("{more} more answers on each connection"), async || {
            let now = self.report();
            now.iter()
                .zip(&before)
                .all(|(now, before)| now.ok_total() >= before + more)
                .then_some(())
        })
        .await;
    }

    /// Waits until the last answer of every connection is from that upstream.
    ///
    /// # Panics
    /// At the deadline.
    pub async fn all_from(&self, upstream: &str) {
        self.every(&format!("answers from {upstream}"), |tally| tally.last == upstream).await;
    }

    /// Where each connection stands now.
    pub fn report(&self) -> Vec<Tally> {
        self.tallies.iter().map(|tally| locked(tally).clone()).collect()
    }

    /// Lets every connection finish its request.
    ///
    /// # Panics
    /// If one does not.
    pub async fn stop(mut self) -> Vec<Tally> {
        self.stop.store(true, Ordering::Relaxed);
        let all = async { while self.tasks.join_next().await.is_some() {} };
        timeout(PATIENCE, all).await.expect("the load ends with its last answers");
        self.report()
    }

    async fn every(&self, what: &str, is_so: impl Fn(&Tally) -> bool) {
        let what = format!("{what} on each connection");
        wait::until(&what, async || self.report().iter().all(&is_so).then_some(())).await;
    }
}

/// No request failed in any way.
///
/// # Panics
/// If one did.
pub fn expect_no_failure(report: &[Tally]) {
    expect_failures_only_on(report, &BTreeSet::new());
}

/// Nothing was refused or answered wrongly, and only connections from these ports broke.
///
/// # Panics
/// If it is otherwise.
pub fn expect_failures_only_on(report: &[Tally], ports: &BTreeSet<u16>) {
    for (index, tally) in report.iter().enumerate() {
        let is_fair = tally.refused == 0
            && tally.other.is_empty()
            && tally.broken.iter().all(|port| ports.contains(port));
        assert!(is_fair, "connection {index} may fail only from {ports:?}: {tally:?}");
    }
}

fn locked(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn run(plan: &Plan, tally: &Mutex<Tally>, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        match Http1::try_connect(plan.address).await {
            Ok(mut connection) => {
                locked(tally).local_ports.push(connection.local_port);
                while exchange(&mut connection, plan, tally).await && !plan.is_short {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                }
            }
            Err(error) => {
                note_connect_failure(&error, &mut locked(tally));
                tokio::task::yield_now().await;
            }
        }
    }
}

/// One request; false if the connection is of no more use.
async fn exchange(connection: &mut Http1, plan: &Plan, tally: &Mutex<Tally>) -> bool {
    let outcome = timeout(PATIENCE, connection.try_send(get(plan.host, "/"))).await;
    let mut tally = locked(tally);
    match outcome {
        Ok(Ok(reply)) => return note_reply(&reply, &mut tally),
        // hyper tells a parse error from a broken connection; only the second is the kernel's.
        Ok(Err(error)) if error.is_parse() => tally.other.push(error.to_string()),
        Ok(Err(_)) => tally.broken.push(connection.local_port),
        Err(_) => tally.other.push(format!("no answer in {PATIENCE:?}")),
    }
    false
}

/// True if the connection may be used again: the answer may ask to close it.
fn note_reply(reply: &Reply, tally: &mut Tally) -> bool {
    let name = reply.header(NAME_HEADER).to_owned();
    if reply.status.as_u16() == 200 {
        *tally.ok.entry(name.clone()).or_default() += 1;
        tally.last = name;
    } else {
        tally.other.push(format!("{} {:?}", reply.status, reply.body));
    }
    !reply.header("connection").eq_ignore_ascii_case("close")
}

fn note_connect_failure(error: &std::io::Error, tally: &mut Tally) {
    match error.kind() {
        ErrorKind::ConnectionRefused => tally.refused += 1,
        _ => tally.other.push(format!("connect: {error}")),
    }
}
