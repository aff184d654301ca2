//! The Secrets that servers and rules name, looked up in the gateway pod's own namespace and
//! nowhere else (Istio contract 1.7, 3.6). Only what is named enters the snapshot.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fairway_shared::certificate;
use fairway_shared::id::{ClusterId, SecretName};
use fairway_shared::snapshot::cluster::Cluster;
use fairway_shared::snapshot::tls::{
    CertificateSource, ClientDemand, Secret, ServerTls, TrustSource,
};

use super::World;
use super::findings::{BAD_CREDENTIAL, FieldPath, Findings, NOT_FOUND, SECRET_DELETED, Scope};
use super::gateways::GatewayPlan;
use super::index::Index;
use super::server_tls::TlsPlan;
use crate::object::secret::{self, AUTHORITIES_SUFFIX};

/// Keys of certificate and private key, and of authorities and revocations, the first that is
/// complete.
const PAIR_KEYS: [(&str, &str); 2] = [("cert", "key"), ("tls.crt", "tls.key")];
const AUTHORITY_KEYS: [(&str, &str); 2] = [("cacert", "crl"), ("ca.crt", "ca.crl")];
const STAPLE_KEY: &str = "tls.ocsp-staple";

/// The Secrets that the servers of selected Gateways name. What is missing or unusable is
/// reported; the server stays, and its handshakes fail until there is something better.
pub(super) fn collect(
    index: &Index<'_>,
    gateways: &[GatewayPlan<'_>],
    findings: &mut Findings,
) -> BTreeMap<SecretName, Arc<Secret>> {
    let mut found = BTreeMap::new();
    for gateway in gateways.iter().filter(|gateway| gateway.is_selected) {
        for server in &gateway.servers {
            let Some(TlsPlan::Http(tls) | TlsPlan::Tcp(tls)) = &server.tls else { continue };
            let path = FieldPath::Server(server.index);
            let mut scope = findings.scope(gateway.gateway.object, path);
            for name in names(tls) {
                let Some(secret) = find(index, name, &mut scope) else { continue };
                let is_identity =
                    tls.certificates.contains(&CertificateSource::Secret(name.clone()));
                let uses = Uses { is_identity, is_trust: trusted(tls) == Some(name) };
                check(uses, name, &secret, &mut scope);
                found.entry(name.clone()).or_insert(secret);
            }
        }
    }
    found
}

/// Adds the Secrets that the rules in force for these clusters name. What is missing or unusable
/// is reported; handshakes with the backend fail until there is something better.
pub(super) fn collect_upstream(
    world: &World<'_>,
    clusters: &BTreeMap<ClusterId, Arc<Cluster>>,
    found: &mut BTreeMap<SecretName, Arc<Secret>>,
    findings: &mut Findings,
) {
    for (id, cluster) in clusters {
        let Some(tls) = &cluster.tls else { continue };
        let Some(backend) = world.index.backend(&id.service.host) else { continue };
        let rule = world.rules.effective(&id.service.host, backend.namespace());
        let Some(rule) = rule else { continue };
        let mut scope = findings.scope(rule.object, FieldPath::Policy);
        let identity = match &tls.identity {
            Some(CertificateSource::Secret(name)) => Some(name),
            _ => None,
        };
        let trust = match &tls.trust {
            // What is written like an address was refused where the rule was read.
            TrustSource::Secret(name) if !name.0.contains("://") => Some(name),
            _ => None,
        };
        let names: BTreeSet<&SecretName> = identity.into_iter().chain(trust).collect();
        for name in names {
            let Some(secret) = find(&world.index, name, &mut scope) else { continue };
            let uses = Uses { is_identity: identity == Some(name), is_trust: trust == Some(name) };
            check(uses, name, &secret, &mut scope);
            found.entry(name.clone()).or_insert(secret);
        }
    }
}

/// What a Secret has to offer.
#[derive(Clone, Copy)]
struct Uses {
    /// A certificate with its key.
    is_identity: bool,
    /// Authorities.
    is_trust: bool,
}

fn names(tls: &ServerTls) -> BTreeSet<&SecretName> {
    let certificates = tls.certificates.iter().filter_map(|source| match source {
        CertificateSource::Secret(name) => Some(name),
        CertificateSource::Files { .. } | CertificateSource::Mesh => None,
    });
    certificates.chain(trusted(tls)).collect()
}

/// The Secret that holds the authorities for clients.
fn trusted(tls: &ServerTls) -> Option<&SecretName> {
    match &tls.client {
        ClientDemand::Certificate { trust: TrustSource::Secret(name), .. } => Some(name),
        ClientDemand::Certificate { .. } | ClientDemand::None => None,
    }
}

/// What the Secret of that name holds, or held before it was deleted. What is not there is
/// reported.
fn find(index: &Index<'_>, name: &SecretName, scope: &mut Scope<'_>) -> Option<Arc<Secret>> {
    if let Some(secret) = read(index, name) {
        return Some(Arc::new(secret));
    }
    let held = index.deleted_secret(name);
    match held {
        Some(_) => report_deleted(index, name, scope),
        None => report_missing(index, name, scope),
    }
    held
}

/// What the Secret of that name holds, its authorities from their own Secret if there is one.
fn read(index: &Index<'_>, name: &SecretName) -> Option<Secret> {
    let own = index.secret(&name.0);
    let authorities = index.secret(&format!("{name}{AUTHORITIES_SUFFIX}")).or(own);
    if own.is_none() && authorities.is_none() {
        return None;
    }
    let mut secret = Secret::default();
    if let Some(own) = own {
        if let Some((chain, key)) = first_of(own, PAIR_KEYS, true) {
            (secret.certificate_chain, secret.private_key) = (chain, key);
        }
        secret.ocsp_staple = own.value(STAPLE_KEY).unwrap_or_default();
    }
    if let Some((bundle, lists)) =
        authorities.and_then(|held| first_of(held, AUTHORITY_KEYS, false))
    {
        (secret.authorities, secret.revocations) = (bundle, lists);
    }
    Some(secret)
}

/// The values of the first pair of keys that is there; `both` must be, or the first alone.
fn first_of(
    secret: &secret::Secret,
    keys: [(&str, &str); 2],
    both: bool,
) -> Option<(Vec<u8>, Vec<u8>)> {
    keys.iter().find_map(|(first, second)| {
        let (first, second) = (secret.value(first)?, secret.value(second));
        (second.is_some() || !both).then(|| (first, second.unwrap_or_default()))
    })
}

fn report_missing(index: &Index<'_>, name: &SecretName, scope: &mut Scope<'_>) {
    let namespace = &index.pod.namespace;
    let problem = format_args!("`{name}` is no Secret of namespace {namespace}");
    let remedy = "create it in the gateway pod's namespace; until then handshakes fail";
    scope.error(NOT_FOUND, "tls.credentialName", problem, remedy);
}

fn report_deleted(index: &Index<'_>, name: &SecretName, scope: &mut Scope<'_>) {
    let namespace = &index.pod.namespace;
    let problem = format_args!(
        "`{name}` is no Secret of namespace {namespace} any more; what it held last serves on"
    );
    let remedy = "create it again, or remove what names it; a restart of control forgets it";
    scope.error(SECRET_DELETED, "tls.credentialName", problem, remedy);
}

fn check(uses: Uses, name: &SecretName, secret: &Secret, scope: &mut Scope<'_>) {
    let mut report = |problem: certificate::PemError, remedy| {
        let problem = format_args!("`{name}` {problem}");
        scope.error(BAD_CREDENTIAL, "tls.credentialName", problem, remedy);
    };
    if uses.is_identity
        && let Err(problem) = certificate::pair(&secret.certificate_chain, &secret.private_key)
    {
        report(problem, "put the certificate into `tls.crt` and its key into `tls.key`");
    }
    if !uses.is_trust {
        return;
    }
    if let Err(problem) = certificate::authorities(&secret.authorities) {
        report(problem, "put the authorities into `ca.crt` of it or of the Secret `…-cacert`");
    }
    if let Err(problem) = certificate::revocations(&secret.revocations) {
        report(problem, "put PEM revocation lists into `ca.crl`, or remove the key");
    }
}
