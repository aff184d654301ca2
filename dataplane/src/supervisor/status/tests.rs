//! What the board shows after each kind of news.

use super::*;
use SnapshotSource::{Control, LastGood};

fn board() -> Board {
    Board::new(SupervisorAddresses::default(), &[Some(0), Some(1)])
}

fn listener(port: u16, address: Option<&str>) -> BoundListener {
    BoundListener {
        port,
        gateway_ports: vec![port],
        addresses: address.into_iter().map(|address| address.parse().unwrap()).collect(),
        protocol: "HTTP".into(),
        gateways: vec!["shop/shop".into()],
        problem: address.is_none().then(|| format!("cannot listen on {port}")),
    }
}

fn apply(board: &mut Board, index: usize, version: u64, source: SnapshotSource) {
    let listeners = vec![listener(80, Some("127.0.0.1:8080"))];
    board.applied(index, SnapshotVersion(version), source, listeners);
}

#[test]
fn it_is_ready_once_every_slot_has_applied_and_stays_so_until_it_drains() {
    let mut board = board();
    let reason = |board: &Board| board.overview().not_ready;
    assert_eq!(reason(&board).as_deref(), Some("worker 0 has not applied a snapshot yet"));
    apply(&mut board, 0, 1, Control);
    assert_eq!(reason(&board).as_deref(), Some("worker 1 has not applied a snapshot yet"));
    board.ended(0, Exit::Code(1));
    apply(&mut board, 1, 1, LastGood);
    assert!(!board.status().ready, "worker 0 is gone again");
    apply(&mut board, 0, 1, Control);
    assert!(board.status().ready);
    board.ended(0, Exit::Code(1));
    board.connected(1, false);
    assert!(board.status().ready, "latched");
    board.draining();
    assert_eq!(reason(&board).as_deref(), Some("draining"));
    assert!(!board.status().ready);
}

#[test]
fn a_listener_that_cannot_be_bound_is_a_problem_and_does_not_hold_readiness() {
    let mut board = board();
    let both = vec![listener(80, None), listener(81, Some("127.0.0.1:81"))];
    for index in [0, 1] {
        board.applied(index, SnapshotVersion(1), Control, both.clone());
    }
    let overview = board.overview();
    assert_eq!(overview.not_ready, None);
    assert_eq!(overview.problems, ["cannot listen on 80"]);
    let shown: Vec<_> =
        overview.status.listeners.iter().map(|l| (l.port, &l.address[..])).collect();
    assert_eq!(shown, [(80, ""), (81, "127.0.0.1:81")]);
}

#[test]
fn a_restart_keeps_the_listeners_and_counts() {
    let mut board = board();
    board.started(0);
    apply(&mut board, 0, 4, Control);
    let slot = Slot::Waiting { until_ms: 0, crashes: 1 };
    board.ended(0, Exit::Signal("SIGSEGV"));
    board.moved(0, &slot);
    let status = board.status();
    let expected = WorkerStatus { cpu: Some(0), state: WorkerState::Waiting, ..Default::default() };
    assert_eq!(status.workers[0], expected);
    assert_eq!(status.listeners.len(), 1);
    assert_eq!(board.overview().last_exits, [Some("SIGSEGV".to_owned()), None]);
    board.started(0);
    assert_eq!(board.status().workers[0].restarts, 1);
}

#[test]
fn the_newest_version_is_not_accepted_while_any_worker_refuses_it() {
    let mut board = board();
    let snapshot = |board: &Board| board.status().snapshot;
    assert!(!snapshot(&board).accepted);
    apply(&mut board, 0, 1, Control);
    apply(&mut board, 1, 1, Control);
    assert!(snapshot(&board).accepted);
    board.refused(1, SnapshotVersion(2), "no".into());
    apply(&mut board, 0, 2, Control);
    let refused = snapshot(&board);
    assert_eq!((refused.version, refused.accepted), (2, false));
    assert_eq!(refused.reason.as_deref(), Some("no"));
    apply(&mut board, 1, 1, LastGood);
    assert_eq!(snapshot(&board).source, Source::LastGood);
    assert!(!snapshot(&board).accepted, "last-good is not what control published");
    apply(&mut board, 1, 3, Control);
    let accepted = snapshot(&board);
    assert_eq!((accepted.version, accepted.accepted, accepted.reason), (3, true, None));
    assert_eq!(accepted.source, Source::Control);
}
