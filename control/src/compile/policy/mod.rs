//! Traffic policies read into what a cluster takes over, block by block, and composed
//! (Istio contract 3.2).
//!
//! A block is read once, where its rule is, and replaced whole wherever a narrower level has it;
//! nothing is ever merged field by field.

mod balancing;
mod hash;
mod locality;
mod outlier;
mod pool;
mod tls;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use fairway_shared::snapshot::cluster::{ProxyVersion, RetryBudget};
use fairway_shared::snapshot::route::HashKey;

use super::findings::{DUBIOUS, FieldPath, Scope};
use crate::object::traffic_policy::{self as object, PortPolicy, TrafficPolicy};
pub(super) use balancing::Balancing;
pub(super) use locality::{GatewayPlace, LocalitySetting, locality_parts, read_locality};
pub(super) use outlier::Outlier;
pub(super) use pool::{Pool, read_keepalive};
pub(super) use tls::TlsBlock;

/// Retries as a share where a budget does not say, in millionths.
const BUDGET_SHARE_MILLIONTHS: u32 = 200_000;
/// Retries always allowed where a budget does not say.
const BUDGET_RETRIES_MIN: u32 = 3;
/// Stands for the port of settings that name none.
const UNREADABLE_PORT: u16 = 0;

/// The blocks of one level, or those in force for one port and subset.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Blocks {
    /// `connectionPool`.
    pub(super) pool: Option<Arc<Pool>>,
    /// `outlierDetection`.
    pub(super) outlier: Option<Arc<Outlier>>,
    /// `loadBalancer`.
    pub(super) balancing: Option<Arc<Balancing>>,
    /// `tls`.
    pub(super) tls: Option<Arc<TlsBlock>>,
    /// `proxyProtocol`.
    pub(super) proxy_protocol: Option<ProxyVersion>,
    /// `retryBudget`.
    pub(super) retry_budget: Option<RetryBudget>,
}

/// A policy of a rule or of a subset, read.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Policy {
    /// For every port.
    base: Blocks,
    /// `portLevelSettings` by service port; their last two blocks are never set.
    ports: BTreeMap<u16, Blocks>,
}

impl Policy {
    /// The blocks for every port alone.
    pub(super) fn into_base(self) -> Blocks {
        self.base
    }

    /// The blocks of the base, or those of the port, which inherit nothing.
    pub(super) fn at_port(&self, port: u16) -> Blocks {
        self.ports.get(&port).unwrap_or(&self.base).clone()
    }

    /// `over`, with the blocks that this policy of a subset sets; its settings for the port
    /// replace the first four whole.
    pub(super) fn override_blocks(&self, over: Blocks, port: u16) -> Blocks {
        let own = self.base.clone();
        let merged = Blocks {
            pool: own.pool.or(over.pool),
            outlier: own.outlier.or(over.outlier),
            balancing: own.balancing.or(over.balancing),
            tls: own.tls.or(over.tls),
            proxy_protocol: own.proxy_protocol.or(over.proxy_protocol),
            retry_budget: own.retry_budget.or(over.retry_budget),
        };
        let Some(of_port) = self.ports.get(&port) else { return merged };
        Blocks {
            proxy_protocol: merged.proxy_protocol,
            retry_budget: merged.retry_budget,
            ..of_port.clone()
        }
    }

    /// What must outlive a mistake elsewhere in the policy: its TLS. `None` if it asks for none, so
    /// that leaving the policy out sends nothing in plaintext that was not meant to be.
    pub(super) fn into_tls_alone(self) -> Option<Self> {
        let tls_of = |blocks: Blocks| Blocks { tls: blocks.tls, ..Blocks::default() };
        let is_wanted =
            |blocks: &Blocks| blocks.tls.as_deref().is_some_and(|tls| *tls != TlsBlock::Plaintext);
        let ports = self.ports.into_iter().map(|(port, blocks)| (port, tls_of(blocks)));
        let mut alone = Self { base: tls_of(self.base), ports: ports.collect() };
        if alone.ports.remove(&UNREADABLE_PORT).as_ref().is_some_and(is_wanted) {
            // It may be any that is not named.
            alone.base.tls = Some(Arc::new(TlsBlock::Unreadable));
        }
        let has_any = alone.ports.values().chain([&alone.base]).any(is_wanted);
        has_any.then_some(alone)
    }

    /// The hash key of the port's settings, if they have one.
    pub(super) fn hash_at_port(&self, port: u16) -> Option<&Arc<HashKey>> {
        self.ports.get(&port).and_then(hash_of)
    }

    /// The hash key of the base, if it has one.
    pub(super) fn hash(&self) -> Option<&Arc<HashKey>> {
        hash_of(&self.base)
    }
}

fn hash_of(blocks: &Blocks) -> Option<&Arc<HashKey>> {
    blocks.balancing.as_ref()?.hash.as_ref()
}

/// Reads a policy. What is wrong with it breaks the scope, and of what is read then only
/// [`Policy::into_tls_alone`] may be used.
pub(super) fn read_policy(
    policy: &TrafficPolicy,
    port_path: impl Fn(usize) -> FieldPath,
    scope: &mut Scope<'_>,
) -> Policy {
    if *policy == TrafficPolicy::default() {
        scope.invalid("", "is empty", "set a block, or remove it");
    }
    if policy.tunnel.is_some() {
        if policy.proxy_protocol.is_some() {
            scope.invalid("tunnel", "excludes proxyProtocol", "keep one");
        }
        scope.ignored("tunnel");
    }
    let base = Blocks {
        proxy_protocol: policy.proxy_protocol.as_ref().map(|block| read_proxy(block, scope)),
        retry_budget: policy.retry_budget.as_ref().map(|block| read_budget(block, scope)),
        ..read_blocks(&Written::of_policy(policy), scope)
    };
    let mut ports = BTreeMap::new();
    for (at, port) in policy.port_level_settings.iter().enumerate() {
        let mut part = scope.part(port_path(at));
        let (number, blocks) = read_port(port, &mut part);
        let is_broken = part.is_broken();
        match ports.entry(number) {
            Entry::Vacant(free) => {
                free.insert(blocks);
            }
            Entry::Occupied(_) if !is_broken => {
                let what = format_args!("is ignored: earlier settings are for port {number} too");
                part.warn(DUBIOUS, "", what, "keep one entry per port");
            }
            Entry::Occupied(_) => {}
        }
        if is_broken {
            scope.mark_broken();
        }
    }
    Policy { base, ports }
}

fn read_port(port: &PortPolicy, scope: &mut Scope<'_>) -> (u16, Blocks) {
    let number = port.port.as_ref().map_or(0, |selector| selector.number);
    let number = u16::try_from(number).unwrap_or(UNREADABLE_PORT);
    if number == UNREADABLE_PORT {
        scope.invalid("port", "is missing or out of range", "name a service port");
    }
    let blocks = read_blocks(&Written::of_port(port), scope);
    if !scope.is_broken() && blocks == Blocks::default() {
        scope.invalid("", "sets nothing", "set a block, or remove it");
    }
    (number, blocks)
}

/// The blocks that a policy and a port's settings share.
struct Written<'p> {
    load_balancer: Option<&'p object::LoadBalancer>,
    connection_pool: Option<&'p object::ConnectionPool>,
    outlier_detection: Option<&'p object::OutlierDetection>,
    tls: Option<&'p object::ClientTls>,
}

impl<'p> Written<'p> {
    fn of_policy(policy: &'p TrafficPolicy) -> Self {
        Self {
            load_balancer: policy.load_balancer.as_ref(),
            connection_pool: policy.connection_pool.as_ref(),
            outlier_detection: policy.outlier_detection.as_ref(),
            tls: policy.tls.as_ref(),
        }
    }

    fn of_port(port: &'p PortPolicy) -> Self {
        Self {
            load_balancer: port.load_balancer.as_ref(),
            connection_pool: port.connection_pool.as_ref(),
            outlier_detection: port.outlier_detection.as_ref(),
            tls: port.tls.as_ref(),
        }
    }
}

fn read_blocks(written: &Written<'_>, scope: &mut Scope<'_>) -> Blocks {
    Blocks {
        balancing: written.load_balancer.map(|block| Arc::new(balancing::read(block, scope))),
        pool: written.connection_pool.map(|block| Arc::new(pool::read(block, scope))),
        outlier: written.outlier_detection.map(|block| Arc::new(outlier::read(block, scope))),
        tls: written.tls.map(|block| Arc::new(tls::read(block, scope))),
        proxy_protocol: None,
        retry_budget: None,
    }
}

fn read_proxy(block: &object::ProxyProtocol, scope: &mut Scope<'_>) -> ProxyVersion {
    match block.version.as_str() {
        "" | "V1" => ProxyVersion::V1,
        "V2" => ProxyVersion::V2,
        other => {
            let what = format_args!("`{other}` is unknown");
            scope.invalid("proxyProtocol.version", what, "use V1 or V2");
            ProxyVersion::V1
        }
    }
}

fn read_budget(block: &object::RetryBudget, scope: &mut Scope<'_>) -> RetryBudget {
    let share = block.percent.map(|percent| {
        if !(0.0..=100.0).contains(&percent) {
            let what = format_args!("is {percent}, out of range");
            scope.invalid("retryBudget.percent", what, "use 0 to 100");
        }
        // In 0 to 1,000,000 where the scope is not broken.
        (percent * 10_000.0).round() as u32
    });
    RetryBudget {
        share_millionths: share.unwrap_or(BUDGET_SHARE_MILLIONTHS),
        retries_min: block.min_retry_concurrency.unwrap_or(BUDGET_RETRIES_MIN),
    }
}
