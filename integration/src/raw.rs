//! Raw requests: the cases of a file, an upstream that writes down what it gets byte by byte, and
//! what a proxy between them says.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How long an answer may take; who says nothing waits for more of the request.
const ANSWER_PATIENCE: Duration = Duration::from_millis(1500);
/// How long further answers may take once one has come.
const FURTHER_PATIENCE: Duration = Duration::from_millis(120);
/// What the recorder answers.
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// One raw request.
#[derive(Debug, Clone)]
pub struct Case {
    /// The group it belongs to.
    pub group: String,
    /// What it is about.
    pub name: String,
    /// Requests that may reach the upstream.
    pub upstream_max: usize,
    /// As written in the file.
    pub written: String,
    /// As sent.
    pub bytes: Vec<u8>,
}

/// Reads the cases of a file; its first lines say how they are written.
///
/// # Panics
/// If the file is not of that form.
pub fn cases(text: &str) -> Vec<Case> {
    let (mut cases, mut group) = (Vec::new(), String::new());
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(title) = line.strip_prefix("## ") {
            group = title.to_owned();
        } else if let Some(title) = line.strip_prefix("@ ") {
            let max = title.strip_suffix(']').and_then(|title| title.rsplit_once(" ["));
            let (name, upstream_max) = match max {
                Some((name, max)) => (name, max.parse().expect("a number of requests")),
                None => (title, 1),
            };
            let written = lines.next().expect("a case has a line of bytes").to_owned();
            let (group, name) = (group.clone(), name.to_owned());
            let bytes = bytes(&written);
            cases.push(Case { group, name, upstream_max, written, bytes });
        }
    }
    cases
}

fn bytes(written: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = written;
    while let Some(first) = rest.chars().next() {
        let (taken, used) = match first {
            '\\' => escape(rest),
            '{' => {
                let (inner, _) = rest[1..].split_once('}').expect("a repetition ends");
                let (what, times) = inner.rsplit_once('*').expect("a repetition says how often");
                let times = times.parse().expect("a number of repetitions");
                (self::bytes(what).repeat(times), inner.len() + 2)
            }
            other => (other.to_string().into_bytes(), other.len_utf8()),
        };
        bytes.extend(taken);
        rest = &rest[used..];
    }
    bytes
}

fn escape(rest: &str) -> (Vec<u8>, usize) {
    let byte = match rest.as_bytes()[1] {
        b'r' => b'\r',
        b'n' => b'\n',
        b't' => b'\t',
        b'0' => 0,
        b'\\' => b'\\',
        b'x' => {
            let byte = u8::from_str_radix(&rest[2..4], 16).expect("two hexadecimal digits");
            return (vec![byte], 4);
        }
        other => panic!("unknown escape {:?}", char::from(other)),
    };
    (vec![byte], 2)
}

/// Bytes as one line of text.
pub fn shown(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        match byte {
            b'\r' => text.push_str("\\r"),
            b'\n' => text.push_str("\\n"),
            b'\t' => text.push_str("\\t"),
            0x20..=0x7e => text.push(char::from(*byte)),
            other => write!(text, "\\x{other:02x}").expect("a string grows"),
        }
    }
    text
}

/// What came, over all connections.
#[derive(Debug, Default)]
struct Record {
    heads: Vec<Vec<u8>>,
    /// With their bodies: what an application would have been given.
    messages: Vec<Vec<u8>>,
}

/// An upstream that reads requests as RFC 9112 says, writes each down, and answers 200.
#[derive(Debug)]
pub struct Recorder {
    address: SocketAddr,
    record: Arc<Mutex<Record>>,
    accepting: JoinHandle<()>,
}

impl Recorder {
    /// Starts on that address.
    ///
    /// # Panics
    /// If it is taken.
    pub async fn start(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.expect("the address is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let record = Arc::<Mutex<Record>>::default();
        let shared = Arc::clone(&record);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // Connections that break off are what some cases are about.
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { address, record, accepting }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whole messages that came since this was last asked.
    ///
    /// # Panics
    /// If a thread of the recorder has.
    pub fn take(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.record.lock().expect("nobody panics with it").messages)
    }

    /// The heads that came since this was last asked, those of messages that broke off too.
    ///
    /// # Panics
    /// If a thread of the recorder has.
    pub fn take_heads(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.record.lock().expect("nobody panics with it").heads)
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(mut stream: TcpStream, record: Arc<Mutex<Record>>) -> std::io::Result<()> {
    let mut held = Vec::new();
    loop {
        let end = loop {
            if let Some(end) = find(&held, b"\r\n\r\n") {
                break end + 4;
            }
            if stream.read_buf(&mut held).await? == 0 {
                return Ok(());
            }
        };
        let head = held[..end].to_vec();
        record.lock().expect("nobody panics with it").heads.push(head);
        let size = loop {
            if let Some(size) = body_size(&held[..end], &held[end..]) {
                break size;
            }
            if stream.read_buf(&mut held).await? == 0 {
                return Ok(());
            }
        };
        let message: Vec<u8> = held.drain(..end + size).collect();
        record.lock().expect("nobody panics with it").messages.push(message);
        stream.write_all(ANSWER).await?;
    }
}

/// Bytes of the body that a head announces; `None` until it is there.
fn body_size(head: &[u8], body: &[u8]) -> Option<usize> {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    if head.contains("\r\ntransfer-encoding:") {
        return find(body, b"0\r\n\r\n").map(|at| at + 5).or_else(|| {
            let at = find(body, b"\r\n0\r\n")?;
            find(&body[at + 2..], b"\r\n\r\n").map(|end| at + 2 + end + 4)
        });
    }
    let length = head.split("\r\ncontent-length:").nth(1);
    let length = length.and_then(|rest| rest.split("\r\n").next()?.trim().parse().ok());
    Some(length.unwrap_or(0)).filter(|length| body.len() >= *length)
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// What makes a message mean different things to different readers; empty if nothing does.
pub fn ambiguities(message: &[u8]) -> Vec<&'static str> {
    let end = find(message, b"\r\n\r\n").unwrap_or(message.len());
    let head = &message[..end];
    let lower = String::from_utf8_lossy(head).to_ascii_lowercase();
    let count = |name: &str| lower.matches(&format!("\r\n{name}:")).count();
    let is_bare = |at: usize| match head[at] {
        b'\r' => head.get(at + 1).is_some_and(|next| *next != b'\n'),
        b'\n' => at == 0 || head[at - 1] != b'\r',
        _ => false,
    };
    let name_ends_blank = lower.split("\r\n").skip(1).any(|line| {
        line.split_once(':').is_none_or(|(name, _)| name.is_empty() || name.ends_with([' ', '\t']))
    });
    let found = [
        (count("content-length") > 0 && count("transfer-encoding") > 0, "a length and chunks"),
        (count("content-length") > 1, "two lengths"),
        (count("transfer-encoding") > 1, "two codings"),
        (count("host") != 1, "not one Host"),
        ((0..head.len()).any(is_bare), "a bare CR or LF"),
        (head.contains(&0), "a NUL"),
        (lower.contains("\r\n ") || lower.contains("\r\n\t"), "a folded line"),
        (name_ends_blank, "a name that is none"),
    ];
    found.into_iter().filter(|(is_so, _)| *is_so).map(|(_, what)| what).collect()
}

/// What a proxy says to a raw request: the status codes in order, and whether it closes.
pub async fn ask(address: SocketAddr, bytes: &[u8]) -> String {
    let (mut answer, mut is_closed) = (Vec::new(), false);
    let Ok(mut stream) = TcpStream::connect(address).await else { return "refused".to_owned() };
    // A proxy that has heard enough may close before it has heard all.
    let _ = stream.write_all(bytes).await;
    loop {
        let patience = if is_final(&answer) { FURTHER_PATIENCE } else { ANSWER_PATIENCE };
        match timeout(patience, stream.read_buf(&mut answer)).await {
            Ok(Ok(1..)) => {}
            Ok(Ok(0) | Err(_)) => {
                is_closed = true;
                break;
            }
            Err(_) => break,
        }
    }
    let text = String::from_utf8_lossy(&answer);
    let mut said: Vec<String> = statuses(&text);
    if said.is_empty() && !answer.is_empty() {
        said.push("no HTTP".to_owned());
    }
    match (said.is_empty(), is_closed) {
        (true, true) => "closes".to_owned(),
        (true, false) => "waits".to_owned(),
        (false, true) => format!("{} closes", said.join(" ")),
        (false, false) => said.join(" "),
    }
}

fn statuses(text: &str) -> Vec<String> {
    let lines = text.split("HTTP/1.").skip(1);
    let codes = lines.filter_map(|line| line.get(2..5));
    codes.filter(|code| code.parse::<u16>().is_ok()).map(str::to_owned).collect()
}

fn is_final(answer: &[u8]) -> bool {
    statuses(&String::from_utf8_lossy(answer)).iter().any(|code| !code.starts_with('1'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_read_as_they_are_written() {
        let read =
            cases("# x\n## A group\n@ one\nG\\r\\n\\x00\\\\{ab*2}\n\n@ two [2]\n{X: a\\n*2}\n");
        let seen: Vec<_> = read.iter().map(|c| (&*c.name, c.upstream_max, &*c.bytes)).collect();
        assert_eq!(seen, [("one", 1, &b"G\r\n\0\\abab"[..]), ("two", 2, &b"X: a\nX: a\n"[..])]);
        assert_eq!(shown(&read[0].bytes), "G\\r\\n\\x00\\abab");
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_seen() {
        for (message, expected) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", ""),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n\r", ""),
            ("GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n", "a name that is none"),
            ("GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", "a folded line,a name that is none"),
            ("GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", "a bare CR or LF"),
            ("GET / HTTP/1.1\r\nX: b\r\n\r\n", "not one Host"),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: x\r\n\r\n",
                "a length and chunks",
            ),
        ] {
            assert_eq!(ambiguities(message.as_bytes()).join(","), expected, "{message}");
        }
    }
}
