//! Bytes to a header. Whatever the bytes, this does not panic, and asks for more only while what
//! is there may still become a header.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{LOCAL, PROXY, SIGNATURE, TCP4, TCP6};

/// Longest header of version 1, line break included.
const LINE_BYTES_MAX: usize = 107;
/// Longest header of version 2 that is taken, extensions included.
pub const HEADER_BYTES_MAX: usize = 4096;
/// Bytes of version 2 before its addresses.
const FIXED_BYTES: usize = 16;
/// How version 1 begins.
const LINE_START: &[u8] = b"PROXY ";

/// A header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Its length in bytes; what follows is the client's.
    pub length: usize,
    /// Who opened the connection; `None` if the sender speaks for itself or does not know.
    pub source: Option<SocketAddr>,
}

/// Why bytes are no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Neither version begins like this.
    #[error("the connection does not begin with a PROXY header")]
    NoHeader,
    /// Version 1, but not as it is written.
    #[error("the PROXY line is malformed")]
    Line,
    /// Version 2, but not as it is written.
    #[error("the PROXY header has unknown version or command {0:#04x}")]
    Command(u8),
    /// Version 2, too short for its addresses.
    #[error("the PROXY header of {0} bytes is too short for its addresses")]
    Short(usize),
    /// Version 2, too long.
    #[error("the PROXY header of {0} bytes exceeds {HEADER_BYTES_MAX}")]
    Long(usize),
}

/// The header at the start of `bytes`; `None` if more of them are needed.
///
/// # Errors
/// [`Malformed`]: no further bytes can make it a header.
pub fn decode(bytes: &[u8]) -> Result<Option<Header>, Malformed> {
    let begins = |start: &[u8]| bytes.iter().zip(start).all(|(a, b)| a == b);
    if begins(&SIGNATURE) {
        binary(bytes)
    } else if begins(LINE_START) {
        line(bytes)
    } else {
        Err(Malformed::NoHeader)
    }
}

/// Version 1: `PROXY TCP4 192.0.2.1 198.51.100.1 40000 80\r\n`.
fn line(bytes: &[u8]) -> Result<Option<Header>, Malformed> {
    let seen = bytes.get(..LINE_BYTES_MAX).unwrap_or(bytes);
    let Some(end) = seen.windows(2).position(|pair| pair == b"\r\n") else {
        return if seen.len() < LINE_BYTES_MAX { Ok(None) } else { Err(Malformed::Line) };
    };
    let text = seen.get(LINE_START.len()..end).and_then(|text| std::str::from_utf8(text).ok());
    let words: Vec<&str> = text.ok_or(Malformed::Line)?.split(' ').collect();
    let source = match words[..] {
        ["UNKNOWN", ..] => None,
        ["TCP4", source, destination, from, to] => {
            let source: Ipv4Addr = parsed(source)?;
            parsed::<Ipv4Addr>(destination)?;
            Some(address(source.into(), from, to)?)
        }
        ["TCP6", source, destination, from, to] => {
            let source: Ipv6Addr = parsed(source)?;
            parsed::<Ipv6Addr>(destination)?;
            Some(address(source.into(), from, to)?)
        }
        _ => return Err(Malformed::Line),
    };
    Ok(Some(Header { length: end + 2, source }))
}

fn address(ip: IpAddr, from: &str, to: &str) -> Result<SocketAddr, Malformed> {
    parsed::<u16>(to)?;
    Ok(SocketAddr::new(ip, parsed(from)?))
}

fn parsed<T: std::str::FromStr>(word: &str) -> Result<T, Malformed> {
    word.parse().map_err(|_| Malformed::Line)
}

/// Version 2.
fn binary(bytes: &[u8]) -> Result<Option<Header>, Malformed> {
    let Some(fixed) = bytes.first_chunk::<FIXED_BYTES>() else { return Ok(None) };
    let [.., command, family, high, low] = *fixed;
    if command != LOCAL && command != PROXY {
        return Err(Malformed::Command(command));
    }
    let length = FIXED_BYTES + usize::from(u16::from_be_bytes([high, low]));
    if length > HEADER_BYTES_MAX {
        return Err(Malformed::Long(length));
    }
    let Some(rest) = bytes.get(FIXED_BYTES..length) else { return Ok(None) };
    let short = Malformed::Short(length);
    let source = match (command, family) {
        (PROXY, TCP4) => {
            let [a, b, c, d, _, _, _, _, high, low, ..] = *rest else { return Err(short) };
            rest.get(..12).ok_or(short)?;
            let ip = Ipv4Addr::new(a, b, c, d);
            Some(SocketAddr::new(ip.into(), u16::from_be_bytes([high, low])))
        }
        (PROXY, TCP6) => {
            let ip = *rest.first_chunk::<16>().ok_or(short)?;
            let ports = rest.get(32..36).ok_or(short)?;
            let port = ports.first_chunk().map_or(0, |port| u16::from_be_bytes(*port));
            Some(SocketAddr::new(Ipv6Addr::from(ip).into(), port))
        }
        // Datagrams, unix sockets, and families to come: the connection's own address counts.
        _ => None,
    };
    Ok(Some(Header { length, source }))
}

#[cfg(test)]
mod tests {
    use super::super::encode;
    use super::*;
    use fairway_shared::snapshot::cluster::ProxyVersion;
    use proptest::prelude::*;

    #[test]
    fn lines_of_version_1() {
        let header = |length, source: Option<&str>| {
            Ok(Some(Header { length, source: source.map(|source| source.parse().unwrap()) }))
        };
        for (line, expected) in [
            ("PROXY TCP4 192.0.2.1 198.51.100.1 40000 80\r\n", header(44, Some("192.0.2.1:40000"))),
            (
                "PROXY TCP6 2001:db8::1 ::1 40000 80\r\nGET /",
                header(37, Some("[2001:db8::1]:40000")),
            ),
            ("PROXY UNKNOWN\r\n", header(15, None)),
            ("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", header(35, None)),
            ("", Ok(None)),
            ("PRO", Ok(None)),
            ("PROXY TCP4 192.0.2.1 198.51.100.1 40000 80\r", Ok(None)),
            ("GET / HTTP/1.1\r\n", Err(Malformed::NoHeader)),
            ("PROXYTCP4", Err(Malformed::NoHeader)),
            ("PROXY TCP4 192.0.2.1 198.51.100.1 40000\r\n", Err(Malformed::Line)),
            ("PROXY TCP4 192.0.2.1 198.51.100.1 40000 80 1\r\n", Err(Malformed::Line)),
            ("PROXY TCP4 192.0.2.1 198.51.100.1 400000 80\r\n", Err(Malformed::Line)),
            ("PROXY TCP4 192.0.2.1  198.51.100.1 40000 80\r\n", Err(Malformed::Line)),
            ("PROXY TCP4 ::1 ::1 40000 80\r\n", Err(Malformed::Line)),
            ("PROXY UDP4 192.0.2.1 198.51.100.1 40000 80\r\n", Err(Malformed::Line)),
        ] {
            assert_eq!(decode(line.as_bytes()), expected, "{line:?}");
        }
        let endless = format!("PROXY UNKNOWN {}", "x".repeat(LINE_BYTES_MAX));
        assert_eq!(decode(endless.as_bytes()), Err(Malformed::Line));
    }

    #[test]
    fn headers_of_version_2() {
        let header = |command: u8, family: u8, body: &[u8]| {
            let mut bytes = SIGNATURE.to_vec();
            bytes.extend([command, family]);
            bytes.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
            bytes.extend(body);
            bytes
        };
        let v4 = [192, 0, 2, 1, 198, 51, 100, 1, 0x9c, 0x40, 0, 80];
        let with_extension = [&v4[..], &[4, 0, 1, 0]].concat();
        let found = |length, source: Option<&str>| {
            Ok(Some(Header { length, source: source.map(|source| source.parse().unwrap()) }))
        };
        for (bytes, expected) in [
            (header(PROXY, TCP4, &v4), found(28, Some("192.0.2.1:40000"))),
            (header(PROXY, TCP4, &with_extension), found(32, Some("192.0.2.1:40000"))),
            (header(LOCAL, 0, &[]), found(16, None)),
            (header(LOCAL, TCP4, &v4), found(28, None)),
            (header(PROXY, 0x12, &v4), found(28, None)),
            (header(PROXY, 0x31, &[0; 216]), found(232, None)),
            (header(PROXY, TCP4, &v4[..11]), Err(Malformed::Short(27))),
            (header(PROXY, TCP6, &[0; 35]), Err(Malformed::Short(51))),
            (header(0x11, TCP4, &v4), Err(Malformed::Command(0x11))),
            (header(PROXY, 0, &[0; HEADER_BYTES_MAX]), Err(Malformed::Long(HEADER_BYTES_MAX + 16))),
            (header(PROXY, TCP4, &v4)[..27].to_vec(), Ok(None)),
            (SIGNATURE[..5].to_vec(), Ok(None)),
        ] {
            assert_eq!(decode(&bytes), expected, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_and_a_header_is_never_longer_than_they_are(
            is_binary: bool,
            mut bytes in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let start: &[u8] = if is_binary { &SIGNATURE } else { LINE_START };
            let room = start.len().min(bytes.len());
            bytes[..room].copy_from_slice(&start[..room]);
            if let Ok(Some(header)) = decode(&bytes) {
                prop_assert!(header.length <= bytes.len());
            }
        }

        #[test]
        fn what_is_encoded_decodes_at_its_last_byte_and_not_before(
            source: SocketAddr,
            destination: SocketAddr,
            is_first: bool,
        ) {
            let version = if is_first { ProxyVersion::V1 } else { ProxyVersion::V2 };
            let bytes = encode::encode(version, encode::Way { source, destination });
            let header = decode(&bytes).unwrap().unwrap();
            prop_assert_eq!(header.length, bytes.len());
            let found = header.source.unwrap();
            prop_assert_eq!(found.ip().to_canonical(), source.ip().to_canonical());
            prop_assert_eq!(found.port(), source.port());
            for length in 0..bytes.len() {
                prop_assert_eq!(decode(&bytes[..length]), Ok(None));
            }
        }
    }
}
