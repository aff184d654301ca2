//! What `up` tells a person: how to reach what is served, what is missing, what ended. Pure text.

use std::path::Path;

use fairway_shared::instance::{Instance, ListenerStatus, WorkerState};
use nix::sys::signal::Signal;

use super::lifecycle::{End, Next, Process};

/// Gateways named for one listener; of more only the number is told.
const GATEWAYS_NAMED_MAX: usize = 4;

/// A request that some route takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hint {
    /// Listener port it comes in on.
    pub port: u16,
    /// `Host` header, if not any will do.
    pub host: Option<String>,
    /// Path, from `/`.
    pub path: String,
}

/// The lines printed at first readiness.
pub(crate) fn ready(instance: &Instance, hint: Option<&Hint>, dir: &Path) -> Vec<String> {
    let mut lines = served(&instance.listeners);
    lines.push(String::new());
    lines.extend(try_it(&instance.listeners, hint));
    let (control, supervisor) = (&instance.control, &instance.supervisor);
    lines.push(row("health", &format!("http://{}/healthz/ready", supervisor.status)));
    lines.push(row("metrics", &format!("http://{}/stats/prometheus", supervisor.metrics)));
    lines.push(row("admin", &format!("http://{}/", supervisor.admin)));
    lines.push(row("control", &format!("http://{}/debug/configz", control.debug)));
    lines.push(row("instance", &dir.join("instance.json").display().to_string()));
    lines
}

/// `dk-shop/dk-shop  80/HTTP  http://127.0.0.1:8080`, in columns.
fn served(listeners: &[ListenerStatus]) -> Vec<String> {
    if listeners.is_empty() {
        return vec![
            "nothing is served yet: no Gateway selects this gateway's labels (--gateway-labels), \
             or each has an error above"
                .to_owned(),
        ];
    }
    let rows: Vec<[String; 3]> = listeners.iter().map(columns).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let (first, second) = (width(0), width(1));
    rows.iter()
        .map(|[gateways, port, url]| format!("{gateways:first$}  {port:second$}  {url}"))
        .collect()
}

fn columns(listener: &ListenerStatus) -> [String; 3] {
    let place = match listener.address.is_empty() {
        true => "not bound".to_owned(),
        false => format!("{}://{}", scheme(listener), listener.address),
    };
    let port = format!("{}/{}", listener.port, listener.protocol);
    [gateways(&listener.gateways), port, place]
}

/// `a/b,c/d`, `a/b,c/d,e/f,g/h and 12 more`.
fn gateways(names: &[String]) -> String {
    let (named, rest) = names.split_at(names.len().min(GATEWAYS_NAMED_MAX));
    match rest.len() {
        0 => named.join(","),
        more => format!("{} and {more} more", named.join(",")),
    }
}

fn scheme(listener: &ListenerStatus) -> &'static str {
    match listener.protocol.as_str() {
        "HTTPS" => "https",
        "TCP" | "TLS" | "MONGO" => "tcp",
        _ => "http",
    }
}

/// A line to paste. Without a known host, the bare address shows at least that it answers.
fn try_it(listeners: &[ListenerStatus], hint: Option<&Hint>) -> Option<String> {
    let is_meant = |l: &&ListenerStatus| hint.is_none_or(|hint| hint.port == l.port);
    let listener = listeners
        .iter()
        .filter(|listener| scheme(listener) == "http" && !listener.address.is_empty())
        .find(is_meant)?;
    let host = hint.and_then(|hint| hint.host.as_ref());
    let header = host.map(|host| format!("-H {} ", quoted(&format!("Host: {host}"))));
    let path = hint.map_or("/", |hint| &hint.path);
    let url = quoted(&format!("http://{}{path}", listener.address));
    Some(row("try", &format!("curl -i {}{url}", header.unwrap_or_default())))
}

/// Within single quotes a shell takes all but the quote itself as it is; the parts come from the
/// user's configuration. Quoted only where a shell would mind.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:%@".contains(c);
    if text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

fn row(name: &str, text: &str) -> String {
    format!("{name:8}  {text}")
}

/// Why the instance is not ready after a while.
pub(crate) fn delay(instance: &Instance) -> String {
    let ready = instance.workers.iter().filter(|worker| worker.state == WorkerState::Ready).count();
    let workers = instance.workers.len();
    let snapshot = match (&instance.snapshot.reason, instance.snapshot.version) {
        (Some(reason), version) => format!("snapshot {version} was refused: {reason}"),
        (None, 0) => "no snapshot from control yet".to_owned(),
        (None, version) => format!("snapshot {version}"),
    };
    format!("not ready yet: {ready} of {workers} workers ready, {snapshot}")
}

/// The end of a process that should have gone on.
pub(crate) fn ended(process: Process, end: End, next: Next) -> String {
    let name = match process {
        Process::Control => "control",
        Process::Supervisor => "the supervisor",
    };
    let end = match end {
        End::Code(code) => format!("ended with exit code {code}"),
        End::Signal(number) => format!("was ended by {}", signal_name(number)),
        End::NotStarted => "could not be started".to_owned(),
    };
    match next {
        Next::RestartIn(wait) => {
            format!("{name} {end}; traffic goes on, next start in {} s", wait as f64 / 1e3)
        }
        Next::GiveUp => format!("{name} {end}; stopping"),
    }
}

fn signal_name(number: i32) -> String {
    Signal::try_from(number).map_or_else(|_| format!("signal {number}"), |s| s.as_str().to_owned())
}

#[cfg(test)]
mod tests {
    use fairway_shared::instance::{SnapshotStatus, WorkerStatus};

    use super::*;

    fn listener(port: u16, protocol: &str, gateway: &str, address: &str) -> ListenerStatus {
        ListenerStatus {
            port,
            gateway_ports: vec![port],
            address: address.into(),
            protocol: protocol.into(),
            gateways: vec![gateway.into()],
        }
    }

    fn check(listeners: Vec<ListenerStatus>, hint: Option<&Hint>, expected: &[&str]) {
        let instance = Instance { listeners, ..Instance::default() };
        let lines = ready(&instance, hint, Path::new("/run/x"));
        assert_eq!(lines[..expected.len()], *expected, "{lines:#?}");
        assert_eq!(lines.last().map(String::as_str), Some("instance  /run/x/instance.json"));
    }

    #[test]
    fn a_person_sees_where_each_gateway_answers_and_a_line_to_paste() {
        let http = listener(80, "HTTP", "dk-shop/dk-shop", "127.0.0.1:8080");
        let grpc = listener(31400, "GRPC", "a/b", "127.0.0.1:31400");
        let hint = |port, host: &str, path: &str| Hint {
            port,
            host: Some(host.into()),
            path: path.into(),
        };
        check(
            vec![http.clone()],
            Some(&hint(80, "user.thanhoo.com", "/")),
            &[
                "dk-shop/dk-shop  80/HTTP  http://127.0.0.1:8080",
                "",
                "try       curl -i -H 'Host: user.thanhoo.com' http://127.0.0.1:8080/",
            ],
        );
        check(
            vec![http.clone(), grpc],
            Some(&hint(31400, "it's", "/a b")),
            &[
                "dk-shop/dk-shop  80/HTTP     http://127.0.0.1:8080",
                "a/b              31400/GRPC  http://127.0.0.1:31400",
                "",
                r"try       curl -i -H 'Host: it'\''s' 'http://127.0.0.1:31400/a b'",
            ],
        );
        check(
            vec![listener(81, "HTTP", "a/b", ""), http],
            None,
            &[
                "a/b              81/HTTP  not bound",
                "dk-shop/dk-shop  80/HTTP  http://127.0.0.1:8080",
                "",
                "try       curl -i http://127.0.0.1:8080/",
            ],
        );
    }

    #[test]
    fn of_many_gateways_on_a_port_the_first_are_named() {
        let mut many = listener(443, "HTTPS", "", "127.0.0.1:8443");
        many.gateways = (0..20_000).map(|number| format!("shop/g{number}")).collect();
        let line =
            "shop/g0,shop/g1,shop/g2,shop/g3 and 19996 more  443/HTTPS  https://127.0.0.1:8443";
        check(vec![many], None, &[line]);
    }

    #[test]
    fn serving_nothing_says_what_to_check() {
        let lines = ready(&Instance::default(), None, Path::new("/run/x"));
        assert!(lines[0].contains("--gateway-labels"), "{lines:?}");
        assert!(!lines.iter().any(|line| line.contains("curl")), "{lines:?}");
    }

    #[test]
    fn a_delay_names_what_is_missing() {
        let mut instance =
            Instance { workers: vec![WorkerStatus::default(); 2], ..Instance::default() };
        instance.workers[0].state = WorkerState::Ready;
        assert_eq!(
            delay(&instance),
            "not ready yet: 1 of 2 workers ready, no snapshot from control yet"
        );
        let reason = Some("too large".to_owned());
        instance.snapshot = SnapshotStatus { version: 3, reason, ..SnapshotStatus::default() };
        assert!(delay(&instance).ends_with("snapshot 3 was refused: too large"));
    }

    #[test]
    fn an_unexpected_end_says_how_and_what_happens_next() {
        let killed = End::Signal(9);
        assert_eq!(
            ended(Process::Control, killed, Next::RestartIn(1_600)),
            "control was ended by SIGKILL; traffic goes on, next start in 1.6 s"
        );
        assert_eq!(
            ended(Process::Supervisor, End::Code(1), Next::GiveUp),
            "the supervisor ended with exit code 1; stopping"
        );
    }
}
