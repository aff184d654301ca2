//! The chains of one listener, ready for handshakes: a name leads to a chain, a chain to its
//! configuration.
//!
//! Made on the helper thread when a snapshot is prepared. What did not change is shared with the
//! predecessor. A chain whose material is bad keeps the configuration it had, if it is still what
//! the Gateway asks for; without one its handshakes fail, and only its own.

use std::sync::{Arc, PoisonError, RwLock};

use fairway_shared::snapshot::listener::{ChainAction, Listener, TlsChain};
use fairway_shared::snapshot::tls::{ClientDemand, ServerTls, TlsVersion};
use rustls::ServerConfig;

use super::material::{MaterialError, Materials, is_file, is_trust_file};
use super::names::NameIndex;
use super::server::Recipe;
use super::tickets::TicketSecret;

/// See the module.
#[derive(Debug, Default)]
pub struct TlsTable {
    names: NameIndex,
    chains: Vec<Chain>,
}

/// One chain.
#[derive(Debug)]
pub struct Chain {
    /// `https.<port>.<name>.<gateway>.<namespace>`.
    pub name: String,
    /// `None`: the client's TLS does not end here.
    pub terminating: Option<Arc<Terminating>>,
}

/// TLS that ends here. The configuration changes while connections come in if it is made of
/// files.
#[derive(Debug)]
pub struct Terminating {
    /// Taken for a moment per handshake; written when files change.
    state: RwLock<State>,
    policy: Policy,
    has_files: bool,
}

/// What a client had to do to be let in. Connections of equal policy may carry each other's
/// requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    client: ClientDemand,
    version_min: TlsVersion,
}

#[derive(Debug, Clone)]
struct State {
    recipe: Recipe,
    config: Result<Arc<ServerConfig>, MaterialError>,
}

impl TlsTable {
    /// Makes the chains of a listener. `previous` is its predecessor's, and is what is returned
    /// if nothing has changed.
    pub fn new(
        listener: &Listener,
        from: Materials<'_>,
        tickets: &TicketSecret,
        previous: Option<&Arc<Self>>,
    ) -> Arc<Self> {
        let specs = listener.chains();
        let names = NameIndex::new(specs.iter().map(|chain| &chain.server_names[..]));
        let chain = |(at, spec): (usize, &TlsChain)| {
            // Chains mostly stay where they are.
            let is_it = |chain: &&Chain| chain.name == spec.name;
            let old = previous.and_then(|old| {
                old.chains.get(at).filter(is_it).or_else(|| old.chains.iter().find(is_it))
            });
            let terminating = terminated(spec).map(|(tls, is_tcp)| {
                let recipe = Recipe::read(tls, is_tcp, &spec.name, from);
                let old = old.and_then(|old| old.terminating.as_ref());
                Terminating::new(recipe, tickets, old, from.fails_without_secret)
            });
            Chain { name: spec.name.clone(), terminating }
        };
        let chains: Vec<_> = specs.iter().enumerate().map(chain).collect();
        match previous {
            Some(old) if old.names == names && old.is_made_of(&chains) => Arc::clone(old),
            _ => Arc::new(Self { names, chains }),
        }
    }

    fn is_made_of(&self, chains: &[Chain]) -> bool {
        let is_same = |(one, other): (&Chain, &Chain)| {
            let is_same_tls = match (&one.terminating, &other.terminating) {
                (Some(one), Some(other)) => Arc::ptr_eq(one, other),
                (one, other) => one.is_none() && other.is_none(),
            };
            is_same_tls && one.name == other.name
        };
        self.chains.len() == chains.len() && self.chains.iter().zip(chains).all(is_same)
    }

    /// The chain for a lower-case server name, and its place among the listener's.
    pub fn find(&self, name: Option<&str>) -> Option<(usize, &Chain)> {
        let at = self.names.find(name)?;
        Some((at, self.chains.get(at)?))
    }

    /// Reads files anew; returns the chains that have changed, with what is wrong with them.
    pub fn refresh(
        &self,
        from: Materials<'_>,
        tickets: &TicketSecret,
    ) -> Vec<(&str, Option<MaterialError>)> {
        let in_files = self.chains.iter().filter_map(|chain| {
            Some((chain, chain.terminating.as_ref().filter(|terminating| terminating.has_files)?))
        });
        in_files
            .filter_map(|(chain, terminating)| {
                let outcome = terminating.refresh(from, tickets)?;
                Some((chain.name.as_str(), outcome.err()))
            })
            .collect()
    }

    /// Is any chain made of files?
    pub fn has_files(&self) -> bool {
        self.chains.iter().flat_map(|chain| &chain.terminating).any(|one| one.has_files)
    }

    /// The name of a chain, and its TLS if it ends there.
    pub fn terminating(&self, at: usize) -> Option<(&str, &Terminating)> {
        let chain = self.chains.get(at)?;
        Some((&chain.name, chain.terminating.as_deref()?))
    }

    /// A chain by its name. Not for every request.
    pub fn named(&self, name: &str) -> Option<&Chain> {
        self.chains.iter().find(|chain| chain.name == name)
    }
}

fn terminated(chain: &TlsChain) -> Option<(&ServerTls, bool)> {
    match &chain.action {
        ChainAction::Http { tls, .. } => Some((tls, false)),
        ChainAction::Tcp { tls, .. } => Some((tls, true)),
        ChainAction::Passthrough { .. } | ChainAction::AutoPassthrough => None,
    }
}

impl Terminating {
    fn new(
        recipe: Recipe,
        tickets: &TicketSecret,
        previous: Option<&Arc<Self>>,
        fails_without_secret: bool,
    ) -> Arc<Self> {
        let old = previous.map(|previous| (previous, previous.state()));
        if let Some((previous, old)) = &old
            && old.recipe == recipe
        {
            return Arc::clone(previous);
        }
        let has_files = recipe.tls.certificates.iter().any(is_file)
            || matches!(&recipe.tls.client,
                ClientDemand::Certificate { trust, .. } if is_trust_file(trust));
        let tls = &recipe.tls;
        let policy = Policy { client: tls.client.clone(), version_min: tls.version_min };
        let state = State::new(recipe, tickets, old.map(|(_, old)| old), fails_without_secret);
        Arc::new(Self { state: RwLock::new(state), policy, has_files })
    }

    /// How a handshake that begins now is done.
    ///
    /// # Errors
    /// What is wrong with the chain's certificates.
    pub fn config(&self) -> Result<Arc<ServerConfig>, MaterialError> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).config.clone()
    }

    /// What clients have to do to be let in.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// `None` if nothing has changed; else whether the new material is usable.
    fn refresh(
        &self,
        from: Materials<'_>,
        tickets: &TicketSecret,
    ) -> Option<Result<(), MaterialError>> {
        let old = self.state();
        let Recipe { tls, is_tcp, chain, .. } = &old.recipe;
        let recipe = Recipe::read(tls, *is_tcp, chain, from);
        if recipe == old.recipe {
            return None;
        }
        let made = recipe.server_config(tickets).map(Arc::new);
        let outcome = made.as_ref().map(drop).map_err(Clone::clone);
        let config = made.or_else(|error| old.config.map_err(|_| error));
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = State { recipe, config };
        Some(outcome)
    }

    fn state(&self) -> State {
        self.state.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl State {
    fn new(
        recipe: Recipe,
        tickets: &TicketSecret,
        old: Option<Self>,
        fails_without_secret: bool,
    ) -> Self {
        let config = recipe.server_config(tickets).map(Arc::new).or_else(|error| {
            let is_over = fails_without_secret && matches!(error, MaterialError::NoSecret(_));
            // Only the material may differ: what the Gateway demands is never served weaker.
            let same = old.filter(|old| !is_over && old.recipe.tls == recipe.tls);
            let kept = same.and_then(|old| old.config.ok());
            match &kept {
                Some(_) => {
                    tracing::error!("TLS of {}: {error}; the last pair serves on", recipe.chain);
                }
                None => tracing::error!("TLS of {}: {error}; handshakes fail", recipe.chain),
            }
            kept.ok_or(error)
        });
        Self { recipe, config }
    }
}

#[cfg(test)]
mod tests;
