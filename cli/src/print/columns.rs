//! Lists of the control API as columns for people. Pure, but for the age of things.

use std::time::{SystemTime, UNIX_EPOCH};

use fairway_control::compile::render;
use fairway_proto::wire::{
    ChangeKind, Dataplane, DiffSnapshotsResponse, ListClustersResponse, ListDataplanesResponse,
    ListDiagnosticsResponse, ListEndpointsResponse, ListListenersResponse, ListRoutesResponse,
    ListSecretsResponse, ListSnapshotsResponse, RouteEntry,
};
use fairway_proto::{from_wire, wire};

use super::Table;
use super::colour::{Colour, painted};

pub(crate) fn listeners(list: &ListListenersResponse, is_wide: bool) -> String {
    let mut table = match is_wide {
        false => Table::new(&["LISTENER", "PROTOCOL", "PORT", "GATEWAYS"]),
        true => Table::new(&["LISTENER", "PROTOCOL", "PORT", "GATEWAYS", "WRITTEN PORTS", "BIND"]),
    };
    for listener in &list.listeners {
        let mut row = vec![
            listener.id.clone(),
            listener.protocol.clone(),
            listener.port.to_string(),
            listener.gateways.join(","),
        ];
        if is_wide {
            row.extend([joined(&listener.gateway_ports), listener.bind.clone()]);
        }
        table.row(row);
    }
    table.text("no listener")
}

pub(crate) fn routes(list: &ListRoutesResponse, is_wide: bool) -> String {
    let mut table = match is_wide {
        false => Table::new(&["VIRTUAL HOST", "#", "MATCH", "ACTION", "ORIGIN"]),
        true => Table::new(&[
            "VIRTUAL HOST",
            "#",
            "MATCH",
            "ACTION",
            "ORIGIN",
            "NAME",
            "TABLE",
            "LISTENERS",
        ]),
    };
    for entry in &list.routes {
        let route = entry.route.as_ref();
        let (matches, action) = match_and_action(entry);
        let mut row = vec![
            entry.virtual_host.clone(),
            entry.index.to_string(),
            matches,
            action,
            route.map(|route| route.origin.clone()).unwrap_or_default(),
        ];
        if is_wide {
            let name = route.map(|route| route.name.clone()).unwrap_or_default();
            row.extend([name, entry.route_table.clone(), entry.listeners.join(",")]);
        }
        table.row(row);
    }
    table.text("no route")
}

/// What a route asks for and does; a route of a newer release may say what this one cannot read.
fn match_and_action(entry: &RouteEntry) -> (String, String) {
    let read = entry.route.clone().and_then(|route| from_wire::route(route).ok());
    let Some(route) = read else { return ("?".to_owned(), "?".to_owned()) };
    let action = render::action_lines(&route).join("; ");
    (render::match_text(&route.spec.matches), action.trim_start_matches("-> ").to_owned())
}

pub(crate) fn clusters(list: &ListClustersResponse, is_wide: bool) -> String {
    let mut table = match is_wide {
        false => Table::new(&["CLUSTER", "ENDPOINTS"]),
        true => Table::new(&["CLUSTER", "ENDPOINTS", "BALANCER", "PROTOCOL", "LABELS"]),
    };
    for entry in &list.clusters {
        let mut row = vec![entry.name.clone(), entry.endpoints.to_string()];
        if let Some(cluster) = entry.cluster.as_ref().filter(|_| is_wide) {
            row.push(short(cluster.balancer().as_str_name(), "BALANCER_"));
            row.push(short(cluster.protocol().as_str_name(), "UPSTREAM_PROTOCOL_"));
            row.push(labels(&cluster.labels));
        }
        table.row(row);
    }
    table.text("no cluster")
}

pub(crate) fn endpoints(list: &ListEndpointsResponse, is_wide: bool) -> String {
    let mut table = match is_wide {
        false => Table::new(&["ENDPOINT", "CLUSTER"]),
        true => Table::new(&["ENDPOINT", "CLUSTER", "WEIGHT", "LOCALITY", "LABELS"]),
    };
    for entry in &list.endpoints {
        let Some(endpoint) = &entry.endpoint else { continue };
        let mut row = vec![endpoint.address.clone(), entry.cluster.clone()];
        if is_wide {
            row.push(endpoint.weight.to_string());
            row.extend([endpoint.locality.clone(), labels(&endpoint.labels)]);
        }
        table.row(row);
    }
    table.text("no endpoint")
}

pub(crate) fn secrets(list: &ListSecretsResponse) -> String {
    let mut table = Table::new(&["SECRET", "CERTIFICATE", "CA"]);
    let has = |bytes: &[u8]| if bytes.is_empty() { "" } else { "yes" }.to_owned();
    for secret in &list.secrets {
        table.row(vec![
            secret.name.clone(),
            has(&secret.certificate_chain),
            has(&secret.authorities),
        ]);
    }
    table.text("no secret in use")
}

pub(crate) fn workers(list: &ListDataplanesResponse, is_wide: bool) -> String {
    let mut table = match is_wide {
        false => Table::new(&["WORKER", "DATAPLANE", "CARRIER", "SNAPSHOT", "AGE"]),
        true => Table::new(&[
            "WORKER",
            "DATAPLANE",
            "CARRIER",
            "SNAPSHOT",
            "AGE",
            "NAMESPACE",
            "LOCALITY",
            "BUILD",
        ]),
    };
    for worker in &list.dataplanes {
        let node = worker.node.clone().unwrap_or_default();
        let mut row = vec![
            worker.slot.to_string(),
            node.id,
            worker.carrier.clone(),
            number(worker.version_acked),
            age(worker.connected_at_unix_ms),
        ];
        if is_wide {
            row.extend([node.namespace, node.locality, node.build]);
        }
        table.row(row);
    }
    table.text("no worker is connected")
}

pub(crate) fn status(list: &ListDataplanesResponse) -> String {
    if list.dataplanes.is_empty() {
        return String::new();
    }
    let mut table =
        Table::new(&["DATAPLANE", "WORKER", "SENT", "ACKED", "NACKED", "STATE", "AGE", "REASON"]);
    for worker in &list.dataplanes {
        table.row(vec![
            worker.node.as_ref().map(|node| node.id.clone()).unwrap_or_default(),
            worker.slot.to_string(),
            number(worker.version_sent),
            number(worker.version_acked),
            number(worker.version_nacked),
            state(worker).to_owned(),
            age(worker.changed_at_unix_ms),
            worker.nack_reason.clone(),
        ]);
    }
    format!("{}\ncurrent snapshot: {}\n", table.text("").trim_end(), list.version)
}

fn state(worker: &Dataplane) -> &'static str {
    match (worker.in_sync, worker.version_nacked, worker.version_sent) {
        (true, _, _) => "SYNCED",
        (false, 0, 0) => "NOT SENT",
        (false, 0, _) => "STALE",
        (false, _, _) => "REFUSED",
    }
}

pub(crate) fn diagnostics(list: &ListDiagnosticsResponse) -> String {
    if list.diagnostics.is_empty() {
        return "no finding".to_owned();
    }
    let line = |finding: &wire::Diagnostic| {
        let colour = match finding.severity() {
            wire::Severity::Error => Colour::Red,
            wire::Severity::Warning => Colour::Yellow,
            wire::Severity::Info | wire::Severity::Unspecified => Colour::None,
        };
        let (level, rest) = finding.text.split_once(' ').unwrap_or((&finding.text, ""));
        format!("{} {rest}\n", painted(colour, level))
    };
    list.diagnostics.iter().map(line).collect()
}

pub(crate) fn snapshots(list: &ListSnapshotsResponse) -> String {
    let mut table = Table::new(&[
        "VERSION",
        "STATE",
        "AGE",
        "LISTENERS",
        "ROUTES",
        "CLUSTERS",
        "ENDPOINTS",
        "COMPILED IN",
    ]);
    for one in &list.snapshots {
        let state = match (one.pinned, one.current) {
            (true, _) => "pinned",
            (false, true) => "current",
            (false, false) => "",
        };
        let counts = [one.listeners, one.routes, one.clusters, one.endpoints];
        let mut row =
            vec![one.version.to_string(), state.to_owned(), age(one.published_at_unix_ms)];
        row.extend(counts.iter().map(u32::to_string));
        row.push(format!("{} ms", one.compile_ms));
        table.row(row);
    }
    table.text("nothing has been published yet")
}

pub(crate) fn diff(diff: &DiffSnapshotsResponse) -> String {
    if diff.changes.is_empty() {
        return "no difference".to_owned();
    }
    let mut text = String::new();
    for change in &diff.changes {
        let (mark, colour) = match change.change() {
            ChangeKind::Added => ('+', Colour::Green),
            ChangeKind::Removed => ('-', Colour::Red),
            ChangeKind::Changed | ChangeKind::Unspecified => ('~', Colour::Yellow),
        };
        let heading = format!("{mark} {} {}", change.resource, change.name);
        text.push_str(&painted(colour, &heading));
        text.push('\n');
        for line in &change.lines {
            text.push_str("    ");
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

fn number(version: u64) -> String {
    if version == 0 { String::new() } else { version.to_string() }
}

fn joined(ports: &[u32]) -> String {
    ports.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}

fn labels(labels: &std::collections::BTreeMap<String, String>) -> String {
    labels.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",")
}

/// An enum value without its type's name.
fn short(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_owned()
}

/// How long ago, as Kubernetes' tools say it.
fn age(unix_ms: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let then = u128::try_from(unix_ms).unwrap_or_default();
    in_words(now.saturating_sub(then) / 1_000)
}

fn in_words(secs: u128) -> String {
    match secs {
        0..=119 => format!("{secs}s"),
        120..=7_199 => format!("{}m", secs / 60),
        7_200..=172_799 => format!("{}h", secs / 3_600),
        _ => format!("{}d", secs / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_short() {
        for (secs, text) in [(0, "0s"), (119, "119s"), (120, "2m"), (7_200, "2h"), (200_000, "2d")]
        {
            assert_eq!(in_words(secs), text);
        }
    }

    #[test]
    fn a_workers_state_says_what_it_serves() {
        let worker = |in_sync, sent, nacked| Dataplane {
            in_sync,
            version_sent: sent,
            version_nacked: nacked,
            ..Default::default()
        };
        assert_eq!(state(&worker(true, 3, 0)), "SYNCED");
        assert_eq!(state(&worker(false, 0, 0)), "NOT SENT");
        assert_eq!(state(&worker(false, 3, 0)), "STALE");
        assert_eq!(state(&worker(false, 3, 3)), "REFUSED");
        let list = ListDataplanesResponse { version: 3, dataplanes: vec![worker(false, 3, 3)] };
        assert!(status(&list).ends_with("current snapshot: 3\n"));
    }

    #[test]
    fn an_empty_list_says_so() {
        assert_eq!(listeners(&ListListenersResponse::default(), false), "no listener");
        assert_eq!(diagnostics(&ListDiagnosticsResponse::default()), "no finding");
        assert_eq!(diff(&DiffSnapshotsResponse::default()), "no difference");
    }
}
