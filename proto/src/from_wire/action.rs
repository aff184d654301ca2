//! What is done with a request: forwarding, redirects, answers, faults, header operations.

use std::sync::Arc;

use fairway_shared::snapshot::route::{
    AbortStatus, Destination, DirectResponse, Fault, Forward, HashCookie, HashKey, HeaderEdits,
    HeaderOps, Mirror, PathRewrite, Redirect, RetryOn, RetryPolicy, Rewrite, Share,
};

use super::check::{
    At, FieldError, Problem, each, known, named, port, required, within, within_u16,
};
use super::cluster::cluster_id;
use crate::wire;
use wire::fault_abort::Status;
use wire::hash_key::Key;
use wire::path_rewrite::Change;

/// Largest body of a direct response, in bytes.
const DIRECT_BODY_BYTES_MAX: u64 = 1024 * 1024;
/// The statuses a redirect may have (Istio contract 2.8).
const REDIRECT_STATUSES: [u32; 5] = [301, 302, 303, 307, 308];

pub(super) fn forward(from: wire::Forward) -> Result<Forward, FieldError> {
    let destinations = each("destinations", from.destinations, destination)?;
    if destinations.is_empty() {
        return Err(FieldError::from(Problem::Missing)).at("destinations");
    }
    Ok(Forward {
        destinations,
        rewrite: from.rewrite.map(rewrite).transpose().at("rewrite")?,
        timeout_ms: from.timeout_ms,
        retry: from.retry.map(retry).transpose().at("retry")?.map(Arc::new),
        mirrors: each("mirrors", from.mirrors, mirror)?,
    })
}

fn destination(from: wire::Destination) -> Result<Destination, FieldError> {
    Ok(Destination {
        cluster: required(from.cluster).and_then(cluster_id).at("cluster")?,
        weight: within(from.weight, 1, u32::MAX.into()).at("weight")?,
        headers: header_ops(from.headers).at("headers")?,
        hash: from.hash.map(hash_key).transpose().at("hash")?.map(Arc::new),
    })
}

fn hash_key(from: wire::HashKey) -> Result<HashKey, FieldError> {
    Ok(match required(from.key).at("key")? {
        Key::Header(name) => HashKey::Header(named(name).at("header")?),
        Key::Cookie(cookie) => HashKey::Cookie(hash_cookie(cookie).at("cookie")?),
        Key::SourceIp(wire::SourceIp {}) => HashKey::SourceIp,
        Key::QueryParameter(name) => HashKey::QueryParameter(named(name).at("query_parameter")?),
    })
}

fn hash_cookie(from: wire::HashCookie) -> Result<HashCookie, FieldError> {
    let attribute = |item: wire::CookieAttribute| Ok((named(item.name).at("name")?, item.value));
    Ok(HashCookie {
        name: named(from.name).at("name")?,
        path: from.path,
        ttl_ms: from.ttl_ms,
        attributes: each("attributes", from.attributes, attribute)?,
    })
}

fn rewrite(from: wire::Rewrite) -> Result<Rewrite, FieldError> {
    let path = from.path.map(path_rewrite).transpose().at("path")?;
    Ok(Rewrite { path, authority: from.authority })
}

fn path_rewrite(from: wire::PathRewrite) -> Result<PathRewrite, FieldError> {
    Ok(match required(from.change).at("change")? {
        Change::Prefix(text) => PathRewrite::Prefix(text),
        Change::Full(text) => PathRewrite::Full(text),
        Change::Regex(wire::RegexRewrite { pattern, substitution }) => {
            PathRewrite::Regex { pattern, substitution }
        }
    })
}

pub(super) fn redirect(from: wire::Redirect) -> Result<Redirect, FieldError> {
    let path = from.path.map(path_rewrite).transpose().at("path")?;
    if matches!(path, Some(PathRewrite::Regex { .. })) {
        return Err(FieldError::from(Problem::Forbidden)).at("regex").at("path");
    }
    let status = within_u16(from.status, 301, 308).at("status")?;
    if !REDIRECT_STATUSES.contains(&from.status) {
        return Err(FieldError::from(Problem::Forbidden)).at("status");
    }
    let port = from.port.map(port).transpose().at("port")?;
    Ok(Redirect { path, authority: from.authority, scheme: from.scheme, port, status })
}

pub(super) fn direct(from: wire::DirectResponse) -> Result<DirectResponse, FieldError> {
    within(from.body.len() as u64, 0, DIRECT_BODY_BYTES_MAX).at("body")?;
    Ok(DirectResponse { status: within_u16(from.status, 200, 599).at("status")?, body: from.body })
}

pub(super) fn header_ops(from: Option<wire::HeaderOps>) -> Result<HeaderOps, FieldError> {
    let Some(from) = from else { return Ok(HeaderOps::default()) };
    Ok(HeaderOps {
        request: header_edits(from.request).at("request")?,
        response: header_edits(from.response).at("response")?,
    })
}

fn header_edits(from: Option<wire::HeaderEdits>) -> Result<HeaderEdits, FieldError> {
    let Some(from) = from else { return Ok(HeaderEdits::default()) };
    let header = |item: wire::Header| Ok((named(item.name).at("name")?, item.value));
    Ok(HeaderEdits {
        remove: each("remove", from.remove, named)?,
        set: each("set", from.set, header)?,
        add: each("add", from.add, header)?,
    })
}

fn retry(from: wire::RetryPolicy) -> Result<RetryPolicy, FieldError> {
    Ok(RetryPolicy {
        attempts: within(from.attempts, 1, u32::MAX.into()).at("attempts")?,
        per_try_timeout_ms: from.per_try_timeout_ms,
        on: each("on", from.on, retry_on)?,
        status_codes: each("status_codes", from.status_codes, |code| {
            within_u16(code, 0, u16::MAX)
        })?,
        backoff_ms: from.backoff_ms,
        ignore_previous_hosts: from.ignore_previous_hosts,
        remote_localities: from.remote_localities,
    })
}

fn retry_on(from: i32) -> Result<RetryOn, FieldError> {
    Ok(match known(from)? {
        wire::RetryOn::Unspecified => return Err(Problem::Missing.into()),
        wire::RetryOn::FiveXx => RetryOn::FiveXx,
        wire::RetryOn::GatewayError => RetryOn::GatewayError,
        wire::RetryOn::Reset => RetryOn::Reset,
        wire::RetryOn::ResetBeforeRequest => RetryOn::ResetBeforeRequest,
        wire::RetryOn::ConnectFailure => RetryOn::ConnectFailure,
        wire::RetryOn::Retriable4xx => RetryOn::Retriable4xx,
        wire::RetryOn::RefusedStream => RetryOn::RefusedStream,
        wire::RetryOn::RetriableStatusCodes => RetryOn::RetriableStatusCodes,
        wire::RetryOn::EnvoyRatelimited => RetryOn::EnvoyRatelimited,
        wire::RetryOn::Cancelled => RetryOn::Cancelled,
        wire::RetryOn::DeadlineExceeded => RetryOn::DeadlineExceeded,
        wire::RetryOn::Internal => RetryOn::Internal,
        wire::RetryOn::ResourceExhausted => RetryOn::ResourceExhausted,
        wire::RetryOn::Unavailable => RetryOn::Unavailable,
    })
}

fn share(ppm: u32) -> Result<Share, FieldError> {
    Ok(Share(within(ppm, 0, Share::ALL.0.into()).at("share_ppm")?))
}

fn mirror(from: wire::Mirror) -> Result<Mirror, FieldError> {
    let cluster = required(from.cluster).and_then(cluster_id).at("cluster")?;
    Ok(Mirror { cluster, share: share(from.share_ppm)? })
}

pub(super) fn fault(from: wire::Fault) -> Result<Fault, FieldError> {
    let delay = |delay: wire::FaultDelay| Ok((delay.delay_ms, share(delay.share_ppm)?));
    Ok(Fault {
        delay: from.delay.map(delay).transpose().at("delay")?,
        abort: from.abort.map(abort).transpose().at("abort")?,
    })
}

fn abort(from: wire::FaultAbort) -> Result<(AbortStatus, Share), FieldError> {
    let status = match required(from.status).at("status")? {
        Status::Http(code) => AbortStatus::Http(within_u16(code, 200, 599).at("http")?),
        // At most 16, so the narrowing keeps the value.
        Status::Grpc(code) => AbortStatus::Grpc(within_u16(code, 0, 16).at("grpc")? as u8),
    };
    Ok((status, share(from.share_ppm)?))
}
