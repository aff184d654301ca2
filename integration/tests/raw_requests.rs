//! Raw requests that have split proxies from their upstreams: none lets a second request through,
//! none is forwarded in a form that can be read in two ways, and the gateway serves on after each.
//!
//! What the gateway does is pinned by the table in `docs/security.md`. With other proxies in
//! `FAIRWAY_PEERS` (`NAME=HOST:PORT,…`, forwarding to `FAIRWAY_RAW_UPSTREAM`), as
//! `integration/peers/run` has them, the table gets their columns too; `FAIRWAY_BLESS=1` writes it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::{env, fs};

use fairway_integration::client::get_once;
use fairway_integration::mesh::Mesh;
use fairway_integration::raw::{Case, Recorder, ambiguities, ask, cases, shown};

/// The binary under test.
const FAIRWAY: &str = env!("CARGO_BIN_EXE_fairway-tested");
const CASES: &str = include_str!("../peers/raw_requests.txt");
const BEGIN: &str = "<!-- raw requests: begin -->\n";
const END: &str = "<!-- raw requests: end -->\n";
/// Characters of a request that the table shows.
const SHOWN_MAX: usize = 110;

/// What one proxy did with one case.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Outcome {
    said: String,
    reached: Vec<Vec<u8>>,
}

async fn play(case: &Case, proxy: SocketAddr, upstream: &Recorder) -> Outcome {
    upstream.take();
    let said = ask(proxy, &case.bytes).await;
    Outcome { said, reached: upstream.take() }
}

fn peers() -> BTreeMap<String, SocketAddr> {
    let listed = env::var("FAIRWAY_PEERS").unwrap_or_default();
    let pairs = listed.split(',').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, to)| (name.to_owned(), to.parse().expect("HOST:PORT"))).collect()
}

/// What goes into a cell about what reached the upstream: the request line and what frames it.
fn reached(outcome: &Outcome) -> String {
    let lines = outcome.reached.iter().map(|message| {
        let text = shown(message);
        let line = text.split("\\r\\n").next().unwrap_or_default().to_owned();
        let is_framing = |field: &&str| {
            let field = field.to_ascii_lowercase();
            ["content-length:", "transfer-encoding:", "host:"].iter().any(|n| field.starts_with(n))
        };
        let mut fields: Vec<&str> = text.split("\\r\\n").filter(is_framing).collect();
        fields.sort_unstable();
        let shown = std::iter::once(&*line).chain(fields).collect::<Vec<_>>().join(", ");
        shorten(&shown)
    });
    lines.map(|line| format!("`{line}`")).collect::<Vec<_>>().join(" and ")
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(SHOWN_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// The gateway's part of a line of the table: all that a run without other proxies can tell.
fn own_part(case: &Case, own: &Outcome) -> String {
    let request = cell(&shorten(&case.written));
    format!("| {} | `{request}` | {} | {} |", case.name, own.said, cell(&reached(own)))
}

fn committed() -> (PathBuf, String) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/security.md");
    let text = fs::read_to_string(&path).expect("the document is there");
    (path, text)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_raw_request_brings_a_second_one_and_each_answer_is_as_documented() {
    let given = env::var("FAIRWAY_RAW_UPSTREAM").ok();
    let address = given.as_deref().unwrap_or("127.0.0.1:0").parse().expect("HOST:PORT");
    let upstream = Recorder::start(address).await;
    let mesh = Mesh::default().service("u", "http", &[upstream.address()]).host_to("*", "u", "");
    let serving = mesh.start(FAIRWAY).await;
    let (peers, is_blessing) = (peers(), env::var("FAIRWAY_BLESS").is_ok());
    let (path, document) = committed();
    let (before, rest) = document.split_once(BEGIN).expect("the table begins");
    let (table, after) = rest.split_once(END).expect("the table ends");
    let (mut written, mut wrong, mut group) = (String::new(), Vec::new(), String::new());
    for case in cases(CASES) {
        if case.group != group {
            group.clone_from(&case.group);
            let names: Vec<&String> = peers.keys().collect();
            header(&mut written, &group, &names);
        }
        let own = play(&case, serving.address, &upstream).await;
        if own.reached.len() > case.upstream_max {
            wrong.push(format!("{}: reached the upstream: {}", case.name, reached(&own)));
        }
        for head in upstream.take_heads() {
            for what in ambiguities(&head) {
                wrong.push(format!("{}: forwards {what}: {}", case.name, shown(&head)));
            }
        }
        let honest = get_once(serving.address, "u.test", "/after").await;
        if honest.status != 200 || upstream.take().len() != 1 {
            wrong.push(format!("{}: an honest request gets {}", case.name, honest.status));
        }
        let own = own_part(&case, &own);
        if !is_blessing && !table.lines().any(|line| line.starts_with(&own)) {
            wrong.push(format!("{}: the table differs: {own}", case.name));
        }
        written.push_str(&own);
        for peer in peers.values() {
            let outcome = play(&case, *peer, &upstream).await;
            upstream.take_heads();
            let count = outcome.reached.len();
            write!(written, " {} ⇒ {count} |", outcome.said).expect("a string grows");
        }
        written.push('\n');
    }
    if is_blessing {
        let text = format!("{before}{BEGIN}{written}{END}{after}");
        fs::write(path, text).expect("the document can be written");
    }
    assert!(wrong.is_empty(), "{}\n(FAIRWAY_BLESS=1 with integration/peers/run)", wrong.join("\n"));
}

fn header(table: &mut String, group: &str, peers: &[&String]) {
    let names: String = peers.iter().map(|name| format!(" {name} |")).collect();
    let rules = "---|".repeat(peers.len());
    write!(
        table,
        "\n**{group}**\n\n| case | request | Fairway | what reaches the upstream through it |{names}\n\
         |---|---|---|---|{rules}\n"
    )
    .expect("a string grows");
}
