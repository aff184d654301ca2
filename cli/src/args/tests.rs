use super::*;

fn parse(line: &str) -> Result<Fairway, String> {
    let words = std::iter::once("fairway").chain(line.split_whitespace());
    Fairway::try_parse_from(words).map_err(|error| error.to_string())
}

fn up(line: &str) -> UpArgs {
    match parse(line) {
        Ok(Fairway { command: Command::Up(args) }) => args,
        other => panic!("`{line}` gives {other:?}"),
    }
}

#[test]
fn the_command_line_is_consistent() {
    use clap::CommandFactory;
    Fairway::command().debug_assert();
}

#[test]
fn up_needs_nothing_but_a_directory() {
    let UpArgs { dir, options } = up("up some/dir");
    assert_eq!(dir, PathBuf::from("some/dir"));
    assert_eq!(options.bind.to_string(), "127.0.0.1");
    assert_eq!(options.transport, Transport::Unix);
    assert_eq!((options.ports.grpc_port, options.ports.debug_port), (15010, 15080));
    assert_eq!(options.drain_duration, Duration::from_secs(45));
    assert_eq!(options.gateway_labels.0.len(), 2);
    assert_eq!(options.workers, None);
}

#[test]
fn flags_take_both_spellings_and_both_forms() {
    let options = up("up d --drainDuration=1m --parent-shutdown-duration 2m --proxyAdminPort 7 \
                      --port-map 80:0 --port-map 443:18443 --transport grpc --workers 4 \
                      --locality eu/a --gateway-labels a=b,c= --bind ::1 --quiet")
    .options;
    assert_eq!(options.drain_duration, Duration::from_secs(60));
    assert_eq!(options.parent_shutdown_duration, Duration::from_secs(120));
    assert_eq!(options.ports.admin_port, 7);
    assert_eq!(options.port_map, [(80, 0), (443, 18443)]);
    assert_eq!(options.transport, Transport::Grpc);
    assert_eq!(options.workers, Some(4));
    assert_eq!(options.locality.as_deref(), Some("eu/a"));
    assert_eq!(options.gateway_labels.0.get("c").map(String::as_str), Some(""));
    assert_eq!(options.bind.to_string(), "::1");
    assert!(options.quiet);
}

#[test]
fn a_bad_value_is_named_with_what_is_allowed() {
    for (line, value, allowed) in [
        ("up d --workers 0", "0", "1 to 1024"),
        ("up d --workers many", "many", "1 to 1024"),
        ("up d --bind localhost", "localhost", "127.0.0.1"),
        ("up d --port-map 80", "80", "80:18080"),
        ("up d --port-map 0:80", "0:80", "80:18080"),
        ("up d --port-map 80:65536", "80:65536", "65535"),
        ("up d --transport tcp", "tcp", "unix, grpc"),
        ("up d --grpc-port 70000", "70000", "0 to 65535"),
        ("up d --drain-duration 45", "45", "45s"),
        ("up d --locality eu//b", "eu//b", "region/zone"),
        ("up d --gateway-labels istio", "istio", "key=value"),
        ("up d --no-such-flag", "--no-such-flag", ""),
        ("up", "<DIR>", ""),
        ("down", "down", ""),
        ("echo --listen 9000", "9000", "127.0.0.1:9001"),
    ] {
        let error = parse(line).expect_err(line);
        assert!(error.contains(value), "`{line}` does not name {value}: {error}");
        assert!(error.contains(allowed), "`{line}` does not say {allowed}: {error}");
    }
}
