//! A header for a connection that the gateway opens on behalf of a client.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use fairway_shared::snapshot::cluster::ProxyVersion;

use super::{PROXY, SIGNATURE, TCP4, TCP6};

/// From whom to where the client connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    /// The client.
    pub source: SocketAddr,
    /// The gateway's address that it connected to.
    pub destination: SocketAddr,
}

/// The header. Addresses of two families are both written as IPv6.
pub fn encode(version: ProxyVersion, Way { source, destination }: Way) -> Vec<u8> {
    let (from, to) = match (source.ip().to_canonical(), destination.ip().to_canonical()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => (IpAddr::V4(from), IpAddr::V4(to)),
        (from, to) => (IpAddr::V6(as_v6(from)), IpAddr::V6(as_v6(to))),
    };
    match version {
        ProxyVersion::V1 => {
            let family = if from.is_ipv4() { "TCP4" } else { "TCP6" };
            let (port, to_port) = (source.port(), destination.port());
            format!("PROXY {family} {from} {to} {port} {to_port}\r\n").into_bytes()
        }
        ProxyVersion::V2 => {
            let mut body = octets(from);
            body.extend(octets(to));
            body.extend(source.port().to_be_bytes());
            body.extend(destination.port().to_be_bytes());
            let mut bytes = SIGNATURE.to_vec();
            // 12 or 36 bytes of addresses.
            bytes.extend([PROXY, if from.is_ipv4() { TCP4 } else { TCP6 }, 0, body.len() as u8]);
            bytes.extend(body);
            bytes
        }
    }
}

fn as_v6(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_as_the_protocol_has_it() {
        let way = |source: &str, destination: &str| Way {
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
        };
        for (way, line) in [
            (
                way("192.0.2.1:40000", "198.51.100.1:80"),
                "PROXY TCP4 192.0.2.1 198.51.100.1 40000 80\r\n",
            ),
            (way("[2001:db8::1]:1", "[::1]:2"), "PROXY TCP6 2001:db8::1 ::1 1 2\r\n"),
            (way("[::ffff:192.0.2.1]:1", "10.0.0.1:2"), "PROXY TCP4 192.0.2.1 10.0.0.1 1 2\r\n"),
            (way("192.0.2.1:1", "[::1]:2"), "PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n"),
        ] {
            assert_eq!(String::from_utf8(encode(ProxyVersion::V1, way)).unwrap(), line);
        }
    }
}
