//! The hash behind consistent hashing: the same in every worker, replica and release, so that a
//! key's endpoint survives restarts and scaling of the gateway. Not for hash tables.

use std::net::{IpAddr, SocketAddr};

/// Offset and prime of FNV-1a, 64 bits.
const OFFSET: u64 = 0xCBF2_9CE4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01B3;

/// Hash of a key.
pub fn of_bytes(bytes: &[u8]) -> u64 {
    let fnv = bytes.iter().fold(OFFSET, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME));
    spread(fnv)
}

/// Hash of a client's address. An IPv4 address inside IPv6 counts as what it is.
pub fn of_ip(ip: IpAddr) -> u64 {
    match ip.to_canonical() {
        IpAddr::V4(ip) => of_bytes(&ip.octets()),
        IpAddr::V6(ip) => of_bytes(&ip.octets()),
    }
}

/// Hash of an endpoint; `salt` gives several that have nothing to do with each other.
pub fn of_address(address: SocketAddr, salt: u64) -> u64 {
    spread(of_ip(address.ip()) ^ spread(u64::from(address.port()) ^ salt.rotate_left(32)))
}

/// Makes every bit depend on every other (the finisher of SplitMix64).
pub fn spread(mut bits: u64) -> u64 {
    bits = bits.wrapping_add(0x9E37_79B9_7F4A_7C15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_stay_what_they_are_from_release_to_release() {
        assert_eq!(of_bytes(b""), spread(OFFSET));
        assert_eq!(of_bytes(b"user-1"), 0xF16D_8D44_0FBB_25D5);
        let mapped: IpAddr = "::ffff:10.0.0.1".parse().unwrap();
        assert_eq!(of_ip(mapped), of_ip("10.0.0.1".parse().unwrap()));
    }

    #[test]
    fn neighbours_share_no_bits() {
        let address = |port: u16| SocketAddr::from(([10, 0, 0, 1], port));
        for port in 1..1000 {
            let differing = of_address(address(port), 0) ^ of_address(address(port + 1), 0);
            assert!((10..=54).contains(&differing.count_ones()), "{port}");
        }
    }
}
