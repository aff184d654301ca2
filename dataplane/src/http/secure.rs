//! What a request on a TLS connection may see: the routes of the server block that its authority
//! belongs to, if a connection to that block would have been let in on the same terms.
//!
//! Browsers send requests for one name over a connection they made for another, when one
//! certificate covers both (RFC 9113 9.1.1). Such a request gets the other block's routes, or
//! 421, after which the browser opens a connection of its own; never this block's routes.

use std::cell::RefCell;
use std::rc::{Rc, Weak};

use http::header::HeaderValue;
use rustls::ServerConnection;

use super::client_certificate;
use super::reply::ProxyError;
use crate::listener::bound::{BoundChain, BoundKind, BoundListener};
use crate::route::bound::BoundTable;
use crate::tls::table::Policy;
use crate::worker::published::View;

/// The TLS of one downstream connection.
#[derive(Debug)]
pub struct Secure {
    server_name: Option<Rc<str>>,
    /// Name of the chain, and what it demanded.
    chain: String,
    policy: Policy,
    listener: View<BoundListener>,
    /// The listener that was looked at last, and whether the chain still demanded the same then.
    /// Weak: an idle connection must not keep an old listener.
    seen: RefCell<(Weak<BoundListener>, bool)>,
    client_certificate: Option<HeaderValue>,
}

impl Secure {
    /// `chain` is the place of the connection's chain in `accepted_by`; `None` if TLS does not
    /// end there.
    pub fn new(
        server_name: Option<Rc<str>>,
        chain: usize,
        accepted_by: &Rc<BoundListener>,
        listener: View<BoundListener>,
        session: &ServerConnection,
    ) -> Option<Self> {
        let BoundKind::Tls(tls) = &accepted_by.kind else { return None };
        let (chain, terminating) = tls.table.terminating(chain)?;
        let seen = RefCell::new((Rc::downgrade(accepted_by), true));
        Some(Self {
            server_name,
            chain: chain.to_owned(),
            policy: terminating.policy().clone(),
            listener,
            seen,
            client_certificate: client_certificate::header(session),
        })
    }

    /// Value of `x-forwarded-client-cert`; `None` if the client showed no certificate.
    pub fn client_certificate(&self) -> Option<&HeaderValue> {
        self.client_certificate.as_ref()
    }

    /// The routes for a request to `host`, which is lower case and without a port. `own` are
    /// those of the connection's chain.
    ///
    /// # Errors
    /// The request has to come by another connection.
    pub fn table_for(
        &self,
        host: &str,
        own: &View<BoundTable>,
    ) -> Result<Rc<BoundTable>, ProxyError> {
        let listener = self.listener.load();
        let is_own_name = self.server_name.as_deref() == Some(host);
        let mut seen = self.seen.borrow_mut();
        if !std::ptr::eq(seen.0.as_ptr(), Rc::as_ptr(&listener)) {
            let is_same = self.demands_the_same(&listener);
            *seen = (Rc::downgrade(&listener), is_same);
        }
        if !seen.1 {
            return Err(ProxyError::Misdirected);
        }
        if is_own_name {
            return Ok(own.load());
        }
        let BoundKind::Tls(tls) = &listener.kind else { return Ok(own.load()) };
        match tls.table.find(Some(host)) {
            // No block serves the name: nobody's routes to give away, and nothing will match.
            None => Ok(own.load()),
            Some((_, chain)) if chain.name == self.chain => Ok(own.load()),
            Some((at, chain)) => match (tls.chains.get(at), &chain.terminating) {
                (Some(BoundChain::Http(table)), Some(other)) if *other.policy() == self.policy => {
                    Ok(table.load())
                }
                _ => Err(ProxyError::Misdirected),
            },
        }
    }

    /// Would the chain let this client in today on the terms of its handshake? A chain that is
    /// gone demands nothing new: what it served may drain.
    fn demands_the_same(&self, listener: &BoundListener) -> bool {
        let BoundKind::Tls(tls) = &listener.kind else { return true };
        let terminating = tls.table.named(&self.chain).and_then(|chain| chain.terminating.as_ref());
        terminating.is_none_or(|terminating| *terminating.policy() == self.policy)
    }
}
