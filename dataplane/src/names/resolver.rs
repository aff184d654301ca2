//! Asking a DNS server: those of `/etc/resolv.conf`, or the one of the command line. `/etc/hosts`
//! comes first, search domains and `ndots` hold as the system has them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;

use super::schedule::Outcome;

/// For one server to answer one question. Two are asked before it counts as failed.
const TIMEOUT: Duration = Duration::from_secs(2);

/// See the module. Made when the first name comes up.
#[derive(Clone)]
pub struct Resolver(Option<Arc<TokioResolver>>);

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Resolver")
    }
}

impl Resolver {
    /// Asks this server, or the system's. Must be used inside a runtime.
    pub fn new(server: Option<SocketAddr>) -> Self {
        let built = match server {
            None => TokioResolver::builder_tokio(),
            Some(server) => {
                let provider = TokioRuntimeProvider::default();
                Ok(TokioResolver::builder_with_config(config_of(server), provider))
            }
        };
        let built = built.and_then(|mut builder| {
            set_options(builder.options_mut());
            builder.build()
        });
        let built = built.inspect_err(|error| tracing::error!("no names are resolved: {error}"));
        Self(built.ok().map(Arc::new))
    }

    /// Addresses of a name, of both kinds.
    pub async fn ask(&self, name: &str) -> Outcome {
        let Some(resolver) = &self.0 else { return Outcome::Failed };
        match resolver.lookup_ip(name).await {
            Ok(found) => {
                let addresses: Vec<_> = found.iter().collect();
                let ttl = found.valid_until().saturating_duration_since(Instant::now());
                if addresses.is_empty() {
                    return Outcome::Nothing;
                }
                // What has run for less than a moment was not said to hold at all.
                let ttl = if ttl < Duration::from_millis(1) { Duration::ZERO } else { ttl };
                Outcome::Found { addresses, ttl }
            }
            Err(error) => {
                tracing::debug!("{name}: {error}");
                outcome_of(&error)
            }
        }
    }
}

fn outcome_of(error: &NetError) -> Outcome {
    if error.is_no_records_found() { Outcome::Nothing } else { Outcome::Failed }
}

fn config_of(server: SocketAddr) -> ResolverConfig {
    let (mut udp, mut tcp) = (ConnectionConfig::udp(), ConnectionConfig::tcp());
    (udp.port, tcp.port) = (server.port(), server.port());
    let server = NameServerConfig::new(server.ip(), true, vec![udp, tcp]);
    ResolverConfig::from_parts(None, Vec::new(), vec![server])
}

fn set_options(options: &mut ResolverOpts) {
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    // What holds is remembered by whoever asks: an answer is never older than its TTL.
    options.cache_size = 0;
    options.timeout = options.timeout.min(TIMEOUT);
}
