//! What an upstream connection is secured with, so that a request never travels on one that was
//! secured for another name or under another policy.

use std::sync::Arc;

use http::HeaderMap;
use http::header::HOST;

use crate::tls::originating::Originating;

/// Of a connection that is secured.
#[derive(Debug, Clone)]
pub struct Secured {
    tls: Arc<Originating>,
    /// Where the server name follows the request's Host.
    host: Option<Box<str>>,
}

/// What a request wants of its connection; `None` in its place = plaintext.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'w> {
    /// As the cluster has it.
    pub tls: &'w Arc<Originating>,
    /// As of [`Secured`].
    pub host: Option<&'w str>,
}

impl<'w> Wanted<'w> {
    /// What a request with these headers wants.
    pub fn new(tls: Option<&'w Arc<Originating>>, headers: &'w HeaderMap) -> Option<Self> {
        let tls = tls?;
        let host = tls.follows_host().then(|| host_of(headers)).flatten();
        Some(Self { tls, host })
    }

    /// For the connection that is made.
    pub fn secured(&self) -> Secured {
        Secured { tls: Arc::clone(self.tls), host: self.host.map(Box::from) }
    }
}

/// May the connection carry the request?
pub fn is_as_wanted(secured: Option<&Secured>, wanted: Option<Wanted<'_>>) -> bool {
    match (secured, wanted) {
        (None, None) => true,
        (Some(is), Some(wanted)) => {
            Arc::ptr_eq(&is.tls, wanted.tls) && is.host.as_deref() == wanted.host
        }
        _ => false,
    }
}

/// Is the connection secured by what is in force?
pub fn is_in_force(secured: Option<&Secured>, tls: Option<&Arc<Originating>>) -> bool {
    match (secured, tls) {
        (None, None) => true,
        (Some(is), Some(tls)) => Arc::ptr_eq(&is.tls, tls),
        _ => false,
    }
}

/// Host without its port, a last dot, and the brackets of an address.
fn host_of(headers: &HeaderMap) -> Option<&str> {
    let host = headers.get(HOST)?.to_str().ok()?;
    if let Some(address) = host.strip_prefix('[') {
        return address.split_once(']').map(|(address, _)| address);
    }
    let name = host.split_once(':').map_or(host, |(name, _)| name);
    Some(name.strip_suffix('.').unwrap_or(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_loses_its_port() {
        for (host, expected) in [
            ("a.example.com", "a.example.com"),
            ("a.example.com:8443", "a.example.com"),
            ("a.example.com.:80", "a.example.com"),
            ("10.0.0.1:80", "10.0.0.1"),
            ("[::1]:80", "::1"),
            ("[::1]", "::1"),
        ] {
            let headers = [(HOST, host.parse().unwrap())].into_iter().collect();
            assert_eq!(host_of(&headers), Some(expected), "{host}");
        }
    }
}
