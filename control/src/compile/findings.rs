//! Collects what is wrong with the user's objects while the passes run.
//!
//! A [`Scope`] knows the object and the field at hand, so that the passes only say what is wrong
//! and what to do. It also remembers whether the thing at hand has to be left out. It must never
//! stop a pass: one mistake does not hide the next.

use std::collections::HashSet;
use std::fmt::{self, Display};

use fairway_shared::diagnostic::{Diagnostic, Severity};

use super::regexes::Regexes;
use crate::object::Object;

/// A schema rule is broken; the object or entry is left out (Istio contract 9.3).
pub(super) const INVALID: &str = "IST0106";
/// A referenced object, port or subset is not there (Istio contract 9.4).
pub(crate) const NOT_FOUND: &str = "IST0101";
/// A field that Istio deprecates.
pub(super) const DEPRECATED: &str = "IST0002";
/// A service of several ports is referenced without naming one.
pub(super) const PORT_NEEDED: &str = "IST0112";
/// A schema rule warns, the object serves.
pub(super) const DUBIOUS: &str = "IST0133";
/// Upstream TLS that names no authorities.
pub(super) const NO_AUTHORITIES: &str = "IST0128";
/// The same in a port's settings.
pub(super) const NO_PORT_AUTHORITIES: &str = "IST0129";
/// A route that no request can reach.
pub(super) const UNREACHABLE: &str = "IST0130";
/// No host of the VirtualService fits its Gateway.
pub(super) const HOST_MISMATCH: &str = "IST0132";
/// A Gateway port that no Service of the gateway pod offers.
pub(super) const PORT_NOT_OFFERED: &str = "IST0162";
/// A ServiceEntry for TCP without addresses.
pub(super) const NO_ADDRESS: &str = "IST0134";
/// A subset that selects no endpoint.
pub(super) const EMPTY_SUBSET: &str = "IST0173";
/// A DestinationRule whose host is unknown.
pub(super) const UNKNOWN_RULE_HOST: &str = "IST0174";
/// A protocol or a server that no gateway serves.
pub(super) const NOT_SERVED: &str = "FWY0010";
/// A field that is read and checked, but has no effect.
pub(super) const NOT_IN_FORCE: &str = "FWY0011";
/// A Gateway server lost its port to an older one (Istio contract 1.6).
pub(crate) const SERVER_CONFLICT: &str = "FWY0012";
/// A Secret holds no usable certificate, key or authority.
pub(crate) const BAD_CREDENTIAL: &str = "IST0161";
/// A Secret is gone, and what it held is served on.
pub(crate) const SECRET_DELETED: &str = "FWY0019";
/// An endpoint is held back until its pod is known (Istio contract 4.2).
pub(super) const ENDPOINT_HELD: &str = "FWY0013";
/// A `tls` match lost a server name to an older chain of its port (Istio contract 2.11).
pub(crate) const SNI_CONFLICT: &str = "FWY0018";
/// A ServiceEntry that has no endpoint to offer a gateway.
pub(super) const NO_ENDPOINTS: &str = "FWY0017";
/// A delegate's route fits no match of its root (Istio contract 2.7).
pub(super) const DELEGATE_CONFLICT: &str = "FWY0014";

/// All findings of one compile.
#[derive(Default)]
pub(super) struct Findings {
    list: Vec<Diagnostic>,
    /// Verdicts on regular expressions, which often repeat.
    pub(super) regexes: Regexes,
}

impl Findings {
    /// Starts on one object or a part of it.
    pub(super) fn scope<'s>(&'s mut self, object: &'s Object, path: FieldPath) -> Scope<'s> {
        Scope { findings: self, object, path, broken: false }
    }

    /// Everything found, by object and place, the worst first, else in the order of the fields;
    /// without repeats.
    pub(super) fn into_sorted(self) -> Vec<Diagnostic> {
        let mut seen = HashSet::new();
        let mut list = self.list;
        list.retain(|finding| seen.insert(finding.clone()));
        // Stable: the passes walk an object's fields in the order written.
        list.sort_by(|a, b| {
            let by_object = (&a.object, &a.place).cmp(&(&b.object, &b.place));
            by_object.then(b.severity.cmp(&a.severity))
        });
        list
    }
}

/// Which part of an object is at hand. Formatted only when something is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FieldPath {
    /// Name, namespace and labels.
    Metadata,
    /// The object as a whole.
    Spec,
    /// MeshConfig.
    Mesh,
    /// `defaultTrafficPolicy` of MeshConfig.
    MeshPolicy,
    /// One address of an EndpointSlice or Endpoints object.
    Endpoint,
    /// `spec.servers[i]`.
    Server(usize),
    /// `spec.http[i]`.
    Http(usize),
    /// `spec.http[i].match[j]`.
    Match(usize, usize),
    /// `spec.http[i].route[j]`.
    Route(usize, usize),
    /// `spec.tls[i]`.
    Tls(usize),
    /// `spec.tls[i].match[j]`.
    TlsMatch(usize, usize),
    /// `spec.tls[i].route[j]`.
    TlsRoute(usize, usize),
    /// `spec.tcp[i]`.
    Tcp(usize),
    /// `spec.tcp[i].match[j]`.
    TcpMatch(usize, usize),
    /// `spec.tcp[i].route[j]`.
    TcpRoute(usize, usize),
    /// `spec.trafficPolicy`.
    Policy,
    /// `spec.trafficPolicy.portLevelSettings[i]`.
    PolicyPort(usize),
    /// `spec.subsets[i]`.
    Subset(usize),
    /// `spec.subsets[i].trafficPolicy`.
    SubsetPolicy(usize),
    /// `spec.subsets[i].trafficPolicy.portLevelSettings[j]`.
    SubsetPolicyPort(usize, usize),
}

impl Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Metadata => f.write_str("metadata"),
            Self::Mesh => f.write_str("mesh"),
            Self::MeshPolicy => f.write_str("mesh.defaultTrafficPolicy"),
            Self::Spec => f.write_str("spec"),
            Self::Endpoint => f.write_str("endpoint"),
            Self::Server(i) => write!(f, "spec.servers[{i}]"),
            Self::Http(i) => write!(f, "spec.http[{i}]"),
            Self::Match(i, j) => write!(f, "spec.http[{i}].match[{j}]"),
            Self::Route(i, j) => write!(f, "spec.http[{i}].route[{j}]"),
            Self::Tls(i) => write!(f, "spec.tls[{i}]"),
            Self::TlsMatch(i, j) => write!(f, "spec.tls[{i}].match[{j}]"),
            Self::TlsRoute(i, j) => write!(f, "spec.tls[{i}].route[{j}]"),
            Self::Tcp(i) => write!(f, "spec.tcp[{i}]"),
            Self::TcpMatch(i, j) => write!(f, "spec.tcp[{i}].match[{j}]"),
            Self::TcpRoute(i, j) => write!(f, "spec.tcp[{i}].route[{j}]"),
            Self::Policy => f.write_str("spec.trafficPolicy"),
            Self::PolicyPort(i) => write!(f, "spec.trafficPolicy.portLevelSettings[{i}]"),
            Self::Subset(i) => write!(f, "spec.subsets[{i}]"),
            Self::SubsetPolicy(i) => write!(f, "spec.subsets[{i}].trafficPolicy"),
            Self::SubsetPolicyPort(i, j) => {
                write!(f, "spec.subsets[{i}].trafficPolicy.portLevelSettings[{j}]")
            }
        }
    }
}

/// The object and field at hand, and whether it has to be left out.
///
/// The reporting methods take, in this order: the field below the path (may be empty), what is
/// wrong with it, and the remedy.
pub(super) struct Scope<'s> {
    findings: &'s mut Findings,
    object: &'s Object,
    path: FieldPath,
    broken: bool,
}

impl Scope<'_> {
    /// A part of what is at hand, with its own verdict.
    pub(super) fn part(&mut self, path: FieldPath) -> Scope<'_> {
        Scope { findings: self.findings, object: self.object, path, broken: false }
    }

    /// A schema rule is broken: what is at hand will be left out.
    pub(super) fn invalid(&mut self, field: &str, problem: impl Display, remedy: &str) {
        self.broken = true;
        self.report((Severity::Error, INVALID), field, problem, remedy);
    }

    /// Which part of the object is at hand.
    pub(super) fn path(&self) -> FieldPath {
        self.path
    }

    /// What is at hand will be left out because a part of it was.
    pub(super) fn mark_broken(&mut self) {
        self.broken = true;
    }

    /// Does what is at hand have to be left out?
    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Wrong, but what is at hand stays.
    pub(super) fn error(
        &mut self,
        code: &'static str,
        field: &str,
        problem: impl Display,
        remedy: &str,
    ) {
        self.report((Severity::Error, code), field, problem, remedy);
    }

    /// Dubious; what is at hand stays.
    pub(super) fn warn(
        &mut self,
        code: &'static str,
        field: &str,
        problem: impl Display,
        remedy: &str,
    ) {
        self.report((Severity::Warning, code), field, problem, remedy);
    }

    /// Worth knowing.
    pub(super) fn info(
        &mut self,
        code: &'static str,
        field: &str,
        problem: impl Display,
        remedy: &str,
    ) {
        self.report((Severity::Info, code), field, problem, remedy);
    }

    /// The field is read and checked, but has no effect.
    pub(super) fn ignored(&mut self, field: &str) {
        self.warn(
            NOT_IN_FORCE,
            field,
            "is accepted but not in force yet",
            "traffic flows as if the field were absent",
        );
    }

    /// Judges a regular expression, see [`Regexes::check`].
    ///
    /// # Errors
    /// What is wrong with it, on one line.
    pub(super) fn check_regex(&mut self, pattern: &str) -> Result<usize, String> {
        self.findings.regexes.check(pattern)
    }

    fn report(
        &mut self,
        (severity, code): (Severity, &'static str),
        field: &str,
        problem: impl Display,
        remedy: &str,
    ) {
        let dot = if field.is_empty() { "" } else { "." };
        self.findings.list.push(Diagnostic {
            severity,
            code,
            object: self.object.reference(),
            place: self.object.place.clone(),
            message: format!("{}{dot}{field} {problem}", self.path),
            remedy: remedy.to_owned(),
        });
    }
}
