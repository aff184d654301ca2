//! The command lines of control and supervisor, from that of `up`. Pure.

use std::time::Duration;

use fairway_control::args::OnSecretDeleted;
use fairway_shared::instance::ControlStatus;

use super::Setup;
use super::instance_dir::CONTROL_SOCKET;
use crate::args::{Labels, Transport};

/// What people and probes on this machine use; only the gateway's listeners follow `--bind`.
const LOOPBACK: &str = "127.0.0.1";
/// From the interface: 80 is served on 8080, 443 on 8443.
const LOW_PORT_OFFSET: u16 = 8_000;

/// Words of a command line.
#[derive(Debug, Default)]
struct Words(Vec<String>);

impl Words {
    fn of(command: &str) -> Self {
        Self(vec![command.to_owned()])
    }

    /// `--name=value`: a value that starts with a dash stays a value.
    fn flag(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self.0.push(format!("--{name}={value}"));
        self
    }

    fn optional(self, name: &str, value: Option<impl std::fmt::Display>) -> Self {
        match value {
            Some(value) => self.flag(name, value),
            None => self,
        }
    }

    fn switch(mut self, name: &str, is_on: bool) -> Self {
        if is_on {
            self.0.push(format!("--{name}"));
        }
        self
    }
}

/// `fairway control …`. A control that is started again answers where the one `before` did.
pub(crate) fn control(setup: &Setup, before: Option<&ControlStatus>) -> Vec<String> {
    let options = &setup.options;
    let known = |address: fn(&ControlStatus) -> &str| before.and_then(|was| port_of(address(was)));
    Words::of("control")
        .flag("config-dir", setup.config.display())
        .flag("listen-address", LOOPBACK)
        .flag("grpc-port", known(|was| &was.grpc).unwrap_or(options.ports.grpc_port))
        .flag("debug-port", known(|was| &was.debug).unwrap_or(options.ports.debug_port))
        .flag(
            "monitoring-port",
            known(|was| &was.monitoring).unwrap_or(options.ports.monitoring_port),
        )
        .flag("unix-socket", setup.dir.path().join(CONTROL_SOCKET).display())
        .flag("domain", &options.domain)
        .flag("namespace", &options.namespace)
        .flag("gateway-labels", comma_list(&options.gateway_labels))
        .optional("mesh-config", options.mesh_config.as_ref().map(|path| path.display()))
        .optional("node-name", options.node_name.as_ref())
        .optional("locality", options.locality.as_ref())
        .flag("on-secret-deleted", on_secret_deleted(options.on_secret_deleted))
        .flag("debounce-after", millis(options.debounce_after))
        .flag("debounce-max", millis(options.debounce_max))
        .switch("quiet", options.quiet)
        .0
}

/// `fairway dataplane …`, for a control that has said where it answers.
pub(crate) fn supervisor(setup: &Setup, control: Option<&ControlStatus>) -> Vec<String> {
    let options = &setup.options;
    let (grpc, socket) = match options.transport {
        Transport::Unix => (None, Some(setup.dir.path().join(CONTROL_SOCKET))),
        Transport::Grpc => (control.map(|control| &control.grpc), None),
    };
    let mut words = Words::of("dataplane")
        .optional("discovery-address", grpc)
        .optional("control-socket", socket.as_ref().map(|path| path.display()))
        .optional("workers", options.workers)
        .flag("bind", options.bind)
        .flag("low-port-offset", LOW_PORT_OFFSET)
        .flag("admin-port", options.ports.admin_port)
        .flag("status-port", options.ports.status_port)
        .flag("metrics-port", options.ports.metrics_port)
        .flag("status-address", LOOPBACK)
        .flag("instance-dir", setup.dir.path().display())
        .flag("namespace", &options.namespace)
        .optional("pod-name", options.pod_name.as_ref())
        .flag("domain", &options.domain)
        .flag("gateway-labels", comma_list(&options.gateway_labels))
        .optional("locality", options.locality.as_ref())
        .optional("identity-dir", options.identity_dir.as_ref().map(|path| path.display()))
        .optional("access-log", options.access_log.as_ref())
        .optional("dns-resolver", options.dns_resolver)
        .optional("zipkin-address", options.zipkin_address.as_ref())
        .flag("shutdown-grace", millis(options.shutdown_grace))
        .flag("drain-duration", millis(options.drain_duration))
        .flag("parent-shutdown-duration", millis(options.parent_shutdown_duration))
        .optional("worker-stall", options.resilience.worker_stall.as_ref())
        .optional("quarantine-after", options.resilience.quarantine_after.as_ref())
        .switch("quiet", options.quiet);
    for (name, value) in options.edge.flags() {
        words = words.optional(name, value);
    }
    for (from, to) in &options.port_map {
        words = words.flag("port-map", format_args!("{from}:{to}"));
    }
    words.0
}

fn port_of(address: &str) -> Option<u16> {
    address.rsplit_once(':')?.1.parse().ok()
}

fn comma_list(labels: &Labels) -> String {
    let pairs: Vec<String> = labels.0.iter().map(|(key, value)| format!("{key}={value}")).collect();
    pairs.join(",")
}

fn on_secret_deleted(choice: OnSecretDeleted) -> &'static str {
    match choice {
        OnSecretDeleted::Serve => "serve",
        OnSecretDeleted::Fail => "fail",
    }
}

fn millis(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use fairway_control::args::Settings;

    use super::*;
    use crate::args::{Command, Fairway};
    use crate::up::instance_dir::InstanceDir;

    fn setup(flags: &str) -> (tempfile::TempDir, Setup) {
        let root = tempfile::tempdir().unwrap();
        let dir = InstanceDir::open(Some(&root.path().join("i"))).unwrap();
        let words = ["fairway", "up", "conf"].into_iter().chain(flags.split_whitespace());
        let Command::Up(args) = Fairway::try_parse_from(words).unwrap().command else {
            panic!("`up` is `up`")
        };
        (root, Setup { config: args.dir, options: args.options, dir, tip: None })
    }

    fn status() -> ControlStatus {
        ControlStatus {
            pid: Some(1),
            grpc: "127.0.0.1:41".into(),
            unix: "/x".into(),
            debug: "127.0.0.1:42".into(),
            monitoring: "127.0.0.1:43".into(),
            pinned: false,
        }
    }

    fn has(words: &[String], wanted: &[&str]) {
        for word in wanted {
            assert!(words.iter().any(|w| w == word), "no {word} in {words:?}");
        }
    }

    #[test]
    fn control_understands_what_it_is_told() {
        let (_root, setup) = setup(
            "--grpc-port 0 --gateway-labels a=b,c=d --debounce-after 1.5s --domain x.y --quiet",
        );
        let words = control(&setup, None);
        let settings = Settings::read(words.into_iter().map(Into::into)).unwrap();
        assert_eq!((settings.grpc_port, settings.debug_port), (0, 15080));
        assert_eq!(settings.gateway_labels.len(), 2);
        assert_eq!(settings.debounce_after, Duration::from_millis(1_500));
        assert_eq!(settings.unix_socket, Some(setup.dir.path().join(CONTROL_SOCKET)));
        assert!(settings.quiet && settings.domain == "x.y");
    }

    #[test]
    fn a_control_that_comes_back_keeps_its_ports() {
        let (_root, setup) = setup("--grpc-port 0 --debug-port 0 --monitoring-port 0");
        let words = control(&setup, Some(&status()));
        has(&words, &["--grpc-port=41", "--debug-port=42", "--monitoring-port=43"]);
    }

    #[test]
    fn the_supervisor_is_told_the_one_way_to_control() {
        let (_root, unix) = setup("--port-map 80:0 --port-map 443:9 --workers 3 --pod-name=-p");
        let words = supervisor(&unix, Some(&status()));
        let socket = format!("--control-socket={}/control.sock", unix.dir.path().display());
        has(&words, &[&socket, "--port-map=80:0", "--port-map=443:9", "--workers=3"]);
        has(&words, &["--pod-name=-p", "--bind=127.0.0.1", "--drain-duration=45000ms"]);
        assert!(!words.iter().any(|word| word.contains("discovery")), "{words:?}");

        let (_root, grpc) = setup("--transport grpc --bind ::");
        let words = supervisor(&grpc, Some(&status()));
        has(&words, &["--discovery-address=127.0.0.1:41", "--bind=::"]);
        assert!(!words.iter().any(|word| word.contains("control-socket")), "{words:?}");
        assert!(!words.iter().any(|word| word.starts_with("--workers")), "{words:?}");
    }
}
