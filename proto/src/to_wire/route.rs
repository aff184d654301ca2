//! Route tables.

use fairway_shared::id::RouteTableId;
use fairway_shared::snapshot::route::{
    AbortStatus, CorsPolicy, Destination, DirectResponse, Fault, Forward, HashCookie, HashKey,
    HeaderEdits, HeaderMatch, HeaderOps, Mirror, PathMatch, PathRewrite, QueryMatch, Redirect,
    RetryOn, RetryPolicy, Rewrite, Route, RouteAction, RouteMatch, RouteTable, StringMatch,
    VirtualHost,
};

use super::cluster_id;
use crate::wire;
use wire::fault_abort::Status;
use wire::hash_key::Key;
use wire::path_match::Test as PathTest;
use wire::path_rewrite::Change;
use wire::route::Action;
use wire::string_match::Test as StringTest;

/// A route table under its id.
pub fn route_table(id: &RouteTableId, from: &RouteTable) -> wire::RouteTable {
    let virtual_hosts = from.virtual_hosts.iter().map(|host| virtual_host(host)).collect();
    wire::RouteTable { id: id.0.clone(), virtual_hosts }
}

fn virtual_host(from: &VirtualHost) -> wire::VirtualHost {
    wire::VirtualHost {
        domain: from.domain.clone(),
        routes: from.routes.iter().map(|item| route(item)).collect(),
        https_redirect: from.https_redirect,
    }
}

/// One route.
pub fn route(from: &Route) -> wire::Route {
    let spec = &*from.spec;
    wire::Route {
        name: from.name.clone(),
        origin: from.origin.clone(),
        r#match: Some(route_match(&spec.matches)),
        action: Some(match &spec.action {
            RouteAction::Forward(action) => Action::Forward(forward(action)),
            RouteAction::Redirect(action) => Action::Redirect(redirect(action)),
            RouteAction::Direct(action) => Action::Direct(direct(action)),
        }),
        headers: header_ops(&spec.headers),
        cors: spec.cors.as_deref().map(cors),
        fault: spec.fault.as_deref().map(fault),
    }
}

fn route_match(from: &RouteMatch) -> wire::RouteMatch {
    let path = match &from.path {
        PathMatch::Any => None,
        PathMatch::Exact(text) => Some(PathTest::Exact(text.clone())),
        PathMatch::Prefix(text) => Some(PathTest::Prefix(text.clone())),
        PathMatch::Regex(text) => Some(PathTest::Regex(text.clone())),
    };
    wire::RouteMatch {
        path: path.map(|test| wire::PathMatch { test: Some(test) }),
        ignore_case: from.ignore_case,
        headers: from.headers.iter().map(header_match).collect(),
        query: from.query.iter().map(query_match).collect(),
    }
}

fn string_match(from: &StringMatch) -> wire::StringMatch {
    let test = match from {
        StringMatch::Present => StringTest::Present(wire::Present {}),
        StringMatch::Exact(text) => StringTest::Exact(text.clone()),
        StringMatch::Prefix(text) => StringTest::Prefix(text.clone()),
        StringMatch::Regex(text) => StringTest::Regex(text.clone()),
    };
    wire::StringMatch { test: Some(test) }
}

fn header_match(from: &HeaderMatch) -> wire::HeaderMatch {
    wire::HeaderMatch {
        name: from.name.clone(),
        value: Some(string_match(&from.value)),
        inverted: from.inverted,
        absent_is_empty: from.absent_is_empty,
    }
}

fn query_match(from: &QueryMatch) -> wire::QueryMatch {
    wire::QueryMatch { name: from.name.clone(), value: Some(string_match(&from.value)) }
}

fn forward(from: &Forward) -> wire::Forward {
    wire::Forward {
        destinations: from.destinations.iter().map(destination).collect(),
        rewrite: from.rewrite.as_ref().map(rewrite),
        timeout_ms: from.timeout_ms,
        retry: from.retry.as_deref().map(retry),
        mirrors: from.mirrors.iter().map(mirror).collect(),
    }
}

fn destination(from: &Destination) -> wire::Destination {
    wire::Destination {
        cluster: Some(cluster_id(&from.cluster)),
        weight: from.weight,
        headers: header_ops(&from.headers),
        hash: from.hash.as_deref().map(hash_key),
    }
}

fn hash_key(from: &HashKey) -> wire::HashKey {
    let key = match from {
        HashKey::Header(name) => Key::Header(name.clone()),
        HashKey::Cookie(cookie) => Key::Cookie(hash_cookie(cookie)),
        HashKey::SourceIp => Key::SourceIp(wire::SourceIp {}),
        HashKey::QueryParameter(name) => Key::QueryParameter(name.clone()),
    };
    wire::HashKey { key: Some(key) }
}

fn hash_cookie(from: &HashCookie) -> wire::HashCookie {
    let attribute = |(name, value): &(String, String)| wire::CookieAttribute {
        name: name.clone(),
        value: value.clone(),
    };
    wire::HashCookie {
        name: from.name.clone(),
        path: from.path.clone(),
        ttl_ms: from.ttl_ms,
        attributes: from.attributes.iter().map(attribute).collect(),
    }
}

fn rewrite(from: &Rewrite) -> wire::Rewrite {
    wire::Rewrite { path: from.path.as_ref().map(path_rewrite), authority: from.authority.clone() }
}

fn path_rewrite(from: &PathRewrite) -> wire::PathRewrite {
    let change = match from {
        PathRewrite::Prefix(text) => Change::Prefix(text.clone()),
        PathRewrite::Full(text) => Change::Full(text.clone()),
        PathRewrite::Regex { pattern, substitution } => Change::Regex(wire::RegexRewrite {
            pattern: pattern.clone(),
            substitution: substitution.clone(),
        }),
    };
    wire::PathRewrite { change: Some(change) }
}

fn redirect(from: &Redirect) -> wire::Redirect {
    wire::Redirect {
        path: from.path.as_ref().map(path_rewrite),
        authority: from.authority.clone(),
        scheme: from.scheme.clone(),
        port: from.port.map(u32::from),
        status: from.status.into(),
    }
}

fn direct(from: &DirectResponse) -> wire::DirectResponse {
    wire::DirectResponse { status: from.status.into(), body: from.body.clone() }
}

fn header_ops(from: &HeaderOps) -> Option<wire::HeaderOps> {
    let ops = wire::HeaderOps {
        request: header_edits(&from.request),
        response: header_edits(&from.response),
    };
    (ops.request.is_some() || ops.response.is_some()).then_some(ops)
}

fn header_edits(from: &HeaderEdits) -> Option<wire::HeaderEdits> {
    let headers = |pairs: &[(String, String)]| {
        pairs
            .iter()
            .map(|(name, value)| wire::Header { name: name.clone(), value: value.clone() })
            .collect()
    };
    (!from.is_empty()).then(|| wire::HeaderEdits {
        remove: from.remove.clone(),
        set: headers(&from.set),
        add: headers(&from.add),
    })
}

fn retry(from: &RetryPolicy) -> wire::RetryPolicy {
    wire::RetryPolicy {
        attempts: from.attempts,
        per_try_timeout_ms: from.per_try_timeout_ms,
        on: from.on.iter().map(|condition| retry_on(*condition).into()).collect(),
        status_codes: from.status_codes.iter().map(|code| u32::from(*code)).collect(),
        backoff_ms: from.backoff_ms,
        ignore_previous_hosts: from.ignore_previous_hosts,
        remote_localities: from.remote_localities,
    }
}

fn retry_on(from: RetryOn) -> wire::RetryOn {
    match from {
        RetryOn::FiveXx => wire::RetryOn::FiveXx,
        RetryOn::GatewayError => wire::RetryOn::GatewayError,
        RetryOn::Reset => wire::RetryOn::Reset,
        RetryOn::ResetBeforeRequest => wire::RetryOn::ResetBeforeRequest,
        RetryOn::ConnectFailure => wire::RetryOn::ConnectFailure,
        RetryOn::Retriable4xx => wire::RetryOn::Retriable4xx,
        RetryOn::RefusedStream => wire::RetryOn::RefusedStream,
        RetryOn::RetriableStatusCodes => wire::RetryOn::RetriableStatusCodes,
        RetryOn::EnvoyRatelimited => wire::RetryOn::EnvoyRatelimited,
        RetryOn::Cancelled => wire::RetryOn::Cancelled,
        RetryOn::DeadlineExceeded => wire::RetryOn::DeadlineExceeded,
        RetryOn::Internal => wire::RetryOn::Internal,
        RetryOn::ResourceExhausted => wire::RetryOn::ResourceExhausted,
        RetryOn::Unavailable => wire::RetryOn::Unavailable,
    }
}

fn mirror(from: &Mirror) -> wire::Mirror {
    wire::Mirror { cluster: Some(cluster_id(&from.cluster)), share_ppm: from.share.0 }
}

fn fault(from: &Fault) -> wire::Fault {
    let status = |status| match status {
        AbortStatus::Http(code) => Status::Http(u32::from(code)),
        AbortStatus::Grpc(code) => Status::Grpc(u32::from(code)),
    };
    wire::Fault {
        delay: from
            .delay
            .map(|(delay_ms, share)| wire::FaultDelay { delay_ms, share_ppm: share.0 }),
        abort: from.abort.map(|(answer, share)| wire::FaultAbort {
            status: Some(status(answer)),
            share_ppm: share.0,
        }),
    }
}

fn cors(from: &CorsPolicy) -> wire::CorsPolicy {
    wire::CorsPolicy {
        allow_origins: from.allow_origins.iter().map(string_match).collect(),
        allow_methods: from.allow_methods.clone(),
        allow_headers: from.allow_headers.clone(),
        expose_headers: from.expose_headers.clone(),
        max_age_secs: from.max_age_secs,
        allow_credentials: from.allow_credentials,
        forward_unmatched_preflights: from.forward_unmatched_preflights,
    }
}
