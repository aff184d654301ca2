//! Whole command lines.

use super::given::default_labels;
use super::*;

fn read_with(line: &str, env: &[(&str, &str)]) -> Result<Command, ArgsError> {
    let lookup = |name: &str| {
        env.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    };
    parse(line.split_whitespace().map(OsString::from), &lookup)
}

fn read(line: &str) -> (Flags, Vec<String>) {
    match read_with(line, &[]) {
        Ok(Command::Run(flags, warnings)) => (*flags, warnings),
        other => panic!("{line}: {other:?}"),
    }
}

/// The args and env of the reference deployment, as Kubernetes passes them.
#[test]
fn the_reference_deployments_args_are_accepted_unchanged() {
    let line = "proxy router --domain istio-system.svc.cluster.local \
        --log_output_level=default:info --drainDuration 45s --parentShutdownDuration 1m0s \
        --connectTimeout 10s --serviceCluster istio-ingressgateway --zipkinAddress zipkin:9411 \
        --proxyAdminPort 15000 --statusPort 15020 --controlPlaneAuthPolicy NONE \
        --discoveryAddress istio-pilot:15010";
    let env =
        [("POD_NAME", "gw-1"), ("POD_NAMESPACE", "istio-system"), ("INSTANCE_IP", "10.1.2.3")];
    let Ok(Command::Run(flags, warnings)) = read_with(line, &env) else { panic!("refused") };
    assert_eq!(flags.node.id, "router~10.1.2.3~gw-1.istio-system~istio-system.svc.cluster.local");
    assert_eq!(flags.node.namespace, "istio-system");
    assert_eq!(flags.node.labels, default_labels());
    assert_eq!(flags.control_grpc.as_deref(), Some("istio-pilot:15010"));
    assert_eq!(flags.admin, ([127, 0, 0, 1].into(), 15000));
    assert_eq!(flags.status, ([0, 0, 0, 0].into(), 15020));
    assert_eq!((flags.drain.as_secs(), flags.grace.as_secs()), (45, 5));
    assert_eq!(flags.server_header.as_deref(), Some("istio-envoy"));
    assert_eq!(flags.zipkin.as_deref(), Some("zipkin:9411"));
    let named = ["--connectTimeout", "--serviceCluster", "--controlPlaneAuthPolicy"];
    assert_eq!(warnings.len(), named.len());
    for (warning, name) in warnings.iter().zip(named) {
        assert_eq!(*warning, format!("{name} is not known here and has no effect"));
    }
}

#[test]
fn both_spellings_and_both_forms_say_the_same() {
    let expected = read("--status-port 1 --drain-duration 10s --workers 3").0;
    for line in [
        "proxy router --statusPort=1 --drainDuration=10s --concurrency=3",
        "router --statusPort 1 --drainDuration 10s --concurrency 3",
        "--status_port 1 --drain_duration 10s --workers=3",
    ] {
        assert_eq!(read(line).0, expected, "{line}");
    }
}

#[test]
fn repeatable_flags_collect_and_the_rest_take_their_last_value() {
    let (flags, warnings) = read(
        "--bind 127.0.0.1 --bind [::1] --port-map 80:1080 --port-map=443:1443 \
         --low-port-offset 8000 --status-port 1 --status-port 0 --status-address 127.0.0.1 \
         --server-header - --quiet --control-socket /run/c.sock --status-fd 3 \
         --locality a/b/c --gateway-labels a=b,c=d --namespace shop --pod-name p --domain k8s.test",
    );
    assert_eq!(warnings, Vec::<String>::new());
    assert_eq!(flags.bind.len(), 2);
    assert_eq!(flags.port_map, BTreeMap::from([(80, 1080), (443, 1443)]));
    assert_eq!(flags.status, flags.metrics_with_port(0));
    assert_eq!((flags.server_header, flags.log_level), (None, "warn"));
    for (text, expected) in [
        ("--access-log -", AccessLogFlag::File("/dev/stdout".into())),
        ("--access-log=/var/log/a", AccessLogFlag::File("/var/log/a".into())),
        ("--accessLog off", AccessLogFlag::Off),
        ("", AccessLogFlag::Unset),
    ] {
        assert_eq!(read(text).0.access_log, expected, "{text}");
    }
    assert_eq!((flags.control_grpc, flags.status_fd), (None, Some(3)));
    assert_eq!(flags.node.id, "router~127.0.0.1~p.shop~shop.svc.k8s.test");
    assert_eq!((&flags.node.locality[..], flags.node.labels.len()), ("a/b/c", 2));
}

impl Flags {
    fn metrics_with_port(&self, port: u16) -> (IpAddr, u16) {
        (self.metrics.0, port)
    }
}

#[test]
fn the_environment_fills_in_what_flags_leave_open() {
    let env = [
        ("TERMINATION_DRAIN_DURATION_SECONDS", "30"),
        ("ISTIO_METAJSON_LABELS", r#"{"istio":"edge","istio-locality":"r.z.s"}"#),
        ("XDG_RUNTIME_DIR", "/run/user/7"),
        ("HOSTNAME", "box"),
    ];
    let Ok(Command::Run(flags, _)) = read_with("", &env) else { panic!("refused") };
    assert_eq!(flags.grace.as_secs(), 30);
    assert_eq!((&flags.node.labels["istio"][..], &flags.node.locality[..]), ("edge", "r/z/s"));
    assert_eq!(flags.instance_dir, PathBuf::from("/run/user/7/fairway"));
    assert!(flags.node.id.contains("~box.istio-system~"));
    let Ok(Command::Run(flags, _)) = read_with("--shutdown-grace 0s", &env) else { panic!() };
    assert_eq!(flags.grace, Duration::ZERO);
}

#[test]
fn unknown_flags_are_named_and_their_values_passed_over() {
    let (flags, warnings) = read("--newThing value --bare --other=1 --workers 2 --last");
    assert_eq!(flags.workers, 2);
    let names: Vec<_> = warnings.iter().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(names, ["--newThing", "--bare", "--other", "--last"]);
    let (_, warnings) = read("--parentShutdownDuration 10s");
    assert!(warnings[0].starts_with("--parent-shutdown-duration should exceed"), "{warnings:?}");
}

#[test]
fn bad_values_are_refused_on_one_line_that_names_the_flag_and_what_is_allowed() {
    for (line, expected) in [
        ("--statusPort x", "--statusPort `x` is not a port from 0 to 65535"),
        ("--admin-port=70000", "--admin-port `70000` is not a port from 0 to 65535"),
        ("--workers -1", "--workers `-1` is not a number of workers from 0 to 1024"),
        ("--drainDuration 45", "--drainDuration `45` is not a duration such as 45s or 1m0s"),
        ("--worker-stall 10ms", "--worker-stall `10ms` is not a duration of at least 1s"),
        ("--bind localhost", "--bind `localhost` is not an IP address"),
        ("--discoveryAddress pilot", "--discoveryAddress `pilot` is not HOST:PORT"),
        (
            "--gateway-labels a",
            "--gateway-labels `a` is not a list of NAME=VALUE, separated by commas",
        ),
        ("--domain=", "--domain `` is empty"),
        ("--workers", "--workers needs a value"),
        ("proxy sidecar", "unexpected argument `sidecar`, expected flags or `proxy router`"),
        ("--quiet stray", "unexpected argument `stray`, expected flags or `proxy router`"),
    ] {
        assert_eq!(read_with(line, &[]).unwrap_err().to_string(), expected, "{line}");
    }
    let env = [("TERMINATION_DRAIN_DURATION_SECONDS", "5s")];
    assert_eq!(
        read_with("", &env).unwrap_err().to_string(),
        "$TERMINATION_DRAIN_DURATION_SECONDS `5s` is not a number of seconds"
    );
}

#[test]
fn every_known_flag_is_documented() {
    for name in flag::KNOWN.iter().filter(|name| **name != "status-fd") {
        assert!(USAGE.contains(&format!("--{name}")), "{name}");
    }
    assert_eq!(read_with("proxy router --help", &[]), Ok(Command::Help));
    assert_eq!(read_with("--version", &[]), Ok(Command::Version));
}
