//! Where control can be reached and whether it holds workers back, told to whoever started it.

use std::fs::OpenOptions;
use std::io::{self, Write};

use fairway_shared::instance::ControlStatus;

use crate::publish::publisher::Publisher;

/// The status line was not written.
#[derive(Debug, thiserror::Error)]
#[error("--status-fd: cannot write to descriptor {descriptor}")]
pub(super) struct StatusError {
    descriptor: u32,
    source: io::Error,
}

/// Writes one line of JSON to an inherited descriptor, which must be of a pipe or file.
pub(super) fn write(descriptor: u32, status: &ControlStatus) -> Result<(), StatusError> {
    let written = || {
        let mut line = serde_json::to_vec(status)?;
        line.push(b'\n');
        // By its name: taking the number itself over would need an unsafe promise.
        OpenOptions::new().write(true).open(format!("/proc/self/fd/{descriptor}"))?.write_all(&line)
    };
    written().map_err(|source| StatusError { descriptor, source })
}

/// Writes a line whenever what it says has changed.
pub(super) async fn follow(descriptor: u32, mut status: ControlStatus, publisher: Publisher) {
    let mut changes = publisher.changes();
    while changes.changed().await.is_ok() {
        let Ok(view) = publisher.view().await else { return };
        if status.pinned == view.pinned.is_some() {
            continue;
        }
        status.pinned = view.pinned.is_some();
        if let Err(error) = write(descriptor, &status) {
            return tracing::warn!("{error}: {}", error.source);
        }
    }
}

/// The same for the log.
pub(super) fn listening(status: &ControlStatus) -> String {
    let unix = match status.unix.as_str() {
        "" => String::new(),
        path => format!(", unix socket {path}"),
    };
    format!(
        "listening: gRPC {}, debug {}, monitoring {}{unix}",
        status.grpc, status.debug, status.monitoring
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Read;
    use std::os::fd::AsRawFd;

    #[test]
    fn the_status_is_one_line_that_reads_back() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let status =
            ControlStatus { pid: Some(7), grpc: "127.0.0.1:1".into(), ..Default::default() };
        write(u32::try_from(writer.as_raw_fd()).unwrap(), &status).unwrap();
        drop(writer);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        let line = text.strip_suffix('\n').unwrap();
        assert_eq!(serde_json::from_str::<ControlStatus>(line).unwrap(), status);
    }

    #[test]
    fn a_descriptor_that_is_not_open_is_named() {
        let closed = File::open("/dev/null").unwrap().as_raw_fd() + 1000;
        let error = write(u32::try_from(closed).unwrap(), &ControlStatus::default()).unwrap_err();
        assert!(error.to_string().contains(&closed.to_string()), "{error}");
    }
}
