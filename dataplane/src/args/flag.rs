//! Words of the command line to flags: spelling, `=`, and which names are known.

use std::ffi::OsString;

use super::ArgsError;

/// Names that take a value, in kebab-case.
pub(super) const KNOWN: &[&str] = &[
    "access-log",
    "admin-address",
    "admin-port",
    "bind",
    "concurrency",
    "connections-max",
    "connections-per-address-max",
    "control-socket",
    "discovery-address",
    "dns-resolver",
    "domain",
    "drain-duration",
    "fields-max",
    "gateway-labels",
    "head-bytes-max",
    "http2-streams-max",
    "identity-dir",
    "idle-timeout",
    "instance-dir",
    "locality",
    "log-level",
    "log-output-level",
    "low-port-offset",
    "metrics-port",
    "namespace",
    "parent-shutdown-duration",
    "pod-name",
    "port-map",
    "proxy-admin-port",
    "quarantine-after",
    "request-head-timeout",
    "requests-per-connection-max",
    "server-header",
    "shutdown-grace",
    "status-address",
    "status-fd",
    "status-port",
    "stream-idle-timeout",
    "uri-bytes-max",
    "worker-stall",
    "workers",
    "zipkin-address",
];

/// One flag.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Flag {
    /// In kebab-case, without dashes in front.
    pub(super) name: String,
    /// As written, for messages.
    pub(super) written: String,
    /// After `=`.
    pub(super) value: Option<String>,
}

/// Whether the name, in kebab-case, is one that takes a value here.
pub(super) fn is_known(name: &str) -> bool {
    KNOWN.contains(&name)
}

/// Arguments as text.
pub(super) fn words(args: impl Iterator<Item = OsString>) -> Result<Vec<String>, ArgsError> {
    let text = |word: OsString| {
        word.into_string()
            .map_err(|word| ArgsError::NotUtf8 { word: word.to_string_lossy().into_owned() })
    };
    args.map(text).collect()
}

/// Takes a flag apart.
pub(super) fn split(word: &str) -> Result<Flag, ArgsError> {
    let (written, value) = match word.split_once('=') {
        Some((written, value)) => (written.to_owned(), Some(value.to_owned())),
        None => (word.to_owned(), None),
    };
    let name = written.strip_prefix("--").or_else(|| written.strip_prefix('-'));
    match name.filter(|name| !name.is_empty()) {
        Some(name) => Ok(Flag { name: kebab(name), written, value }),
        None => Err(ArgsError::Unexpected { word: word.to_owned() }),
    }
}

/// `proxyAdminPort` and `log_output_level` as `proxy-admin-port` and `log-output-level`.
fn kebab(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    for character in name.chars() {
        match character {
            '_' => out.push('-'),
            upper if upper.is_ascii_uppercase() => {
                out.push('-');
                out.push(upper.to_ascii_lowercase());
            }
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_flag_is_one_name() {
        for (word, name, value) in [
            ("--proxyAdminPort", "proxy-admin-port", None),
            ("--proxy-admin-port=1", "proxy-admin-port", Some("1")),
            ("--log_output_level=default:info", "log-output-level", Some("default:info")),
            ("--port-map=80:1=2", "port-map", Some("80:1=2")),
            ("-h", "h", None),
            ("--domain=", "domain", Some("")),
        ] {
            let flag = split(word).unwrap();
            assert_eq!((&flag.name[..], flag.value.as_deref()), (name, value), "{word}");
        }
        for word in ["word", "--", "-", "--=x", ""] {
            assert!(split(word).is_err(), "{word}");
        }
    }
}
