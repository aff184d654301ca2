//! Gateways that get in each other's way on the pods that they share.

use fairway_shared::diagnostic::Severity;

use super::{Findings, Named, Sorted, key};
use crate::compile::is_subset;
use crate::object::gateway::{Gateway, Server};

/// Two Gateways use one credential (Istio contract 9.4).
const SHARED_CREDENTIAL: (Severity, &str) = (Severity::Warning, "IST0138");
/// Two Gateways open one port for one host (Istio contract 9.4).
const SHARED_HOST: (Severity, &str) = (Severity::Error, "IST0145");

pub(super) fn check(sorted: &Sorted<'_>, findings: &mut Findings) {
    for (at, one) in sorted.gateways.iter().enumerate() {
        for other in &sorted.gateways[at + 1..] {
            if share_pods(sorted, one.1, other.1) {
                hosts(*one, *other, findings);
                credentials(*one, *other, findings);
            }
        }
    }
}

/// Does some pod carry the labels of both selectors?
fn share_pods(sorted: &Sorted<'_>, one: &Gateway, other: &Gateway) -> bool {
    let takes = |labels| is_subset(&one.selector, labels) && is_subset(&other.selector, labels);
    one.selector == other.selector
        || takes(&sorted.pod.labels)
        || sorted.pods.iter().any(|(pod, _)| takes(&pod.meta.labels))
}

fn hosts(one: Named<'_, Gateway>, other: Named<'_, Gateway>, findings: &mut Findings) {
    for server in &one.1.servers {
        for rival in other.1.servers.iter().filter(|rival| is_same_port(server, rival)) {
            let Some(host) = server.hosts.iter().find(|host| rival.hosts.contains(host)) else {
                continue;
            };
            let port = server.port.as_ref().map_or(0, |port| port.number);
            for (mine, theirs) in [(one.0, other.0), (other.0, one.0)] {
                let message = format!(
                    "spec.servers opens port {port} for `{host}`, and so does Gateway `{}`",
                    key(theirs)
                );
                let remedy = "keep the host in one of them, or give them different ports";
                findings.add(SHARED_HOST, mine, message, remedy);
            }
        }
    }
}

fn is_same_port(one: &Server, other: &Server) -> bool {
    let number = |server: &Server| server.port.as_ref().map(|port| port.number);
    one.bind == other.bind && number(one).is_some() && number(one) == number(other)
}

fn credentials(one: Named<'_, Gateway>, other: Named<'_, Gateway>, findings: &mut Findings) {
    for credential in credentials_of(one.1) {
        if !credentials_of(other.1).any(|rival| rival == credential) {
            continue;
        }
        for (mine, theirs) in [(one.0, other.0), (other.0, one.0)] {
            let message = format!(
                "spec.servers.tls uses {credential}, and so does Gateway `{}`: clients that reuse \
                 a connection get 404",
                key(theirs)
            );
            let remedy = "give each Gateway a certificate of its own, or merge the Gateways";
            findings.add(SHARED_CREDENTIAL, mine, message, remedy);
        }
    }
}

/// What each server presents, in words.
fn credentials_of(gateway: &Gateway) -> impl Iterator<Item = String> {
    gateway.servers.iter().filter_map(|server| {
        let tls = server.tls.as_ref()?;
        match (tls.credential_name.as_str(), tls.server_certificate.as_str()) {
            ("", "") => None,
            ("", file) => Some(format!("the certificate `{file}` with `{}`", tls.private_key)),
            (name, _) => Some(format!("credentialName `{name}`")),
        }
    })
}
