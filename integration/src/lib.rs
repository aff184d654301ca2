//! The whole of Fairway as a user has it: real processes, fake upstreams, and promises as tests.
//!
//! | module | owns |
//! | --- | --- |
//! | [`world`] | one running instance with its directories, and how to wait for it |
//! | [`dk_shop`] | the reference configuration, running |
//! | [`mesh`] | a configuration of many virtual hosts, running |
//! | [`upstream`] | a backend that records what it was asked and answers as told |
//! | [`scripted`] | a backend that says given bytes |
//! | [`certificates`] | an authority, what it signs, and Secrets that hold it |
//! | [`client`] | HTTP/1.1, HTTP/2 and raw bytes towards a listener |
//! | [`dns`] | a DNS server that answers as told |
//! | [`load`] | many connections at once, each failure counted by kind |
//! | [`manifests`] | the reference configuration with the ports of the fakes |
//! | [`process`] | what the kernel knows of a process and its sockets |
//! | [`tcp`] | backends of opaque bytes, and the objects that lead to them |
//! | [`tls`] | a client of TLS, and a backend that ends TLS itself |
//! | [`tls_front`] | TLS in front of a backend that speaks none |
//! | [`wait`] | conditions with deadlines |
//!
//! Ports come from the kernel, tests run side by side, and nothing waits for time to pass.

#![forbid(unsafe_code)]

pub mod certificates;
pub mod client;
pub mod dk_shop;
pub mod dns;
pub mod frames;
pub mod load;
pub mod manifests;
pub mod mesh;
pub mod process;
pub mod raw;
pub mod scripted;
pub mod tcp;
pub mod tls;
pub mod tls_front;
pub mod upstream;
pub mod wait;
pub mod world;
