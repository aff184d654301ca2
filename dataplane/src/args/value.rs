//! Texts of flags to values, each with what is allowed.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use fairway_shared::duration;
use fairway_shared::ipc::message::AccessLogFlag;

/// More workers than this are a mistake.
pub(super) const WORKERS_MAX: u16 = 1024;
/// Shortest `--worker-stall`: two reports of a worker that is well.
pub(super) const STALL_MIN: Duration = Duration::from_secs(1);

/// Why a text is not a value: what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Not 0 to 65535.
    #[error("is not a port from 0 to 65535")]
    Port,
    /// Not two ports, the first from 1 on.
    #[error("is not FROM:TO with ports up to 65535, where only TO may be 0 for a free one")]
    PortPair,
    /// Not `host:port`.
    #[error("is not HOST:PORT")]
    HostPort,
    /// Not an IP address.
    #[error("is not an IP address")]
    Address,
    /// Not a number of workers.
    #[error("is not a number of workers from 0 to {WORKERS_MAX}")]
    Workers,
    /// Not a duration.
    #[error("is not a duration such as 45s or 1m0s")]
    Duration,
    /// Too short.
    #[error("is not a duration of at least 1s")]
    Stall,
    /// Not a count.
    #[error("is not a number from 0 up, 0 = off")]
    Count,
    /// Out of range.
    #[error("is not a number from {0} to {1}")]
    Range(u32, u32),
    /// Not whole seconds.
    #[error("is not a number of seconds")]
    Seconds,
    /// Not `k=v,…`.
    #[error("is not a list of NAME=VALUE, separated by commas")]
    Labels,
    /// Not a JSON object of texts.
    #[error("is not a JSON object of texts")]
    JsonLabels,
    /// Not a level.
    #[error("is not one of error, warn, info, debug, alone or as default:LEVEL")]
    LogLevel,
    /// Not what a header may hold.
    #[error("is not a header value")]
    Header,
    /// Not a descriptor that can be inherited.
    #[error("is not the number of a descriptor from 1 up")]
    Descriptor,
    /// Nothing.
    #[error("is empty")]
    Empty,
}

pub(super) fn port(text: &str) -> Result<u16, ValueError> {
    text.parse().map_err(|_| ValueError::Port)
}

pub(super) fn port_pair(text: &str) -> Result<(u16, u16), ValueError> {
    let pair = text.split_once(':').and_then(|(from, to)| {
        let from = from.parse().ok().filter(|port| *port > 0)?;
        Some((from, to.parse().ok()?)) // 0 = a free one
    });
    pair.ok_or(ValueError::PortPair)
}

pub(super) fn host_port(text: &str) -> Result<String, ValueError> {
    let (host, port) = text.rsplit_once(':').ok_or(ValueError::HostPort)?;
    match port.parse::<u16>() {
        Ok(1..) if !host.is_empty() => Ok(text.to_owned()),
        _ => Err(ValueError::HostPort),
    }
}

pub(super) fn socket_address(text: &str) -> Result<SocketAddr, ValueError> {
    text.parse().map_err(|_| ValueError::HostPort)
}

/// Brackets around an IPv6 address are welcome.
pub(super) fn address(text: &str) -> Result<IpAddr, ValueError> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().map_err(|_| ValueError::Address)
}

pub(super) fn workers(text: &str) -> Result<u16, ValueError> {
    text.parse().ok().filter(|count| *count <= WORKERS_MAX).ok_or(ValueError::Workers)
}

pub(super) fn duration(text: &str) -> Result<Duration, ValueError> {
    duration::parse(text).map_err(|_| ValueError::Duration)
}

pub(super) fn stall(text: &str) -> Result<Duration, ValueError> {
    duration(text).ok().filter(|stall| *stall >= STALL_MIN).ok_or(ValueError::Stall)
}

/// 0 is none.
pub(super) fn count(text: &str) -> Result<Option<u32>, ValueError> {
    text.parse().map(|count| Some(count).filter(|count| *count > 0)).map_err(|_| ValueError::Count)
}

pub(super) fn within(text: &str, range: RangeInclusive<u32>) -> Result<u32, ValueError> {
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.ok_or(ValueError::Range(*range.start(), *range.end()))
}

pub(super) fn millis(text: &str) -> Result<u64, ValueError> {
    duration(text).map(whole_millis)
}

/// What is not nothing is at least a millisecond.
pub(super) fn whole_millis(duration: Duration) -> u64 {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    millis.max(u64::from(!duration.is_zero()))
}

pub(super) fn seconds(text: &str) -> Result<Duration, ValueError> {
    text.parse::<u32>()
        .map(|seconds| Duration::from_secs(seconds.into()))
        .map_err(|_| ValueError::Seconds)
}

pub(super) fn labels(text: &str) -> Result<BTreeMap<String, String>, ValueError> {
    let pairs = text.split(',').filter(|pair| !pair.is_empty());
    let pair = |pair: &str| match pair.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(ValueError::Labels),
    };
    pairs.map(pair).collect()
}

pub(super) fn json_labels(text: &str) -> Result<BTreeMap<String, String>, ValueError> {
    serde_json::from_str(text).map_err(|_| ValueError::JsonLabels)
}

/// A path, `-` for stdout, `off`.
pub(super) fn access_log(text: &str) -> Result<AccessLogFlag, ValueError> {
    Ok(match text {
        "off" => AccessLogFlag::Off,
        "-" => AccessLogFlag::File("/dev/stdout".to_owned()),
        path => AccessLogFlag::File(filled(path)?),
    })
}

/// `info`, or a list of `scope:level` of which `default` counts.
pub(super) fn log_level(text: &str) -> Result<&'static str, ValueError> {
    let mut chosen = None;
    for part in text.split(',') {
        let (scope, level) = part.split_once(':').unwrap_or(("default", part));
        let level = match level {
            "none" | "fatal" | "error" => "error",
            "warn" | "warning" => "warn",
            "info" => "info",
            "debug" | "trace" => "debug",
            _ => return Err(ValueError::LogLevel),
        };
        if matches!(scope, "default" | "all") {
            chosen = Some(level);
        }
    }
    Ok(chosen.unwrap_or("info"))
}

pub(super) fn header(text: &str) -> Result<String, ValueError> {
    let is_legal = !text.is_empty() && text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if is_legal { Ok(text.to_owned()) } else { Err(ValueError::Header) }
}

pub(super) fn descriptor(text: &str) -> Result<i32, ValueError> {
    text.parse().ok().filter(|fd| *fd > 0).ok_or(ValueError::Descriptor)
}

pub(super) fn filled(text: &str) -> Result<String, ValueError> {
    if text.is_empty() { Err(ValueError::Empty) } else { Ok(text.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_read_as_the_reference_writes_them() {
        for (text, expected) in [
            ("info", Ok("info")),
            ("default:debug", Ok("debug")),
            ("ads:debug,default:warn", Ok("warn")),
            ("ads:debug", Ok("info")),
            ("all:none", Ok("error")),
            ("loud", Err(ValueError::LogLevel)),
            ("default:", Err(ValueError::LogLevel)),
        ] {
            assert_eq!(log_level(text), expected, "{text}");
        }
    }

    #[test]
    fn addresses_and_ports_are_exact() {
        assert_eq!(address("[::1]"), address("::1"));
        assert_eq!(address("localhost"), Err(ValueError::Address));
        assert_eq!(port_pair("80:18080"), Ok((80, 18080)));
        for text in ["80", "0:80", "80:", "80:70000", "a:b"] {
            assert_eq!(port_pair(text), Err(ValueError::PortPair), "{text}");
        }
        for text in ["pilot", "pilot:", ":15010", "pilot:0", "pilot:x"] {
            assert_eq!(host_port(text), Err(ValueError::HostPort), "{text}");
        }
        assert_eq!(host_port("[::1]:15010").as_deref(), Ok("[::1]:15010"));
    }
}
