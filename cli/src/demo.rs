//! `fairway demo`: `up` on the built-in example, with its two upstreams on free ports. The example
//! is written to the instance directory, where a person can edit it and watch traffic move.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;

use crate::args::UpOptions;
use crate::up::{self, Setup, SetupError};
use crate::{child, echo, say};

const ROUTES: &str = include_str!("../../deploy/examples/dk-shop/dk-shop.yaml");
const SERVICES: &str = include_str!("../../deploy/examples/dk-shop/services.yaml");

/// The upstreams: name, version, port as the example has it.
const UPSTREAMS: [(&str, &str, u16); 2] = [("user-v1", "v1.0", 9001), ("user-v2", "v2.0", 9002)];

/// Why the demo did not start.
#[derive(Debug, thiserror::Error)]
enum DemoError {
    #[error(transparent)]
    Setup(#[from] SetupError),
    #[error("cannot start upstream {name}: {source}")]
    Upstream { name: &'static str, source: io::Error },
    #[error("cannot write the example to `{}`: {source}", path.display())]
    Example { path: PathBuf, source: io::Error },
}

/// Runs until it is told to stop.
pub(crate) fn run(options: &UpOptions) -> ExitCode {
    let outcome =
        up::runtime().map_err(DemoError::from).and_then(|runtime| runtime.block_on(serve(options)));
    match outcome {
        Ok(code) => code,
        Err(DemoError::Setup(error)) => up::refuse(&error),
        Err(error) => {
            say::problem(&error);
            ExitCode::FAILURE
        }
    }
}

async fn serve(options: &UpOptions) -> Result<ExitCode, DemoError> {
    let dir = up::instance_dir::InstanceDir::open(options.instance_dir.as_deref())
        .map_err(SetupError::from)?;
    let mut upstreams = Vec::new();
    let mut ports = Vec::new();
    for (name, version, port) in UPSTREAMS {
        let failed = |source| DemoError::Upstream { name, source };
        let (upstream, address) = start_upstream(name, version).await.map_err(failed)?;
        upstreams.push(upstream);
        ports.push((port, address.port()));
    }
    let config = dir.path().join("demo");
    write_example(&config, &ports)
        .map_err(|source| DemoError::Example { path: config.clone(), source })?;
    let file = config.join("dk-shop.yaml");
    let tip = format!("edit      {}: `subset: v2` moves the traffic", file.display());
    let code = up::serve(&Setup { config, options: options.clone(), dir, tip: Some(tip) }).await;
    drop(upstreams); // killed here: they end after the last request that needs them
    Ok(code)
}

/// Starts `fairway echo` on a free port of loopback and waits for its address.
async fn start_upstream(name: &str, version: &str) -> io::Result<(Child, SocketAddr)> {
    let words = ["echo", "--listen", "127.0.0.1:0", "--name", name, "--version-label", version];
    let mut upstream = up::process::program()
        .args(child::arguments(&words.map(str::to_owned)))
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let stdout = upstream.stdout.take().ok_or_else(|| io::Error::other("it has no output"))?;
    let line = BufReader::new(stdout).lines().next_line().await?.unwrap_or_default();
    let address = line.strip_prefix(echo::LISTENING).and_then(|text| text.parse().ok());
    Ok((upstream, address.ok_or_else(|| io::Error::other("it did not say where it listens"))?))
}

fn write_example(dir: &Path, ports: &[(u16, u16)]) -> io::Result<()> {
    std::fs::create_dir_all(dir)?;
    std::fs::write(dir.join("services.yaml"), with_ports(SERVICES, ports))?;
    std::fs::write(dir.join("dk-shop.yaml"), ROUTES)
}

/// The text with whole lines `port: OLD` changed to `port: NEW`.
fn with_ports(text: &str, ports: &[(u16, u16)]) -> String {
    let changed = text.lines().map(|line| {
        let old = line.trim().strip_prefix("port: ").and_then(|port| port.parse::<u16>().ok());
        match old.and_then(|old| ports.iter().find(|(from, _)| *from == old)) {
            Some((old, new)) => line.replace(&old.to_string(), &new.to_string()),
            None => line.to_owned(),
        }
    });
    changed.map(|line| line + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_gets_the_ports_of_its_upstreams_and_nothing_else_changes() {
        let moved = with_ports(SERVICES, &[(9001, 41001), (9002, 41002)]);
        let differing: Vec<_> =
            SERVICES.lines().zip(moved.lines()).filter(|(old, new)| old != new).collect();
        assert_eq!(
            differing,
            [("    port: 9001", "    port: 41001"), ("    port: 9002", "    port: 41002")]
        );
        assert_eq!(with_ports(SERVICES, &[]), SERVICES);
    }
}
