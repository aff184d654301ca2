//! The PROXY protocol, versions 1 and 2: a header in front of a connection that says who opened it
//! ("The PROXY protocol", versions 1 and 2, haproxy.org).
//!
//! | file | owns |
//! | --- | --- |
//! | [`decode`] | bytes to addresses; pure |
//! | [`encode`] | addresses to bytes; pure |
//! | [`receive`] | the header of a connection accepted |

pub mod decode;
pub mod encode;
pub mod receive;

/// First bytes of version 2.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2 with command LOCAL: the sender speaks for itself.
const LOCAL: u8 = 0x20;
/// Version 2 with command PROXY.
const PROXY: u8 = 0x21;
/// TCP over IPv4.
const TCP4: u8 = 0x11;
/// TCP over IPv6.
const TCP6: u8 = 0x21;
