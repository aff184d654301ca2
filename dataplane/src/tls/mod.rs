//! TLS of both sides: certificates, whom to trust, and how a handshake is done.
//!
//! | module | owns |
//! | --- | --- |
//! | [`accept`], [`hello`] | a connection from its client hello to the end of its handshake |
//! | [`names`] | server name to chain |
//! | [`material`] | what certificates are made of: secrets and files |
//! | [`trust`], [`client_check`] | authorities, and what is asked of clients |
//! | [`server`] | a Gateway server's TLS as the library wants it |
//! | [`tickets`] | session tickets that all workers can read |
//! | [`originating`], [`server_check`] | TLS to endpoints, and what is asked of them |
//! | [`unannounced`] | an endpoint that closes without a farewell |
//! | [`fault`] | why a handshake with an endpoint failed |
//! | [`table`] | the chains of a listener, ready for handshakes |

pub mod accept;
pub mod client_check;
pub mod fault;
pub mod hello;
pub mod material;
pub mod names;
pub mod originating;
pub mod server;
pub mod server_check;
pub mod table;
#[cfg(test)]
pub mod testing;
pub mod tickets;
pub mod trust;
pub mod unannounced;
