//! What a route does with a request, compiled: header names parsed, clusters numbered, regexes
//! built. Pure; carrying it out is `http/exchange`'s work.

use std::slice;
use std::sync::Arc;
use std::time::Duration;

use fairway_shared::id::ClusterId;
use fairway_shared::pattern;
use fairway_shared::snapshot::route::{
    self, CorsPolicy, Destination, DirectResponse, Fault, PathMatch, PathRewrite, RetryPolicy,
    RouteAction, RouteSpec, Share,
};
use http::StatusCode;
use http::header::HeaderValue;
use regex::bytes::Regex;

use super::affinity::Affinity;
use super::cors::Cors;
use super::edit::Edits;
use super::redirect::Redirect;
use super::route_set::Numbering;
use super::table::RouteError;
use super::weights::Weights;

/// What a route does.
#[derive(Debug)]
pub struct Action {
    /// The main thing.
    pub kind: ActionKind,
    /// Cross-origin policy.
    pub cors: Option<Box<Cors>>,
    /// Injected faults.
    pub fault: Option<Arc<Fault>>,
}

/// The main thing a route does.
#[derive(Debug)]
pub enum ActionKind {
    /// Sends the request on.
    Forward(Box<Forward>),
    /// Answers with a redirect.
    Redirect(Box<Redirect>),
    /// Answers with a fixed response.
    Direct(Box<Direct>),
}

/// A fixed response.
#[derive(Debug)]
pub struct Direct {
    /// Its status.
    pub status: StatusCode,
    /// Its body.
    pub body: bytes::Bytes,
    /// Route-level response operations.
    pub edits: Edits,
}

/// Sending the request on.
#[derive(Debug)]
pub struct Forward {
    /// Never empty.
    pub targets: Box<[Target]>,
    /// Which target takes the next request.
    pub weights: Weights,
    /// How the path changes.
    pub path: Option<PathChange>,
    /// Host sent upstream, before any header operation on Host.
    pub authority: Option<HeaderValue>,
    /// For the whole request.
    pub timeout: Option<Duration>,
    /// When it is tried again.
    pub retry: Option<Arc<RetryPolicy>>,
    /// Copies.
    pub mirrors: Box<[MirrorTarget]>,
}

/// One destination.
#[derive(Debug)]
pub struct Target {
    /// Number in the table's list of clusters.
    pub cluster: u32,
    /// Operations on the request, in order of application.
    pub request_edits: Box<[Edits]>,
    /// Operations on the response, in order of application.
    pub response_edits: Box<[Edits]>,
    /// What decides the endpoint, if the cluster hashes.
    pub affinity: Option<Affinity>,
}

/// Where copies go.
#[derive(Debug)]
pub struct MirrorTarget {
    /// Number in the table's list of clusters.
    pub cluster: u32,
    /// Share of requests.
    pub share: Share,
}

/// How a path changes; the query is kept.
#[derive(Debug)]
pub enum PathChange {
    /// The first `matched` bytes are replaced.
    Prefix {
        /// Length of the prefix that matched.
        matched: usize,
        /// What stands in its place.
        with: Box<str>,
    },
    /// All is replaced.
    Full(Box<str>),
    /// Every match is substituted.
    Regex {
        /// What is looked for.
        pattern: Regex,
        /// In the regex library's notation.
        with: Box<[u8]>,
    },
}

impl Action {
    /// # Errors
    /// The first value that HTTP or the regex library does not allow.
    pub fn new(route: &RouteSpec, numbering: &mut Numbering) -> Result<Self, RouteError> {
        let kind = match &route.action {
            RouteAction::Forward(forward) => {
                ActionKind::Forward(Box::new(Forward::new(route, forward, numbering)?))
            }
            RouteAction::Redirect(redirect) => {
                ActionKind::Redirect(Box::new(Redirect::new(route, redirect)?))
            }
            RouteAction::Direct(direct) => {
                ActionKind::Direct(Box::new(Direct::new(route, direct)?))
            }
        };
        let cors =
            route.cors.as_deref().map(|policy: &CorsPolicy| Cors::new(policy)).transpose()?;
        Ok(Self { kind, cors: cors.map(Box::new), fault: route.fault.clone() })
    }

    /// Which of the targets takes a request, if it is sent on, and what then changes its response
    /// whoever makes it: Envoy 1.40 carries the operations of route and destination out on its own
    /// answers too. `step` counts the requests of the route.
    pub fn choose(&self, step: impl FnOnce() -> u32) -> (usize, &[Edits]) {
        match &self.kind {
            ActionKind::Forward(forward) => {
                let chosen = forward.weights.choose(step());
                (chosen, &forward.targets[chosen].response_edits)
            }
            ActionKind::Redirect(redirect) => (0, slice::from_ref(&redirect.edits)),
            ActionKind::Direct(direct) => (0, slice::from_ref(&direct.edits)),
        }
    }
}

impl Direct {
    fn new(route: &RouteSpec, source: &DirectResponse) -> Result<Self, RouteError> {
        Ok(Self {
            status: status(source.status)?,
            body: bytes::Bytes::copy_from_slice(&source.body),
            edits: Edits::new(&route.headers.response)?,
        })
    }
}

impl Forward {
    fn new(
        route: &RouteSpec,
        source: &route::Forward,
        numbering: &mut Numbering,
    ) -> Result<Self, RouteError> {
        let refused = |value: &str, place| RouteError::Value { value: value.to_owned(), place };
        if source.destinations.is_empty() {
            return Err(refused("no destination", "route"));
        }
        let is_split = source.destinations.len() > 1;
        let mut targets = Vec::with_capacity(source.destinations.len());
        for destination in &source.destinations {
            let cluster = numbering.cluster(&destination.cluster);
            targets.push(Target::new(route, destination, cluster, is_split)?);
        }
        let rewrite = source.rewrite.as_ref();
        let path = rewrite.and_then(|rewrite| rewrite.path.as_ref());
        let authority = rewrite.and_then(|rewrite| rewrite.authority.as_deref());
        let authority = authority
            .map(|text| HeaderValue::from_str(text).map_err(|_| refused(text, "rewrite")))
            .transpose()?;
        let number = |id: &ClusterId, numbering: &mut Numbering| numbering.cluster(id);
        Ok(Self {
            targets: targets.into(),
            weights: Weights::new(source.destinations.iter().map(|d| d.weight)),
            path: path.map(|rewrite| PathChange::new(route, rewrite)).transpose()?,
            authority,
            timeout: source.timeout_ms.map(Duration::from_millis),
            retry: source.retry.clone(),
            mirrors: source
                .mirrors
                .iter()
                .map(|m| MirrorTarget { cluster: number(&m.cluster, numbering), share: m.share })
                .collect(),
        })
    }
}

impl Target {
    /// With one destination route-level operations come first, with several the destination's
    /// (Istio contract 2.8).
    fn new(
        route: &RouteSpec,
        destination: &Destination,
        cluster: u32,
        is_split: bool,
    ) -> Result<Self, RouteError> {
        let ordered = |of_route: &_, of_destination: &_| {
            let (of_route, of_destination) = (Edits::new(of_route)?, Edits::new(of_destination)?);
            let both = match is_split {
                true => [of_destination, of_route],
                false => [of_route, of_destination],
            };
            Ok::<_, RouteError>(both.into_iter().filter(|edits| !edits.is_empty()).collect())
        };
        Ok(Self {
            cluster,
            request_edits: ordered(&route.headers.request, &destination.headers.request)?,
            response_edits: ordered(&route.headers.response, &destination.headers.response)?,
            affinity: destination.hash.as_deref().map(Affinity::new).transpose()?,
        })
    }

    /// The Host that header operations ask for; route level before destination level is the
    /// order of precedence whatever the order of application.
    pub fn host_edit(&self, is_split: bool) -> Option<&super::edit::Value> {
        let hosts = self.request_edits.iter().filter_map(|edits| edits.host.as_ref());
        if is_split { hosts.last() } else { { hosts }.next() }
    }
}

impl PathChange {
    /// Shared by rewrites and redirects.
    pub(super) fn new(route: &RouteSpec, source: &PathRewrite) -> Result<Self, RouteError> {
        Ok(match source {
            PathRewrite::Full(text) => Self::Full(text.as_str().into()),
            PathRewrite::Prefix(text) => match &route.matches.path {
                PathMatch::Prefix(prefix) => {
                    Self::Prefix { matched: prefix.len(), with: text.as_str().into() }
                }
                PathMatch::Any => Self::Prefix { matched: "/".len(), with: text.as_str().into() },
                PathMatch::Exact(_) | PathMatch::Regex(_) => Self::Full(text.as_str().into()),
            },
            PathRewrite::Regex { pattern, substitution } => Self::Regex {
                pattern: pattern::search(pattern)?,
                with: library_notation(substitution).into_bytes().into(),
            },
        })
    }

    /// The new path for one that the route's path test matched.
    pub fn apply(&self, path: &str) -> String {
        match self {
            Self::Full(text) => text.to_string(),
            Self::Prefix { matched, with } => {
                format!("{with}{}", path.get(*matched..).unwrap_or_default())
            }
            Self::Regex { pattern, with } => {
                let replaced = pattern.replace_all(path.as_bytes(), &**with);
                String::from_utf8_lossy(&replaced).into_owned()
            }
        }
    }
}

/// `\1` of RE2 as `${1}` of the regex library; its own `$` is escaped.
fn library_notation(substitution: &str) -> String {
    let mut out = String::with_capacity(substitution.len());
    let mut letters = substitution.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '$' => out.push_str("$$"),
            '\\' => match letters.next() {
                Some(digit) if digit.is_ascii_digit() => {
                    out.extend(["${", &digit.to_string(), "}"])
                }
                Some(other) => out.push(other),
                None => out.push('\\'),
            },
            other => out.push(other),
        }
    }
    out
}

/// A status code of configuration.
pub(super) fn status(code: u16) -> Result<StatusCode, RouteError> {
    StatusCode::from_u16(code)
        .map_err(|_| RouteError::Value { value: code.to_string(), place: "status" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn substitutions_change_notation() {
        for (re2, library) in
            [(r"/\1/x", "/${1}/x"), (r"$\2", "$$${2}"), (r"\\", r"\"), ("plain", "plain")]
        {
            assert_eq!(library_notation(re2), library);
        }
    }
}
