//! Access logs: what a line says of a request, and that lines stay whole and files rotate.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use fairway_integration::client::{Http1, get, get_once, request};
use fairway_integration::dk_shop::DkShop;
use fairway_integration::load::Load;
use fairway_integration::manifests::DK_SHOP_HOST;
use fairway_integration::upstream::Reply;
use fairway_integration::{process, wait};
use http_body_util::Full;
use nix::sys::signal::Signal::SIGUSR1;
use tempfile::TempDir;

/// The binary under test.
const FAIRWAY: &str = env!("CARGO_BIN_EXE_fairway-tested");

/// An instance that logs to a file of its own.
async fn logging(workers: u16) -> (DkShop, TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("access.log");
    let flags = format!("--access-log {}", path.display());
    (DkShop::start(FAIRWAY, workers, &flags).await, dir, path)
}

/// The line that has this text, once it is there.
async fn line_with(path: &Path, text: &str) -> String {
    wait::until(&format!("a line with `{text}`"), async || {
        let log = fs::read_to_string(path).unwrap_or_default();
        log.lines().find(|line| line.contains(text)).map(str::to_owned)
    })
    .await
}

/// Columns: quoted ones may hold spaces.
fn columns(line: &str) -> Vec<String> {
    let (mut columns, mut column, mut quoted) = (Vec::new(), String::new(), false);
    for letter in line.chars() {
        match letter {
            '"' => quoted = !quoted,
            ' ' if !quoted => columns.push(std::mem::take(&mut column)),
            other => column.push(other),
        }
    }
    columns.push(column);
    columns
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_says_what_became_of_a_request() {
    let (shop, _dir, path) = logging(1).await;
    let mut client = Http1::connect(shop.address).await;
    let mut post =
        request(DK_SHOP_HOST, "POST /orders?n=1 | user-agent: a test | x-forwarded-for: 192.0.2.1");
    *post.body_mut() = Full::new(Bytes::from_static(b"hello"));
    shop.v1.reply_with(Reply { body: Bytes::from_static(b"answer"), ..Reply::default() });
    client.send(post).await.expect_status(200);
    let line = line_with(&path, "/orders").await;
    let columns = columns(&line);
    assert_eq!(columns.len(), 22, "{line}");
    let upstream = shop.v1.address().to_string();
    let listener = shop.address.to_string();
    let request_id = shop.v1.last().header("x-request-id");
    for (at, expected) in [
        (1, "POST /orders?n=1 HTTP/1.1"),
        (2, "200"),
        (3, "-"),
        (4, "via_upstream"),
        (5, "-"),
        (6, "-"),
        (7, "5"),
        (8, "6"),
        (11, "192.0.2.1,127.0.0.1"),
        (12, "a test"),
        (13, &request_id),
        (14, DK_SHOP_HOST),
        (15, &upstream),
        (16, "outbound|80|v1|user.dk-shop.svc.cluster.local"),
        (18, &listener),
        (20, "-"),
    ] {
        assert_eq!(columns[at], expected, "column {} of {line}", at + 1);
    }
    assert!(columns[0].starts_with("[20") && columns[0].ends_with("Z]"), "{line}");
    assert!(columns[17].starts_with("127.0.0.1:") && columns[17] != columns[15], "{line}");
    assert!(columns[19].starts_with("127.0.0.1:"), "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_carry_their_flags_and_details() {
    let (shop, _dir, path) = logging(1).await;
    get_once(shop.address, "nobody.example", "/lost").await.expect_status(404);
    let line = line_with(&path, "/lost").await;
    assert!(line.contains(" 404 NR route_not_found - \"-\" 0 0 "), "{line}");
    assert!(columns(&line)[13].len() == 36, "no request id in {line}");

    shop.v1.reply_with(Reply { hang_up: true, ..Reply::default() });
    get_once(shop.address, DK_SHOP_HOST, "/hung-up").await.expect_status(503);
    let line = line_with(&path, "/hung-up").await;
    let details = "upstream_reset_before_response_started{connection_termination}";
    assert!(line.contains(details) && columns(&line)[3].contains("UC"), "{line}");
    assert_eq!(columns(&line)[15], shop.v1.address().to_string(), "{line}");

    shop.v1.reply_with(Reply { delay: Duration::from_secs(60), ..Reply::default() });
    let (before, mut client) = (shop.v1.total(), Http1::connect(shop.address).await);
    let sending = tokio::spawn(async move { client.send(get(DK_SHOP_HOST, "/gone")).await });
    wait::until("the request upstream", async || (shop.v1.total() > before).then_some(())).await;
    sending.abort();
    let line = line_with(&path, "/gone").await;
    assert!(line.contains(" 0 DC downstream_remote_disconnect "), "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workers_write_whole_lines_and_a_rotation_loses_none() {
    let (shop, dir, path) = logging(2).await;
    let rotated = dir.path().join("access.log.1");
    let load = Load::start(shop.plan(8)).await;
    load.answers(50).await;
    fs::rename(&path, &rotated).expect("a log file");
    process::signal(shop.world.pid(), SIGUSR1);
    wait::until("a new file", async || path.exists().then_some(())).await;
    load.answers(50).await;
    let answered: u64 = load.stop().await.iter().flat_map(|tally| tally.ok.values()).sum();
    let both = || {
        let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
        read(&rotated) + &read(&path)
    };
    let what = "a line for every answer";
    wait::until(what, async || (both().lines().count() as u64 >= answered).then_some(())).await;
    let log = both();
    assert_eq!(log.lines().count() as u64, answered);
    let is_whole = |line: &str| line.starts_with('[') && columns(line).len() == 22;
    assert_eq!(log.lines().find(|line| !is_whole(line)), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_go_to_stdout_where_asked_for_and_the_last_ones_survive_the_end() {
    let mut shop = DkShop::start(FAIRWAY, 2, "--quiet --access-log -").await;
    get_once(shop.address, DK_SHOP_HOST, "/last-words").await.expect_status(200);
    assert!(shop.world.stop().await.success());
    assert!(shop.world.log().contains("\"GET /last-words HTTP/1.1\" 200 - via_upstream"));
}
